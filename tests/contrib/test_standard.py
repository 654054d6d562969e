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


@pytest.mark.parametrize("last", [0, 1])
def test_quantized_convolution(last, matches_onnxruntime):
    x = RNG.integers(0, 256, (1, 6, 5, 4) if last else (1, 4, 6, 5)).astype(np.uint8)
    w = RNG.integers(-100, 100, (3, 4, 3, 3)).astype(np.int8)
    scale, zero = np.array(0.02, np.float32), np.array(100, np.uint8)
    bias = RNG.integers(-500, 500, 3).astype(np.int32)
    inputs = [x, scale, zero, w, scale, np.array(0, np.int8), np.array(0.9, np.float32), zero, bias]
    known = range(1, 9)
    matches_onnxruntime("QLinearConv", inputs, constants=known, pads=[1, 1, 1, 1], channels_last=last)


def test_pooling_of_bytes_with_channels_last(matches_onnxruntime):
    x = RNG.integers(0, 256, (1, 6, 5, 4)).astype(np.uint8)
    matches_onnxruntime("NhwcMaxPool", [x], kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 0, 1])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", [False, True])
def test_gather_of_blocks(bits, zeros, matches_onnxruntime):
    packed = RNG.integers(0, 256, (7, 64 * bits // 8)).astype(np.uint8)
    scales = RNG.uniform(0.1, 0.2, (7, 4)).astype(np.float32)
    points = RNG.integers(0, 256, (7, 4 * bits // 8)).astype(np.uint8) if zeros else None
    inputs = [packed, np.array([[0, 6], [3, 3]]), scales, *([points] if zeros else [])]
    known = [0, 2, *([3] if zeros else [])]
    matches_onnxruntime(
        "GatherBlockQuantized", inputs, constants=known, bits=bits, block_size=16, gather_axis=0, quantize_axis=1
    )
