"""One node of com.microsoft: imported, run on the graph interpreter or the simulator, and compared with onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import npucc
import numpy as np
import onnx
import onnxruntime
import pytest
from npucc.frontend import import_model
from npucc.interpreters.graph import run_graph
from onnx import helper, numpy_helper

Array = Any
Check = Callable[..., list[Array]]
FLOATS = ("y3",)
"""Outputs of which onnxruntime cannot infer the type by itself."""


def node_model(
    op: str,
    inputs: Sequence[Array | None],
    outputs: Sequence[bool],
    constants: Sequence[int],
    domain: str,
    attributes: Mapping[str, Any],
) -> onnx.ModelProto:
    """A model of one node; `outputs`: which are used; `constants`: inputs that are initializers."""
    names = ["" if array is None else f"x{index}" for index, array in enumerate(inputs)]
    results = [f"y{index}" if used else "" for index, used in enumerate(outputs)]
    node = helper.make_node(op, names, results, name="the_node", domain=domain, **attributes)
    arguments = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for index, (name, array) in enumerate(zip(names, inputs))
        if array is not None and index not in constants
    ]
    weights = [numpy_helper.from_array(np.asarray(inputs[index]), names[index]) for index in constants]
    declared = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        if name in FLOATS
        else helper.make_empty_tensor_value_info(name)
        for name in results
        if name
    ]
    graph = helper.make_graph([node], f"one_{op}", arguments, declared, weights)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def run_onnxruntime(model: onnx.ModelProto, feed: Mapping[str, Array]) -> list[Array]:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feed))


@pytest.fixture(scope="session")
def imported() -> Callable[..., Array]:
    """The first output of a node of com.microsoft on the graph interpreter: for what onnxruntime's CPU lacks."""

    def run(op: str, inputs: Sequence[Array | None], *, constants: Sequence[int] = (), **attributes: Any) -> Array:
        model = node_model(op, inputs, [True], constants, "com.microsoft", attributes)
        found = import_model(model)
        found.module.verify()
        names = {value.name for value in model.graph.input}
        feed = {f"x{index}": array for index, array in enumerate(inputs) if f"x{index}" in names}
        return run_graph(found.module, feed, found.constants)[0]

    return run


@pytest.fixture(scope="session")
def matches_onnxruntime() -> Check:
    """Compare the outputs that are used; integers may differ by `steps`. `device`: on the simulator."""

    def check(
        op: str,
        inputs: Sequence[Array | None],
        *,
        outputs: Sequence[bool] = (True,),
        constants: Sequence[int] = (),
        domain: str = "com.microsoft",
        rtol: float = 1e-4,
        atol: float = 1e-5,
        steps: int = 0,
        device: bool = False,
        **attributes: Any,
    ) -> list[Array]:
        model = node_model(op, inputs, outputs, constants, domain, attributes)
        names = {value.name for value in model.graph.input}
        feed = {f"x{index}": array for index, array in enumerate(inputs) if f"x{index}" in names}
        if device:
            program = npucc.compile(model)
            actual = list(npucc.simulate(program, feed).outputs.values())
        else:
            imported = import_model(model)
            imported.module.verify()
            actual = run_graph(imported.module, {name: feed[name] for name in imported.inputs}, imported.constants)
        expected = run_onnxruntime(model, feed)
        assert len(actual) == len(expected)
        for found, wanted in zip(actual, expected):
            assert found.shape == wanted.shape
            assert found.dtype == wanted.dtype
            exact = wanted.dtype.kind in "iub"
            limits = (0.0, float(steps)) if exact else (rtol, atol)
            np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), *limits)
        return actual

    return check
