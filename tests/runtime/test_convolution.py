"""mx.conv, mx.dwconv and v.dwconv against a loop over output positions in f64, and against onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.descriptor import Space
from npuisa.errors import NpuError
from npuisa.instructions import AccMode, MxConv, MxDwconv, VDwconv
from npusim.semantics import conv as conv_module


def reference(x, w, out_hw, stride, dilation, pad, groups):
    """Convolution by definition, in f64 (exact for the integers used here). x NHWC, w HWIO."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    n, h, width, _ = x.shape
    kh, kw, depth, outputs = w.shape
    out = np.zeros((n, *out_hw, outputs))
    per_group = outputs // groups
    for i, j, p, q in np.ndindex(*out_hw, kh, kw):
        row, column = i * stride[0] + p * dilation[0] - pad[0], j * stride[1] + q * dilation[1] - pad[1]
        if 0 <= row < h and 0 <= column < width:
            for g in range(groups):
                block = slice(g * per_group, (g + 1) * per_group)
                out[:, i, j, block] += x[:, row, column, g * depth : (g + 1) * depth] @ w[p, q, :, block]
    return out


@st.composite
def geometries(draw: st.DrawFn):
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(2))
    stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(2)) for _ in range(2))
    pad = tuple(draw(st.integers(0, 3)) for _ in range(2))
    out = tuple(draw(st.integers(1, 5)) for _ in range(2))
    size = tuple(
        max(1, (o - 1) * s + (k - 1) * d + 1 - p - draw(st.integers(-2, 3)))
        for o, s, k, d, p in zip(out, stride, kernel, dilation, pad)
    )
    return kernel, stride, dilation, pad, out, size


def fields(stride, dilation, pad):
    names = ("stride_h", "stride_w", "dilation_h", "dilation_w", "pad_h", "pad_w")
    return dict(zip(names, (*stride, *dilation, *pad)))


def numbers(rng, dtype, shape):
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def gapped(shape: tuple[int, ...], gap: int) -> tuple[int, ...]:
    """Strides of a tensor that is a box of a wider one: every axis but the last is longer by `gap`."""
    strides, step = [], 1
    for dim in reversed(shape):
        strides.append(step)
        step *= dim + gap
    return tuple(reversed(strides))


TYPES = [("f4", "f4", "f4"), ("f2", "f2", "f4"), ("i1", "i1", "i4"), ("u1", "i1", "i4"), ("f8", "f8", "f8")]


@settings(max_examples=80, deadline=None)
@given(
    geometries(),
    st.integers(1, 3),
    st.sampled_from([(1, 3, 4), (2, 4, 6), (1, 1, 1), (3, 3, 3)]),
    st.sampled_from(TYPES),
    st.sampled_from([AccMode.SET, AccMode.ADD]),
    st.tuples(*[st.integers(0, 1)] * 3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_conv_by_definition(bench, geometry, batch, channels, types, mode, gaps, small_panels, seed):
    kernel, stride, dilation, pad, out, size = geometry
    groups, inputs, outputs = channels
    rng, machine = np.random.default_rng(seed), bench()
    x = numbers(rng, types[0], (batch, *size, inputs))
    w = numbers(rng, types[1], (*kernel, inputs // groups, outputs))
    old = numbers(rng, "i1" if types[2] == "i4" else types[2], (batch, *out, outputs))
    dst = machine.place(old.shape, types[2], space=Space.ACC, data=old, strides=gapped(old.shape, gaps[0]))
    source = machine.place(x.shape, types[0], data=x, strides=gapped(x.shape, gaps[1]))
    weights = machine.place(w.shape, types[1], data=w, strides=gapped(w.shape, gaps[2]))
    instruction = MxConv(dst=dst, x=source, w=weights, groups=groups, mode=mode, **fields(stride, dilation, pad))
    limit = conv_module.PANEL_BYTES
    try:
        conv_module.PANEL_BYTES = 256 if small_panels else limit
        result = machine.run(instruction, read=dst)
    finally:
        conv_module.PANEL_BYTES = limit
    expected = reference(x, w, out, stride, dilation, pad, groups) + (old if mode is AccMode.ADD else 0)
    if types[2] == "i4":
        assert np.array_equal(result, expected)
    else:
        tolerance = 1e-12 if types[2] == "f8" else 1e-5
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * 20)


@settings(max_examples=60, deadline=None)
@given(
    geometries(),
    st.integers(1, 2),
    st.integers(1, 5),
    st.sampled_from([*TYPES, ("f2", "f2", "f2")]),
    st.booleans(),
    st.tuples(*[st.integers(0, 1)] * 3),
    st.integers(0, 2**32 - 1),
)
def test_depthwise_by_definition(bench, geometry, batch, channels, types, vector, gaps, seed):
    kernel, stride, dilation, pad, out, size = geometry
    rng, machine = np.random.default_rng(seed), bench()
    vector = vector or types[2] == "f2"
    x, w = numbers(rng, types[0], (batch, *size, channels)), numbers(rng, types[1], (*kernel, channels))
    shape, space = (batch, *out, channels), Space.SRAM if vector else Space.ACC
    dst = machine.place(shape, types[2], space=space, strides=gapped(shape, gaps[0]))
    source = machine.place(x.shape, types[0], data=x, strides=gapped(x.shape, gaps[1]))
    weights = machine.place(w.shape, types[1], data=w, strides=gapped(w.shape, gaps[2]))
    kind = VDwconv if vector else MxDwconv
    result = machine.run(kind(dst=dst, x=source, w=weights, **fields(stride, dilation, pad)), read=dst)
    expected = reference(x, w[:, :, None, :], out, stride, dilation, pad, channels)
    if types[2] == "i4":
        assert np.array_equal(result, expected)
    else:
        tolerance = {"f8": 1e-12, "f4": 1e-5, "f2": 2e-3}[types[2]]
        np.testing.assert_allclose(result.astype("f8"), expected, rtol=tolerance, atol=tolerance * 20)


@pytest.mark.parametrize(
    ("ci", "co", "size", "kernel", "stride", "pads", "groups"),
    [
        (3, 16, 30, 7, 2, (3, 3, 3, 3), 1),
        (16, 24, 14, 3, 1, (1, 1, 1, 1), 1),
        (16, 24, 14, 3, 2, (0, 0, 1, 1), 1),
        (32, 8, 13, 1, 2, (0, 0, 0, 0), 1),
        (16, 16, 9, 3, 1, (1, 1, 1, 1), 4),
        (16, 16, 15, 5, 2, (2, 2, 2, 2), 16),
    ],
)
def test_conv_agrees_with_onnxruntime(bench, ci, co, size, kernel, stride, pads, groups):
    rng, machine = np.random.default_rng(3), bench()
    x = rng.standard_normal((1, size, size, ci)).astype("f4")
    w = rng.standard_normal((kernel, kernel, ci // groups, co)).astype("f4")
    expected = onnx_conv(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), stride, pads, groups).transpose(0, 2, 3, 1)
    dst = machine.place(expected.shape, "f4", space=Space.ACC)
    source, weights = machine.place(x.shape, "f4", data=x), machine.place(w.shape, "f4", data=w)
    options = fields((stride, stride), (1, 1), pads[:2])
    result = machine.run(MxConv(dst=dst, x=source, w=weights, groups=groups, **options), read=dst)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def onnx_conv(x, w, stride, pads, groups):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[stride] * 2, pads=list(pads), group=groups)
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info("x", kind, x.shape), helper.make_tensor_value_info("w", kind, w.shape)],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, {"x": np.ascontiguousarray(x), "w": np.ascontiguousarray(w)})[0]


@pytest.mark.parametrize(
    ("w_shape", "options", "message"),
    [
        ((3, 3, 4, 6), {"groups": 2}, "dims must be"),
        ((3, 3, 5, 6), {}, "dims must be"),
        ((3, 3, 4, 6), {"stride_h": 0}, "stride_h must be 1 or more"),
    ],
)
def test_wrong_conv_operands_are_named(bench, w_shape, options, message):
    machine = bench()
    dst = machine.place((1, 2, 2, 6), "f4", space=Space.ACC)
    x, w = machine.place((1, 4, 4, 4), "f4"), machine.place(w_shape, "f4")
    with pytest.raises(NpuError, match=f"NPU-E0312: .*{message}"):
        machine.run(MxConv(dst=dst, x=x, w=w, **options), read=dst)
