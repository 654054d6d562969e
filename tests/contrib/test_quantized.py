"""Ops on quantized tensors against onnxruntime: exact where its arithmetic is, else one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TYPES = (np.uint8, np.int8)
SCALES = st.sampled_from([0.125, 0.25, 0.0123, 0.03, 0.07])


def integers(rng: np.random.Generator, dtype: type, *shape: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


@st.composite
def parameters(draw: Any, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    info = np.iinfo(dtype)
    return np.array(draw(SCALES), np.float32), np.array(draw(st.integers(info.min, info.max)), dtype)


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_arithmetic(op, data, matches_onnxruntime):
    dtype = data.draw(st.sampled_from(TYPES))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    shapes = data.draw(st.sampled_from([((4, 37), (4, 37)), ((2, 3, 5), (5,)), ((6, 1), (1, 7)), ((64,), (1,))]))
    a, b, c = (data.draw(parameters(dtype)) for _ in range(3))
    inputs = [integers(rng, dtype, *shapes[0]), *a, integers(rng, dtype, *shapes[1]), *b, *c]
    # onnxruntime adds with fused multiply-adds: a sum that lies half-way between two steps may round the other way.
    matches_onnxruntime(op, inputs, constants=[1, 2, 4, 5, 6, 7], steps=1 if op == "QLinearAdd" else 0)


def test_arithmetic_on_the_device(matches_onnxruntime):
    rng = np.random.default_rng(2)
    scale, zero = np.array(0.02, np.float32), np.array(7, np.uint8)
    inputs = [integers(rng, np.uint8, 40, 9), scale, zero, integers(rng, np.uint8, 40, 9), scale, zero, scale, zero]
    for op in ("QLinearAdd", "QLinearMul"):
        matches_onnxruntime(op, inputs, constants=[1, 2, 4, 5, 6, 7], device=True)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("QLinearSigmoid", {}),
        ("QLinearLeakyRelu", {"alpha": 0.1}),
        ("QLinearSoftmax", {"axis": -1, "opset": 13}),
        ("QLinearSoftmax", {"axis": 1, "opset": 13}),
        ("QLinearSoftmax", {"axis": 1, "opset": 11}),
    ],
)
def test_functions(op, options, dtype, matches_onnxruntime):
    rng = np.random.default_rng(3)
    x = integers(rng, dtype, 3, 4, 8)
    scales = np.array(0.04, np.float32), np.array(1 / 256 if op != "QLinearLeakyRelu" else 0.05, np.float32)
    inputs = [x, scales[0], np.array(13, dtype), scales[1], np.array(np.iinfo(dtype).min, dtype)]
    matches_onnxruntime(op, inputs, constants=[1, 2, 3, 4], steps=1 if op == "QLinearSoftmax" else 0, **options)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("last", [0, 1])
def test_pools(dtype, last, matches_onnxruntime):
    rng = np.random.default_rng(4)
    x = integers(rng, dtype, 2, 6, 5, 3)
    inputs = [x, np.array(0.03, np.float32), np.array(5, dtype), np.array(0.02, np.float32), np.array(9, dtype)]
    matches_onnxruntime("QLinearGlobalAveragePool", inputs, constants=[1, 2, 3, 4], channels_last=last)
    for count in (0, 1):
        matches_onnxruntime(
            "QLinearAveragePool", inputs, constants=[1, 2, 3, 4], channels_last=last, kernel_shape=[3, 2],
            strides=[2, 1], pads=[1, 0, 1, 1], count_include_pad=count, steps=1,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", TYPES)
def test_joins(dtype, matches_onnxruntime):
    rng = np.random.default_rng(5)
    parameters = [(np.array(s, np.float32), np.array(z, dtype)) for s, z in ((0.02, 3), (0.02, 3), (0.05, 7))]
    pieces = [integers(rng, dtype, 2, n, 3) for n in (2, 3, 1)]
    inputs = [*parameters[0], *(item for piece, each in zip(pieces, parameters) for item in (piece, *each))]
    known = [0, 1, 3, 4, 6, 7, 9, 10]
    matches_onnxruntime("QLinearConcat", inputs, constants=known, axis=1)
    condition = rng.random((2, 1, 3)) < 0.5
    inputs = [condition, pieces[0], *parameters[0], pieces[0][:1], *parameters[2], *parameters[1]]
    matches_onnxruntime("QLinearWhere", inputs, constants=[2, 3, 5, 6, 7, 8])
