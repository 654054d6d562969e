"""Errors that reach a user: what, where, and what to do."""

from __future__ import annotations

import numpy as np
import pytest
from graph_models import Model, load
from npucc.constants import ConstantStore
from npucc.interpreters.graph import run_graph
from npucc.passes.graph.precision import GraphPrecisionPass
from npuisa.errors import ExitCode, NpuError
from npuisa.target import Target

MATMUL = """
func.func @main(%x: tensor<2x3xf32>) -> tensor<2x4xf32> {
  %w = graph.constant @w : tensor<3x4xf32>
  %r = graph.matmul(%x, %w) {nodes = ["/fc/MatMul"]} : (tensor<2x3xf32>, tensor<3x4xf32>) -> tensor<2x4xf32>
  func.return %r : tensor<2x4xf32>
}
"""


def int8_only(model: Model) -> Model:
    """The model on a target whose matrix engine takes integers only."""
    target = Target.load("edge-4t")
    matrix = target.matrix.model_copy(update={"rates": {"i8": 1.0}})
    model.context.target = target.model_copy(update={"matrix": matrix, "name": "int8-only"})
    return model


@pytest.mark.parametrize("dtype", ["", "f16", "bf16", "f32"])
def test_type_that_the_target_lacks(dtype: str) -> None:
    with pytest.raises(NpuError) as caught:
        int8_only(load(MATMUL)).apply(GraphPrecisionPass(dtype))
    error = caught.value
    assert error.entry.code == "NPU-E0601"
    assert error.entry.exit_code == ExitCode.DOES_NOT_FIT
    assert error.where == "/fc/MatMul"
    assert error.found == (dtype or "f32")
    assert "takes i8" in error.message
    assert "quantise" in error.remedy


def test_precision_that_helps_is_named() -> None:
    model = load(MATMUL)
    target = Target.load("edge-4t")
    matrix = target.matrix.model_copy(update={"rates": {"f16": 1.0, "i8": 1.0}})
    model.context.target = target.model_copy(update={"matrix": matrix})
    with pytest.raises(NpuError, match="--precision f16"):
        model.apply(GraphPrecisionPass())
    model.apply(GraphPrecisionPass("f16"))


def test_unknown_precision() -> None:
    with pytest.raises(NpuError) as caught:
        load(MATMUL).apply(GraphPrecisionPass("f8"))
    assert (caught.value.entry.code, caught.value.found) == ("NPU-E0602", "f8")


def test_weights_beyond_f16() -> None:
    text = "// CONSTANT w = 1, -70000, 2\n" + MATMUL
    with pytest.raises(NpuError) as caught:
        load(text).apply(GraphPrecisionPass("f16"))
    assert (caught.value.entry.code, caught.value.found, caught.value.where) == ("NPU-E0603", "70000", "/fc/MatMul")
    model = load(text).apply(GraphPrecisionPass("bf16"))
    assert np.isfinite(model.run()[0]).all()


def test_masked_row_stays_finite_in_f16() -> None:
    """Added and selected masks of -3.4e38 must not make a fully masked softmax row NaN."""
    text = """
// CONSTANT mask = -3.4028234e38
func.func @main(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %m = graph.constant @mask : tensor<2x3xf32>
  %a = graph.add(%x, %m) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %r = graph.softmax(%a) : (tensor<2x3xf32>) -> tensor<2x3xf32>
  func.return %r : tensor<2x3xf32>
}
"""
    found = load(text).apply(GraphPrecisionPass("f16")).run()[0]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-2)


def test_constant_factor_beyond_f16_keeps_its_value() -> None:
    text = """
// CONSTANT big = 1e6
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = graph.constant @big : tensor<f32>
  %a = graph.abs(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %r = graph.mul(%a, %c) : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  func.return %r : tensor<4xf32>
}
"""
    model = load(text)
    expected = model.run()[0]
    np.testing.assert_allclose(model.apply(GraphPrecisionPass("f16")).run()[0], expected, rtol=1e-3)


def test_running_without_main_or_constants() -> None:
    with pytest.raises(NpuError, match="no func"):
        run_graph(load("func.func @other() { func.return }").module, [], ConstantStore())
    model = load(MATMUL)
    with pytest.raises(NpuError) as caught:
        run_graph(model.module, [np.zeros((2, 3), np.float32)], ConstantStore())
    assert caught.value.where == "@w"


def test_inputs_that_do_not_fit() -> None:
    model = load(MATMUL)
    with pytest.raises(NpuError, match="wrong number of inputs"):
        run_graph(model.module, [], model.context.constants)
    with pytest.raises(NpuError) as caught:
        run_graph(model.module, [np.zeros((3, 3), np.float32)], model.context.constants)
    assert (caught.value.where, caught.value.found) == ("arg0", "[3, 3]")
    with pytest.raises(NpuError, match="names of the inputs"):
        run_graph(model.module, {"y": np.zeros((2, 3), np.float32)}, model.context.constants)


def test_observer_sees_ops_in_groups_and_values_are_freed() -> None:
    text = """
func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %a = graph.neg(%x) : (tensor<3xf32>) -> tensor<3xf32>
  %g = graph.group(%a, %x) {
  ^bb0(%p: tensor<3xf32>, %q: tensor<3xf32>):
    %s = graph.add(%p, %q) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    graph.yield %s : tensor<3xf32>
  }
  func.return %g : tensor<3xf32>
}
"""
    model = load(text)
    seen: list[str] = []
    result = run_graph(
        model.module, model.inputs(), model.context.constants, observe=lambda op, _: seen.append(op.name)
    )
    assert seen == ["graph.neg", "graph.add", "graph.group"]
    assert not result[0].any()
    assert model.run(high_precision=True)[0].dtype == np.float64
