"""Models in QDQ form: products run on the stored integers, as onnxruntime's fusions do, and agree with it exactly."""

from __future__ import annotations

from typing import Any

import npucc
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.dialects import graph
from npucc.frontend import import_model
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = Any


class QdqModel:
    """Nodes and initializers of a model that grows; one input `x` of f32, one output `y`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, array: Array) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def quantized(self, x: str, scale: float, zero: int, dtype: type) -> str:
        parameters = [self.constant(np.float32(scale)), self.constant(np.array(zero, dtype))]
        return self.node("QuantizeLinear", [x, *parameters])

    def dequantized(self, stored: str, scale: Array, zero: Array, **attributes: Any) -> str:
        parameters = [self.constant(np.asarray(scale, np.float32)), self.constant(zero)]
        return self.node("DequantizeLinear", [stored, *parameters], **attributes)

    def qdq(self, x: str, scale: float, zero: int, dtype: type) -> str:
        return self.dequantized(self.quantized(x, scale, zero, dtype), scale, np.array(zero, dtype))

    def finish(self, y: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [y], ["y"]))
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        proto = helper.make_graph(self.nodes, "qdq", [x], [helper.make_empty_tensor_value_info("y")], self.weights)
        return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def check(model: onnx.ModelProto, x: Array, contraction: type[graph.GraphOp], element: str = "i32") -> None:
    """The values of onnxruntime, and a contraction whose result is i32."""
    module = import_model(model).module
    found = [op for op in module.walk() if isinstance(op, contraction)]
    assert found and all(str(op.result_type.element_type) == element for op in found)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    actual = npucc.simulate(npucc.compile(model), {"x": x}).outputs["y"]
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def stored(rng: np.random.Generator, dtype: type, *shape: int) -> Array:
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


@settings(max_examples=12, deadline=None)
@given(
    activations=st.sampled_from([np.uint8, np.int8]),
    per_channel=st.booleans(),
    zero=st.sampled_from([0, 5, 100]),
    between=st.sampled_from(["", "Relu", "Clip"]),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_convolution(activations, per_channel, zero, between, groups, bias, seed):
    rng = np.random.default_rng(seed)
    model = QdqModel((1, 4, 7, 6))
    x = model.qdq("x", 0.02, zero, activations)
    scale = rng.uniform(0.001, 0.01, 8).astype(np.float32) if per_channel else np.float32(0.004)
    kernel = model.constant(stored(rng, np.int8, 8, 4 // groups, 3, 3))
    w = model.dequantized(kernel, scale, np.zeros(np.shape(scale), np.int8), axis=0)
    inputs = [x, w]
    if bias:
        values = model.constant(rng.integers(-5000, 5000, 8).astype(np.int32))
        factor = (np.float32(0.02) * scale).astype(np.float32)
        inputs.append(model.dequantized(values, factor, np.zeros(np.shape(scale), np.int32), axis=0))
    y = model.node("Conv", inputs, pads=[1, 1, 1, 1], strides=[2, 1], group=groups)
    if between:
        bounds = [model.constant(np.float32(v)) for v in (-0.5, 1.5)] if between == "Clip" else []
        y = model.node(between, [y, *bounds])
    y = model.quantized(y, 0.03, zero, activations)
    check(model.finish(y), normal(rng, model.shape), graph.ConvOp)


def test_depthwise_convolution():
    rng = np.random.default_rng(5)
    model = QdqModel((1, 8, 9, 6))
    x = model.qdq("x", 0.02, 3, np.uint8)
    w = model.dequantized(model.constant(stored(rng, np.int8, 8, 1, 3, 3)), 0.004, np.array(0, np.int8))
    y = model.quantized(model.node("Conv", [x, w], group=8, pads=[1, 1, 1, 1]), 0.03, 7, np.uint8)
    check(model.finish(y), normal(rng, model.shape), graph.DepthwiseConvOp)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_matmul(columns, dtype):
    rng = np.random.default_rng(6)
    model = QdqModel((2, 5, 24))
    x = model.qdq("x", 0.02, 3, dtype)
    scale = rng.uniform(0.001, 0.01, 10).astype(np.float32) if columns else np.float32(0.004)
    w = model.constant(stored(rng, np.int8, 24, 10))
    w = model.dequantized(w, scale, np.zeros(np.shape(scale), np.int8), axis=1)
    y = model.quantized(model.node("MatMul", [x, w]), 0.03, 7, dtype)
    check(model.finish(y), normal(rng, model.shape), graph.MatmulOp)


def test_product_of_two_activations():
    rng = np.random.default_rng(7)
    model = QdqModel((2, 6, 6))
    a, b = model.qdq("x", 0.02, 3, np.uint8), model.qdq("x", 0.03, 9, np.uint8)
    y = model.quantized(model.node("MatMul", [a, b]), 0.05, 7, np.uint8)
    check(model.finish(y), normal(rng, model.shape), graph.MatmulOp)


@pytest.mark.parametrize("turned", [0, 1])
def test_gemm(turned):
    rng = np.random.default_rng(8)
    model = QdqModel((5, 24))
    x = model.qdq("x", 0.02, 3, np.uint8)
    scale = rng.uniform(0.001, 0.01, 10).astype(np.float32)
    kernel = stored(rng, np.int8, *((10, 24) if turned else (24, 10)))
    w = model.dequantized(model.constant(kernel), scale, np.zeros(10, np.int8), axis=0 if turned else 1)
    values = model.constant(rng.integers(-500, 500, 10).astype(np.int32))
    bias = model.dequantized(values, (np.float32(0.02) * scale).astype(np.float32), np.zeros(10, np.int32), axis=0)
    y = model.quantized(model.node("Gemm", [x, w, bias], transB=turned), 0.03, 7, np.uint8)
    check(model.finish(y), normal(rng, model.shape), graph.MatmulOp)


def test_other_scales_stay_what_the_model_says():
    """A bias with a scale of its own is added in f32 (onnxruntime takes its integers as they are)."""
    rng = np.random.default_rng(9)
    model = QdqModel((5, 24))
    x = model.qdq("x", 0.02, 3, np.uint8)
    w = model.dequantized(model.constant(stored(rng, np.int8, 24, 10)), 0.004, np.array(0, np.int8))
    bias = model.dequantized(model.constant(rng.integers(-500, 500, 10).astype(np.int32)), 0.5, np.array(0, np.int32))
    proto = model.finish(model.node("Gemm", [x, w, bias]))
    value = normal(rng, model.shape)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": value})
    actual = npucc.simulate(npucc.compile(proto), {"x": value}).outputs["y"]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("zero", [0, 3])
def test_lookups_move_the_stored_numbers(zero):
    rng = np.random.default_rng(10)
    model = QdqModel((4, 6))
    table = model.dequantized(model.constant(stored(rng, np.uint8, 50, 6)), 0.02, np.array(zero, np.uint8))
    indices = model.node("Cast", [model.node("ArgMax", ["x"], axis=1, keepdims=0)], to=TensorProto.INT64)
    proto = model.finish(model.node("Gather", [table, indices]))
    gathers = [op for op in import_model(proto).module.walk() if op.name == "graph.gather"]
    assert [str(op.results[0].type) for op in gathers] == ["tensor<1x4x6xf32>" if zero else "tensor<1x4x6xui8>"]
    value = normal(rng, model.shape)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": value})
    np.testing.assert_array_equal(npucc.simulate(npucc.compile(proto), {"x": value}).outputs["y"], expected)
