"""Are the given inputs those that the model declares? And ports for those that can be drawn at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from npuisa.dtypes import dtype_of_numpy
from npuisa.errors import NpuError
from npuisa.program import Port

from npucc.frontend.problems import UNSUPPORTED_NODES
from npucc.frontend.shapes import DeclaredInput, Shape, bind_shapes
from npucc.frontend.tensors import type_name
from npucc.inputs import BAD_VALUES
from npucc.types import Array
from npucc.values import Concrete, kind_of


def checked_inputs(
    declared: Sequence[DeclaredInput], dims: Mapping[str, int], given: Mapping[str, Concrete]
) -> dict[str, Concrete]:
    """`given` in the order of the model. NPU-E0011 with every missing, unknown or wrongly typed input; E0507 where
    shapes contradict the model."""
    names = [entry.name for entry in declared]
    given = {**given, **{e.name: _as_declared(e, given[e.name]) for e in declared if not e.kind and e.name in given}}
    problems = [
        NpuError(BAD_VALUES, "no such input", where=name, remedy=f"inputs of the model: {', '.join(names)}")
        for name in given
        if name not in names
    ]
    for entry in declared:
        problem = _problem(entry, given)
        problems += [problem] if problem else []
    if problems:
        raise NpuError(BAD_VALUES, "the given inputs do not fit the model", problems=problems)
    tensors = [entry for entry in declared if not entry.kind]
    bind_shapes(tensors, dims, {entry.name: np.shape(given[entry.name]) for entry in tensors})
    return {name: given[name] for name in names}


def _as_declared(entry: DeclaredInput, value: Concrete) -> Concrete:
    """Bytes without a name (8-bit types in `.npz` files) as elements of the declared type."""
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype("V1"):
        return value
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(entry.element_type))
    return value.view(dtype) if dtype.itemsize == 1 else value


def _problem(entry: DeclaredInput, given: Mapping[str, Concrete]) -> NpuError | None:
    if entry.name not in given:
        return NpuError(BAD_VALUES, "input missing", where=entry.name, remedy="add it")
    value, kind = given[entry.name], kind_of(given[entry.name])
    if entry.kind == "an optional":  # holds anything, or nothing
        return None
    wanted = "" if entry.kind else np.dtype(onnx.helper.tensor_dtype_to_np_dtype(entry.element_type))
    if kind != entry.kind or (not kind and np.asarray(value).dtype != wanted):
        found = kind or str(np.asarray(value).dtype)
        return NpuError(BAD_VALUES, "wrong type", entry.name, found, f"the model takes {entry.kind or wanted}")
    return None


def input_ports(declared: Sequence[DeclaredInput], dims: Mapping[str, int], shapes: Mapping[str, Shape]) -> list[Port]:
    """The declared inputs as ports (without addresses), for drawing values. NPU-E0510 where only the user can give
    values: strings, sequences, optionals, element types that the machine lacks."""
    bound = bind_shapes([entry for entry in declared if not entry.kind], dims, shapes)
    ports: list[Port] = []
    for entry in declared:
        try:
            dtype = None if entry.kind else dtype_of_numpy(onnx.helper.tensor_dtype_to_np_dtype(entry.element_type))
        except KeyError:
            dtype = None
        if dtype is None:
            found, remedy = entry.kind or type_name(entry.element_type), "give the inputs"
            rule = "random values can be drawn for tensors of numbers only"
            raise NpuError(UNSUPPORTED_NODES, rule, f"input `{entry.name}`", found, remedy)
        ports.append(Port(entry.name, dtype, bound[entry.name], 0))
    return ports


def from_arrays(declared: Sequence[DeclaredInput], arrays: Mapping[str, Array]) -> dict[str, Concrete]:
    """Values from an `.npz` file: element i of the sequence x is array `x.i`; an optional without array is empty."""
    values: dict[str, Concrete] = dict(arrays)
    for entry in declared:
        if entry.name in arrays or entry.kind not in ("a sequence", "an optional"):
            continue
        names = sorted(
            (name for name in arrays if name.startswith(f"{entry.name}.") and name[len(entry.name) + 1 :].isdigit()),
            key=lambda name: int(name.rpartition(".")[2]),
        )
        values[entry.name] = [values.pop(name) for name in names] if names or entry.kind == "a sequence" else None
    return values
