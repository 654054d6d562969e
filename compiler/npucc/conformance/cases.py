"""The cases of the backend suite of the installed onnx, all kinds in one form, and nothing downloaded.

Node cases exist in memory only; the others are files of the onnx package. The models of kind `real` come as "light"
files, whose inputs onnx's own runner generates and whose outputs lie beside them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
LIGHT = "onnx/backend/test/data/light/"

DataSet = tuple[list[Any], list[Any]]
"""Inputs and expected outputs in the order of the model: arrays, lists for sequences, None for empty optionals."""


@dataclass(frozen=True)
class Case:
    """One case. `load` gives the model and its data sets; `rtol` and `atol` are the case's tolerances."""

    name: str
    kind: str
    rtol: float
    atol: float
    load: Callable[[], tuple[onnx.ModelProto, list[DataSet]]]


@cache
def cases_of(kind: str) -> dict[str, Case]:
    """The cases of one kind by name; making the node cases takes about three seconds, once per process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the expected values are computed with overflows and divisions by zero
        cases = load_model_tests(kind=kind)
    return {case.name: _case(case, kind) for case in sorted(cases, key=lambda case: case.name)}


def all_cases(kinds: tuple[str, ...] = KINDS) -> Iterator[Case]:
    """Every case of the given kinds."""
    for kind in kinds:
        yield from cases_of(kind).values()


def find_case(kind: str, name: str) -> Case:
    """One case by its name."""
    return cases_of(kind)[name]


def _case(case: TestCase, kind: str) -> Case:
    if case.model is not None and case.data_sets is not None:
        model, pairs = case.model, case.data_sets
        data = [([_array(v) for v in inputs], [_array(v) for v in outputs]) for inputs, outputs in pairs]
        return Case(case.name, kind, case.rtol, case.atol, lambda: (model, data))
    if case.model_dir is not None:
        folder = Path(case.model_dir)
        return Case(case.name, kind, case.rtol, case.atol, lambda: _from_folder(folder))
    url = case.url or ""
    if not url.startswith(LIGHT):
        raise ValueError(f"{case.name}: a model outside of the onnx package, {url}")
    light = Path(onnx.__file__).parents[1] / url
    return Case(case.name, kind, case.rtol, case.atol, lambda: _from_light_model(light))


def _array(value: Any) -> Any:
    """Node cases hold arrays, NumPy scalars, tensors in protobuf form (types that NumPy lacks) and lists."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _from_folder(folder: Path) -> tuple[onnx.ModelProto, list[DataSet]]:
    model = onnx.load(folder / "model.onnx")
    sets: list[DataSet] = []
    for data in sorted(folder.glob("test_data_set_*")):
        inputs = _values(data, "input", [value.type for value in model.graph.input])
        sets.append((inputs, _values(data, "output", [value.type for value in model.graph.output])))
    return model, sets


def _values(folder: Path, prefix: str, types: list[onnx.TypeProto]) -> list[Any]:
    """The files `prefix_0.pb`, `prefix_1.pb` ..., read as the model declares them."""
    count = len(list(folder.glob(f"{prefix}_*.pb")))
    return [_value((folder / f"{prefix}_{index}.pb").read_bytes(), types[index]) for index in range(count)]


def _value(data: bytes, declared: onnx.TypeProto) -> Any:
    if declared.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if declared.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def _from_light_model(path: Path) -> tuple[onnx.ModelProto, list[DataSet]]:
    """Inputs as onnx's runner makes them (rising from 0 to 1), the outputs that lie beside the model."""
    model = onnx.load(path)
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = [Runner.generate_dummy_data(v) for v in model.graph.input if v.name not in initialized]
    names = [path.with_name(f"{path.stem}_output_{index}.pb") for index in range(len(model.graph.output))]
    outputs = [numpy_helper.to_array(onnx.TensorProto.FromString(name.read_bytes())) for name in names]
    return model, [(list[Any](inputs), list[Any](outputs))]


def values_of(data: list[DataSet]) -> Iterator[np.ndarray[Any, Any] | None]:
    """Every tensor of the data sets; None for what is no tensor (a sequence, an empty optional)."""
    for side in (value for pair in data for values in pair for value in values):
        yield np.asarray(side) if isinstance(side, np.ndarray | np.generic) else None
