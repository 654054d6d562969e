"""Integer products are those of onnxruntime to the last bit: types, zero points, scales per channel, long sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BYTES = st.sampled_from([np.uint8, np.int8])


def integers(rng: np.random.Generator, dtype: type, *shape: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def zero_point(draw: Any, dtype: type, symmetric: bool = False) -> np.ndarray:
    info = np.iinfo(dtype)
    return np.array(0 if symmetric else draw(st.integers(info.min, info.max)), dtype)


@pytest.mark.parametrize("device", [False, True])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_matrices(device, data, matches_onnxruntime):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    left = data.draw(BYTES)
    right = data.draw(BYTES) if left == np.uint8 else np.int8
    m, k, n = data.draw(st.sampled_from([(1, 3, 1), (4, 70, 9), (3, 1500, 5), (17, 33, 40)]))
    a, b = integers(rng, left, m, k), integers(rng, right, k, n)
    za, zb = zero_point(data.draw, left), zero_point(data.draw, right)
    known = [1, 2, 3] if data.draw(st.booleans()) else [2, 3]
    matches_onnxruntime("MatMulInteger", [a, b, za, zb], domain="", constants=known, device=device)
    columns = data.draw(st.booleans())
    scale = rng.uniform(0.001, 0.01, n).astype(np.float32) if columns else np.array(0.004, np.float32)
    zeros = np.full(n, zb, right) if columns else zb
    factor = np.array(0.02 * 0.005 * np.sqrt(k) * 50, np.float32)
    inputs = [a, np.array(0.02, np.float32), za, b, scale, zeros, factor, zero_point(data.draw, left)]
    matches_onnxruntime("QLinearMatMul", inputs, domain="", constants=range(1, 8), device=device)


@pytest.mark.parametrize("device", [False, True])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_images(device, data, matches_onnxruntime):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    dtype = data.draw(BYTES)
    weights = data.draw(BYTES) if dtype == np.uint8 else np.int8
    groups, outputs = data.draw(st.sampled_from([(1, 5), (2, 6), (4, 4)]))
    x, w = integers(rng, dtype, 1, 4, 7, 6), integers(rng, weights, outputs, 4 // groups, 3, 2)
    options: dict[str, Any] = {
        "group": groups,
        "strides": data.draw(st.sampled_from([[1, 1], [2, 1]])),
        "pads": data.draw(st.sampled_from([[0, 0, 0, 0], [1, 0, 2, 1]])),
        "dilations": data.draw(st.sampled_from([[1, 1], [2, 1]])),
    }
    zx, zw = zero_point(data.draw, dtype), zero_point(data.draw, weights)
    if dtype == np.uint8:  # onnxruntime has ConvInteger for u8 activations only
        matches_onnxruntime("ConvInteger", [x, w, zx, zw], domain="", constants=[1, 2, 3], device=device, **options)
    channels = data.draw(st.booleans())
    scale = rng.uniform(0.001, 0.01, outputs).astype(np.float32) if channels else np.array(0.004, np.float32)
    zeros = np.full(outputs, zw, weights) if channels else zw
    inputs = [x, np.array(0.02, np.float32), zx, w, scale, zeros, np.array(0.05, np.float32)]
    inputs += [zero_point(data.draw, dtype), rng.integers(-900, 900, outputs).astype(np.int32)]
    matches_onnxruntime("QLinearConv", inputs, domain="", constants=range(1, 9), device=device, **options)
