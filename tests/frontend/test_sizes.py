"""Symbolic sizes: bound by name, by inputs, by expressions; every unbound one is named."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from npucc.frontend import import_model
from npuisa.errors import ExitCode, NpuError
from onnx import TensorProto, helper


def model_of(*shapes: list[int | str | None] | None) -> onnx.ModelProto:
    """Relu of every input."""
    inputs = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape) for i, shape in enumerate(shapes)]
    nodes = [helper.make_node("Relu", [f"x{i}"], [f"y{i}"]) for i in range(len(shapes))]
    outputs = [helper.make_empty_tensor_value_info(f"y{i}") for i in range(len(shapes))]
    graph = helper.make_graph(nodes, "sizes", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_named_symbol():
    imported = import_model(model_of(["batch", 3], ["batch", 4]), dims={"batch": 2})
    assert imported.inputs == {"x0": (2, 3), "x1": (2, 4)}
    assert imported.outputs == {"y0": (2, 3), "y1": (2, 4)}


def test_anonymous_symbols_have_the_name_of_input_and_axis():
    imported = import_model(model_of([None, "?", -1]), dims={"x0.0": 1, "x0.1": 2, "x0.2": 3})
    assert imported.inputs == {"x0": (1, 2, 3)}


def test_shapes_of_inputs_bind_symbols_of_others():
    imported = import_model(model_of(["n", 3], ["n"]), input_shapes={"x0": (5, 3)})
    assert imported.inputs["x1"] == (5,)


def test_expressions_of_symbols():
    imported = import_model(model_of(["past"], ["now"], ["past + now", "2 * now"]), dims={"past": 3, "now": 4})
    assert imported.inputs["x2"] == (7, 8)


def test_input_without_a_rank():
    assert import_model(model_of(None), input_shapes={"x0": (2, 2)}).outputs == {"y0": (2, 2)}
    with pytest.raises(NpuError, match="E0506"):
        import_model(model_of(None))


def test_every_unbound_symbol_is_listed():
    with pytest.raises(NpuError) as caught:
        import_model(model_of(["batch", 3, "?"], ["time"]))
    error = caught.value
    assert error.entry.code == "NPU-E0506"
    assert error.entry.exit_code == ExitCode.USAGE
    assert [problem.found for problem in error.problems] == ["symbol `batch`", "symbol `x0.2`", "symbol `time`"]
    assert "--dim batch=VALUE" in error.problems[0].remedy


@pytest.mark.parametrize(
    ("shapes", "dims", "given"),
    [
        ([["n"], ["n"]], {}, {"x0": (1,), "x1": (2,)}),
        ([["n"]], {"n": 3}, {"x0": (4,)}),
        ([[3]], {}, {"x0": (4,)}),
        ([[3]], {}, {"x0": (3, 1)}),
        ([["n"]], {"n": -1}, {}),
        ([["n"]], {"m": 1, "n": 1}, {}),
        ([["n"]], {"n": 1}, {"z": (1,)}),
    ],
)
def test_contradictions(shapes, dims, given):
    with pytest.raises(NpuError, match="E0507"):
        import_model(model_of(*shapes), dims=dims, input_shapes=given)


def test_fixed_inputs_are_constants():
    x, shape = np.zeros((2, 6), np.float32), np.array([3, 4])
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
        helper.make_tensor_value_info("shape", TensorProto.INT64, shape.shape),
    ]
    graph = helper.make_graph([node], "fixed", inputs, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    imported = import_model(model, fixed_inputs={"shape": shape})
    assert list(imported.inputs) == ["x"]
    assert imported.outputs == {"y": (3, 4)}
    with pytest.raises(NpuError, match="known when the model is compiled"):
        import_model(model)
