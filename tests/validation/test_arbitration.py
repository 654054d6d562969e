"""Who is right when the NPU and onnxruntime differ."""

from __future__ import annotations

import numpy as np
import onnx
from npucc.arbitration import precise_output
from npucc.execution import Execution
from npucc.reference import run_reference
from npucc.validation import validate
from onnx import TensorProto, helper, numpy_helper


def logits_model(bias: float) -> onnx.ModelProto:
    """Sigmoid(x @ w + bias): with a bias of -15 every score is about 3e-7."""
    w = numpy_helper.from_array(np.eye(4, 6, dtype=np.float32), "w")
    b = numpy_helper.from_array(np.full(6, bias, np.float32), "b")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "dense"),
        helper.make_node("Add", ["m", "b"], ["a"], "bias"),
        helper.make_node("Sigmoid", ["a"], ["y"], "score"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [64, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [64, 6])
    graph = helper.make_graph(nodes, "scores", [x], [y], [w, b])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_the_tail_is_evaluated_in_f64_from_the_values_of_onnxruntime():
    model = logits_model(-15.0)
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    precise = precise_output(model, "y", {"x": x})
    assert precise is not None and precise.dtype == np.float64
    exact = 1 / (1 + np.exp(-((x @ np.eye(4, 6, dtype=np.float32)).astype(np.float64) - 15.0)))
    np.testing.assert_allclose(precise, exact, rtol=1e-9)


def test_an_inexact_reference_does_not_fail_an_exact_result():
    model = logits_model(-15.0)
    result = validate(model)
    assert result.passed
    x = np.random.default_rng(1).standard_normal((64, 4)).astype(np.float32)
    inexact = np.abs(run_reference(model, {"x": x})["y"] - precise_output(model, "y", {"x": x}))
    if inexact.max() > 1e-9:  # this onnxruntime is inexact there, so the verdict must have come from f64
        assert result.outputs[0].reference_mismatches


def test_a_wrong_result_still_fails(monkeypatch):
    """An error of our own is not excused: onnxruntime agrees with f64, so it stays the reference."""
    real = Execution.run

    def wrong(*args, **kwargs):
        result = real(*args, **kwargs)
        result.outputs["y"] = result.outputs["y"] * np.float32(1.01)
        return result

    monkeypatch.setattr(Execution, "run", wrong)
    assert not validate(logits_model(0.0)).passed
    assert not validate(logits_model(-15.0)).passed


def test_only_the_elements_where_onnxruntime_is_wrong_are_excused(monkeypatch):
    """One element of our own is wrong among many that are excused: the tensor fails, with one mismatch."""
    real = Execution.run

    def wrong(*args, **kwargs):
        result = real(*args, **kwargs)
        result.outputs["y"][3, 2] *= np.float32(1.5)
        return result

    monkeypatch.setattr(Execution, "run", wrong)
    result = validate(logits_model(-15.0))
    assert not result.passed and result.outputs[0].mismatches == 1
