"""Build small ONNX models, import them, run them on the graph interpreter, and compare with a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from npucc.frontend import import_model
from npucc.interpreters.graph import run_graph
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = Any
MakeModel = Callable[..., onnx.ModelProto]
Check = Callable[..., list[Array]]


def node_model(
    op: str,
    inputs: Sequence[Array | None],
    *,
    opset: int = 17,
    outputs: int = 1,
    constants: Sequence[int] = (),
    domain: str = "",
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node. `inputs`: example arrays (None: left out); `constants`: positions that are initializers."""
    names = ["" if array is None else f"x{index}" for index, array in enumerate(inputs)]
    results = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(op, names, results, name="the_node", domain=domain, **attributes)
    arguments = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for index, (name, array) in enumerate(zip(names, inputs))
        if array is not None and index not in constants
    ]
    initializers = [numpy_helper.from_array(np.asarray(inputs[index]), names[index]) for index in constants]
    declared = [helper.make_empty_tensor_value_info(name) for name in results]
    graph = helper.make_graph([node], f"one_{op}", arguments, declared, initializers)
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def run_imported(model: onnx.ModelProto, feed: Mapping[str, Array]) -> list[Array]:
    """Import, verify, run on the interpreter."""
    imported = import_model(model)
    imported.module.verify()
    return run_graph(imported.module, {name: feed[name] for name in imported.inputs}, imported.constants)


def feed_of(model: onnx.ModelProto, inputs: Sequence[Array | None]) -> dict[str, Array]:
    """The arrays of the model's inputs by name."""
    wanted = {value.name for value in model.graph.input}
    return {f"x{index}": array for index, array in enumerate(inputs) if f"x{index}" in wanted}


def assert_close(actual: Sequence[Array], expected: Sequence[Array], rtol: float, atol: float) -> None:
    """Same number, shapes, types and (nearly) values."""
    assert len(actual) == len(expected)
    for found, wanted in zip(actual, expected):
        wanted = np.asarray(wanted)
        assert found.shape == wanted.shape
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol)


@pytest.fixture(scope="session")
def one_node() -> MakeModel:
    """`node_model`."""
    return node_model


@pytest.fixture(scope="session")
def matches_reference() -> Check:
    """Import a one-node model and compare with onnx.reference at the same opset."""

    def check(op: str, inputs: Sequence[Array | None], *, rtol: float = 1e-5, atol: float = 1e-6, **options: Any):
        model = node_model(op, inputs, **options)
        feed = feed_of(model, inputs)
        actual = run_imported(model, feed)
        with np.errstate(all="ignore"):
            expected = ReferenceEvaluator(model).run(None, feed)
        assert_close(actual, expected, rtol, atol)
        return actual

    return check


@pytest.fixture(scope="session")
def matches_onnxruntime() -> Check:
    """Import a one-node model and compare with onnxruntime."""
    import onnxruntime

    def check(op: str, inputs: Sequence[Array | None], *, rtol: float = 1e-4, atol: float = 1e-5, **options: Any):
        model = node_model(op, inputs, **options)
        feed = feed_of(model, inputs)
        actual = run_imported(model, feed)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
        assert_close(actual, session.run(None, feed), rtol, atol)
        return actual

    return check


@pytest.fixture(scope="session")
def run() -> Callable[[onnx.ModelProto, Mapping[str, Array]], list[Array]]:
    """`run_imported`."""
    return run_imported
