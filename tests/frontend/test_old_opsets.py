"""Opsets 1 to 9: attributes, defaults and inputs that later versions changed, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

RNG = np.random.default_rng(17)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def check(one_node, run, op: str, inputs: list, expected: Any, *, opset: int, constants=(), **attributes: Any) -> None:
    wanted = list(expected) if isinstance(expected, list | tuple) else [expected]
    model = one_node(op, inputs, opset=opset, outputs=len(wanted), constants=constants, **attributes)
    names = {value.name for value in model.graph.input}
    feed = {f"x{i}": array for i, array in enumerate(inputs) if array is not None and f"x{i}" in names}
    found = run(model, feed)
    for actual, values in zip(found, wanted, strict=True):
        assert actual.dtype == values.dtype
        assert actual.shape == values.shape
        np.testing.assert_allclose(actual, values, rtol=1e-5, atol=1e-5)


ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power}
COMPARISONS = {"Greater": np.greater, "Less": np.less}
LOGIC = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}


@pytest.mark.parametrize("op", [*ARITHMETIC, *COMPARISONS, *LOGIC, "Equal"])
@pytest.mark.parametrize("opset", [1, 6])
@pytest.mark.parametrize(
    "shape, options, aligned",
    [
        ((2, 3, 4, 5), {}, (2, 3, 4, 5)),
        ((4, 5), {"broadcast": 1}, (4, 5)),
        ((3, 4), {"broadcast": 1, "axis": 1}, (3, 4, 1)),
        ((2,), {"broadcast": 1, "axis": 0}, (2, 1, 1, 1)),
        ((1, 1), {"broadcast": 1}, (1, 1)),
        ((), {"broadcast": 1}, ()),
    ],
)
def test_broadcast_and_axis(op, opset, shape, options, aligned, one_node, run):
    a, b = np.abs(normal(2, 3, 4, 5)) + 0.5, np.abs(normal(*shape)) + 0.5
    if op in LOGIC:
        a, b = a > 1, b > 1
    elif op == "Equal":
        a, b = a.astype(np.int32), b.astype(np.int32)
    function = {**ARITHMETIC, **COMPARISONS, **LOGIC, "Equal": np.equal}[op]
    options = {**options, **({"consumed_inputs": [0, 0]} if opset == 1 and op in ("Add", "Sub", "Mul", "Div") else {})}
    check(one_node, run, op, [a, b], function(a, b.reshape(aligned)), opset=opset, **options)


@pytest.mark.parametrize("op, function", [("Relu", lambda x: np.maximum(x, 0)), ("Exp", np.exp), ("Neg", np.negative)])
def test_consumed_inputs_say_nothing(op, function, one_node, run):
    x = normal(3, 4)
    check(one_node, run, op, [x], function(x), opset=1, consumed_inputs=[0])


@pytest.mark.parametrize("opset", [1, 6])
def test_clip_by_attributes(opset, one_node, run):
    x = normal(3, 4)
    check(one_node, run, "Clip", [x], np.clip(x, -0.5, 0.25), opset=opset, min=-0.5, max=0.25)
    check(one_node, run, "Clip", [x], np.maximum(x, 0.1), opset=opset, min=0.1)


def test_cast_by_name(one_node, run):
    x = normal(3, 4) * 9
    check(one_node, run, "Cast", [x], x.astype(np.int32), opset=1, to="INT32")
    check(one_node, run, "Cast", [x], x.astype(np.int32), opset=6, to=int(TensorProto.INT32))


def test_concat_of_opset_1_joins_axis_1(one_node, run):
    a, b = normal(2, 3), normal(2, 4)
    check(one_node, run, "Concat", [a, b], np.concatenate([a, b], 1), opset=1)
    check(one_node, run, "Concat", [a, a], np.concatenate([a, a], 0), opset=4, axis=0)


@pytest.mark.parametrize("opset", [1, 6, 7])
def test_dropout_is_the_identity(opset, one_node, run):
    x = normal(3, 4).astype(np.float64)
    options = {} if opset == 7 else {"is_test": 1}
    check(one_node, run, "Dropout", [x], [x, np.ones_like(x)], opset=opset, ratio=0.5, **options)


@pytest.mark.parametrize("opset", [1, 6, 7])
def test_gemm(opset, one_node, run):
    a, b, c = normal(4, 3), normal(4, 5), normal(5)
    options = {"broadcast": 1} if opset < 7 else {}
    expected = 0.5 * a.T @ b + 2 * c
    check(one_node, run, "Gemm", [a, b, c], expected, opset=opset, transA=1, alpha=0.5, beta=2.0, **options)


@pytest.mark.parametrize("p", [1.0, 2.0, 2.5])
def test_lp_pools_of_opset_1_have_real_exponents(p, one_node, run):
    x = normal(2, 3, 4, 6)
    blocks = np.abs(x).reshape(2, 3, 2, 2, 3, 2).astype(np.float64) ** p
    pooled = (blocks.sum((3, 5)) ** (1 / p)).astype(np.float32)
    check(one_node, run, "LpPool", [x], pooled, opset=1, p=p, kernel_shape=[2, 2], strides=[2, 2])
    whole = ((np.abs(x).astype(np.float64) ** p).sum((2, 3), keepdims=True) ** (1 / p)).astype(np.float32)
    check(one_node, run, "GlobalLpPool", [x], whole, opset=1, p=p)


def test_pad_by_attributes(one_node, run):
    x = normal(2, 3)
    expected = np.pad(x, [(1, 0), (2, 1)], constant_values=1.5)
    check(one_node, run, "Pad", [x], expected, opset=1, paddings=[1, 2, 0, 1], value=1.5)
    check(one_node, run, "Pad", [x], expected, opset=2, pads=[1, 2, 0, 1], value=1.5)
    check(one_node, run, "Pad", [x], np.pad(x, [(1, 0), (2, 1)], "reflect"), opset=2, pads=[1, 2, 0, 1], mode="reflect")
    check(one_node, run, "Pad", [x], np.pad(x, [(1, 0), (2, 1)], "edge"), opset=1, paddings=[1, 2, 0, 1], mode="edge")


@pytest.mark.parametrize("opset, slope, aligned", [(1, (1,), (1,)), (6, (3,), (3, 1, 1)), (7, (3, 1, 1), (3, 1, 1))])
def test_prelu(opset, slope, aligned, one_node, run):
    x, factor = normal(2, 3, 4, 5), normal(*slope)
    check(one_node, run, "PRelu", [x, factor], np.where(x < 0, x * factor.reshape(aligned), x), opset=opset)


def test_reshape_by_attribute(one_node, run):
    x = normal(2, 3, 4)
    check(one_node, run, "Reshape", [x], x.reshape(2, 12), opset=1, shape=[0, -1])
    check(one_node, run, "Reshape", [x, ints(0, -1)], x.reshape(2, 12), opset=5, constants=[1])


def test_selu_constants_of_opset_1(one_node, run):
    x = normal(3, 4)
    expected = np.where(x > 0, 1.0507 * x, 1.0507 * 1.6732 * np.expm1(x)).astype(np.float32)
    check(one_node, run, "Selu", [x], expected, opset=1)


def test_slice_by_attributes(one_node, run):
    x = normal(4, 5, 6)
    check(one_node, run, "Slice", [x], x[1:3, :, -4:], opset=1, starts=[1, -4], ends=[3, 1000], axes=[0, 2])
    check(one_node, run, "Slice", [x], x[1:-1, 0:2], opset=1, starts=[1, 0], ends=[-1, 2])


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax_of_all_axes_behind(op, axis, one_node, run):
    """Until opset 12 the tensor is seen as a matrix that ends in front of `axis`."""
    x = normal(2, 3, 4)
    flat = x.reshape(int(np.prod(x.shape[:axis])), -1)
    powers = np.exp(flat - flat.max(1, keepdims=True))
    soft = powers / powers.sum(1, keepdims=True)
    results = {"Softmax": soft, "LogSoftmax": np.log(soft), "Hardmax": np.eye(flat.shape[1])[flat.argmax(1)]}
    check(one_node, run, op, [x], results[op].reshape(x.shape).astype(np.float32), opset=9, axis=axis)


def test_split_sizes(one_node, run):
    x = normal(6, 5)
    parts = [x[:, :2], x[:, 2:5]]
    check(one_node, run, "Split", [x, ints(2, 3)], parts, opset=1, constants=[1], axis=1)
    check(one_node, run, "Split", [x], parts, opset=1, axis=1, split=[2, 3])
    check(one_node, run, "Split", [x], parts, opset=2, axis=1, split=[2, 3])
    check(one_node, run, "Split", [x], [x[:2], x[2:4], x[4:]], opset=2)


def test_squeeze_and_unsqueeze_by_attributes(one_node, run):
    x = normal(1, 3, 1, 4)
    check(one_node, run, "Squeeze", [x], x[0], opset=1, axes=[0])
    check(one_node, run, "Squeeze", [x], x[0, :, 0], opset=1)
    check(one_node, run, "Unsqueeze", [x], x[:, None, ..., None], opset=1, axes=[1, 5])


def test_tile_of_one_axis(one_node, run):
    x = normal(2, 3)
    check(one_node, run, "Tile", [x, ints(3)[0], ints(1)[0]], np.tile(x, (1, 3)), opset=1, constants=[1, 2])
    check(one_node, run, "Tile", [x, ints(2, 3)], np.tile(x, (2, 3)), opset=6, constants=[1])


def test_topk_by_attribute(one_node, run):
    x = normal(3, 7)
    order = np.argsort(-x, axis=1, kind="stable")[:, :3]
    check(one_node, run, "TopK", [x], [np.take_along_axis(x, order, 1), order], opset=1, k=3)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "linear"])
def test_upsample(mode, one_node, run):
    x = normal(1, 2, 3, 4)
    expected = x.repeat(2, 2).repeat(3, 3) if mode == "nearest" else _linear(_linear(x, 2, 2), 3, 3)
    if mode != "linear":
        check(one_node, run, "Upsample", [x], expected, opset=1, mode=mode, height_scale=2.0, width_scale=3.0)
    if mode != "bilinear":
        check(one_node, run, "Upsample", [x], expected, opset=7, mode=mode, scales=[1.0, 1.0, 2.0, 3.0])
        scales = np.array([1, 1, 2, 3], np.float32)
        check(one_node, run, "Upsample", [x, scales], expected, opset=9, constants=[1], mode=mode)
        check(one_node, run, "Resize", [x, scales], expected, opset=10, constants=[1], mode=mode)


def _linear(x: np.ndarray, axis: int, factor: int) -> np.ndarray:
    """Output i lies at i / factor, clamped to the last element."""
    position = np.minimum(np.arange(x.shape[axis] * factor) / factor, x.shape[axis] - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    part = (position - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return (x.take(low, axis) * (1 - part) + x.take(high, axis) * part).astype(np.float32)


@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("opset", [1, 6, 8])
def test_variadic(op, opset, one_node, run):
    values = [normal(2, 3) for _ in range(3)]
    function = {"Max": np.max, "Min": np.min, "Sum": np.sum, "Mean": np.mean}[op]
    check(one_node, run, op, values, function(values, axis=0), opset=opset)
    check(one_node, run, op, values[:1], values[0], opset=opset)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMean", "ReduceProd", "ReduceMin"])
def test_reductions_by_attribute(op, one_node, run):
    x = normal(2, 3, 4)
    function = getattr(np, op.removeprefix("Reduce").lower())
    check(one_node, run, op, [x], function(x, (0, 2), keepdims=True), opset=1, axes=[0, 2])
    check(one_node, run, op, [x], np.asarray(function(x), np.float32), opset=1, keepdims=0)


def test_average_pool_leaves_padding_out(one_node, run):
    x = normal(1, 1, 4, 4)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    expected = np.nanmean(windows, (4, 5)).astype(np.float32)
    options = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    check(one_node, run, "AveragePool", [x], expected, opset=1, **options)


def test_scatter_is_scatter_elements(one_node, run):
    x, indices, updates = normal(3, 4), RNG.permuted(np.tile(np.arange(4), (2, 1)), axis=1), normal(2, 4)
    expected = x.copy()
    np.put_along_axis(expected[:2], indices, updates, 1)
    check(one_node, run, "Scatter", [x, indices, updates], expected, opset=9, axis=1)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_argmax_of_opset_1(op, one_node, run):
    x = normal(3, 4)
    function = np.argmax if op == "ArgMax" else np.argmin
    check(one_node, run, op, [x], function(x, 1), opset=1, axis=1, keepdims=0)


def test_constant_of_opset_1(one_node, run):
    value = helper.make_tensor("value", TensorProto.FLOAT, [2], [1.0, 2.0])
    check(one_node, run, "Constant", [], np.array([1, 2], np.float32), opset=1, value=value)
