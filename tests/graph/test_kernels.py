"""NumPy semantics of windowed ops and contractions against onnx.reference and onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.dialects.graph import (
    ConstantOp,
    ConvOp,
    DepthwiseConvOp,
    LogSoftmaxOp,
    MatmulOp,
    Numerics,
    SliceOp,
    SoftmaxOp,
    WindowReduceOp,
)
from npucc.interpreters.graph import evaluate_op
from npucc.types import tensor, tensor_of
from onnx import helper
from onnx.reference import ReferenceEvaluator


def one_node(op: str, inputs: list[np.ndarray], **attributes: object) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of one ONNX node, and its inputs by name."""
    names = [f"i{k}" for k in range(len(inputs))]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, inputs)
    ]
    out = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(inputs[0].dtype), None)
    body = helper.make_graph([helper.make_node(op, names, ["y"], **attributes)], "g", infos, [out])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model, dict(zip(names, inputs))


def onnx_run(op: str, inputs: list[np.ndarray], **attributes: object) -> np.ndarray:
    """One ONNX node by the reference implementation."""
    model, feeds = one_node(op, inputs, **attributes)
    return ReferenceEvaluator(model).run(None, feeds)[0]


def ort_run(op: str, inputs: list[np.ndarray], **attributes: object) -> np.ndarray:
    """One ONNX node by onnxruntime (onnx.reference orders asymmetric pads of pools wrongly)."""
    model, feeds = one_node(op, inputs, **attributes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def constants(*arrays: np.ndarray) -> list[ConstantOp]:
    return [ConstantOp(f"c{i}", tensor_of(array)) for i, array in enumerate(arrays)]


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.integers(1, 3),
)
def test_conv(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    groups: int,
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 2 * groups, 7, 6))
    w = rng.normal(size=(3 * groups, 2, *kernel))
    attributes = {"strides": strides, "dilations": dilations, "pads": pads}
    expected = onnx_run("Conv", [x, w], group=groups, **attributes)
    last, filters = x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0)
    found = evaluate_op(ConvOp(*constants(last, filters), strides, dilations, pads, groups), [last, filters])
    np.testing.assert_allclose(found, expected.transpose(0, 2, 3, 1), atol=1e-10)
    single = rng.normal(size=(2 * groups, 1, *kernel))
    expected = onnx_run("Conv", [x, single], group=2 * groups, **attributes)
    filters = single[:, 0].transpose(1, 2, 0)
    op = DepthwiseConvOp(*constants(last, filters), strides, dilations, pads)
    np.testing.assert_allclose(evaluate_op(op, [last, filters]), expected.transpose(0, 2, 3, 1), atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(2, 4), st.integers(2, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 1)] * 4),
)
def test_pooling(kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int, int, int]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 8)).astype(np.float32)
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    (value,) = constants(x)
    top = evaluate_op(WindowReduceOp(value, "max", (2, 3), kernel, strides, pads=pads), [x])
    np.testing.assert_array_equal(top, ort_run("MaxPool", [x], **attributes))
    total = evaluate_op(WindowReduceOp(value, "sum", (2, 3), kernel, strides, pads=pads), [x])
    mean = ort_run("AveragePool", [x], count_include_pad=1, **attributes)
    np.testing.assert_allclose(total / (kernel[0] * kernel[1]), mean, atol=1e-5)


def test_softmax_and_matmul() -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(3, 4, 9)) * 50).astype(np.float32)
    (value,) = constants(x)
    np.testing.assert_allclose(evaluate_op(SoftmaxOp(value), [x]), onnx_run("Softmax", [x], axis=-1), atol=1e-6)
    log = ort_run("LogSoftmax", [x], axis=-1)
    np.testing.assert_allclose(evaluate_op(LogSoftmaxOp(value), [x]), log, rtol=1e-5, atol=1e-5)
    a, b = rng.normal(size=(5, 1, 2, 3)), rng.normal(size=(4, 3, 7))
    found = evaluate_op(MatmulOp(*constants(a, b)), [a, b])
    np.testing.assert_allclose(found, onnx_run("MatMul", [a, b]), atol=1e-12)


def test_narrow_floats_accumulate_in_f32_and_round_once() -> None:
    """4096 + 1 + ... + 1 stays 4096 when every partial sum is rounded to f16."""
    a = np.concatenate([[4096.0], np.ones(512)]).astype(np.float16)[None]
    ones = np.ones((513, 1), np.float16)
    found = evaluate_op(MatmulOp(*constants(a, ones)), [a, ones])
    assert found.dtype == np.float16
    assert found[0, 0] == np.float16(4608)


def test_integers_accumulate_in_the_result_type() -> None:
    a = np.full((1, 600), 127, np.int8)
    op = MatmulOp(*constants(a, a.T), "i32")
    assert evaluate_op(op, [a, a.T])[0, 0] == 127 * 127 * 600


def test_high_precision_does_not_round() -> None:
    a = np.array([[1 + 2.0**-20]])
    op = MatmulOp(ConstantOp("a", tensor((1, 1), "f16")), ConstantOp("b", tensor((1, 1), "f16")))
    assert op.evaluate([a, a], Numerics(high_precision=True))[0, 0] == (1 + 2.0**-20) ** 2


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 8), st.integers(-4, 4).filter(bool), st.integers(0, 5))
def test_slice(extent: int, start: int, step: int, size: int) -> None:
    last = start + step * (size - 1)
    if start >= extent or (size and not 0 <= last < extent):
        return
    x = np.arange(extent)
    op = SliceOp(ConstantOp("x", tensor((extent,), "i64")), (start,), (step,), (size,))
    assert list(evaluate_op(op, [x])) == [start + step * j for j in range(size)]
