"""Ops of com.microsoft that ONNX has, too, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(41)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_quantization(dtype, matches_onnxruntime):
    x, scale, zero = 5 * normal(3, 7), np.array(0.037, np.float32), np.array(5, dtype)
    matches_onnxruntime("QuantizeLinear", [x, scale, zero], constants=[1, 2])
    stored = RNG.integers(0, 100, (3, 7)).astype(dtype)
    matches_onnxruntime("DequantizeLinear", [stored, scale, zero], constants=[1, 2])
    scales, zeros = np.array([0.1, 0.2, 0.3], np.float32), np.array([1, 2, 3], dtype)
    matches_onnxruntime("DequantizeLinear", [stored, scales, zeros], constants=[1, 2], axis=0)


@pytest.mark.parametrize("upper", [0, 1])
def test_triangles(upper, matches_onnxruntime):
    matches_onnxruntime("Trilu", [normal(4, 5), np.array(1, np.int64)], constants=[1], upper=upper)


def test_movement(matches_onnxruntime):
    matches_onnxruntime("Pad", [normal(3, 4), np.array([0, 1, 2, 0])], constants=[1])
    matches_onnxruntime("ExpandDims", [normal(3, 4), np.array(-1, np.int32)], constants=[1])
    matches_onnxruntime("GatherND", [normal(3, 4, 5), np.array([[0, 1], [2, 3]])])
    matches_onnxruntime("Range", [np.array([2.0], np.float32), np.array([7.0], np.float32)], constants=[0, 1])


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (2, 3, 5, 5)])
@pytest.mark.parametrize("device", [False, True])
def test_inverse(shape, device, matches_onnxruntime):
    matches_onnxruntime("Inverse", [normal(*shape)], device=device, rtol=1e-3, atol=1e-3)


def test_a_zero_on_the_diagonal(matches_onnxruntime):
    matches_onnxruntime("Inverse", [np.array([[0, 2, 1], [1, 0, 0], [0, 1, 1]], np.float32)])
