"""Quantized ops against onnxruntime: exact integers."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(17)


def integers(dtype: type, *shape: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("zero", [0, 3])
def test_quantize_and_dequantize(dtype, zero, matches_onnxruntime):
    x = (5 * RNG.standard_normal((3, 7))).astype(np.float32)
    scale, point = np.array(0.037, np.float32), np.array(zero, dtype)
    matches_onnxruntime("QuantizeLinear", [x, scale, point], constants=[1, 2])
    matches_onnxruntime("DequantizeLinear", [integers(dtype, 3, 7), scale, point], constants=[1, 2])


def test_ties_round_to_even(matches_onnxruntime):
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 300, -300], np.float32)
    matches_onnxruntime("QuantizeLinear", [x, np.array(1, np.float32), np.array(0, np.int8)], constants=[1, 2])


def test_per_channel(matches_onnxruntime):
    scales, points = np.array([0.1, 0.2, 0.3], np.float32), np.array([1, -2, 3], np.int8)
    matches_onnxruntime("DequantizeLinear", [integers(np.int8, 2, 3, 4), scales, points], constants=[1, 2], axis=1)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("points", [(0, 0), (5, 0), (0, 3), (5, 3)])
@pytest.mark.parametrize("known", [False, True])
def test_matmul_integer(signed, points, known, matches_onnxruntime):
    a, b = integers(np.uint8, 4, 9), integers(np.int8 if signed else np.uint8, 9, 5)
    zeros = [np.array(point, array.dtype) for point, array in zip(points, (a, b))]
    matches_onnxruntime("MatMulInteger", [a, b, *zeros], constants=[1, 2, 3] if known else [])


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 2, 1]])
@pytest.mark.parametrize("zero", [0, 7])
def test_conv_integer(pads, zero, matches_onnxruntime):
    x, w, point = integers(np.uint8, 1, 4, 6, 5), integers(np.uint8, 6, 2, 3, 3), np.array(zero, np.uint8)
    matches_onnxruntime("ConvInteger", [x, w, point], constants=[1, 2], pads=pads, group=2, strides=[2, 1])


def test_qlinear_conv_per_channel(matches_onnxruntime):
    inputs = [
        integers(np.uint8, 1, 3, 6, 6),
        np.array(0.02, np.float32),
        np.array(100, np.uint8),
        integers(np.int8, 4, 3, 3, 3),
        np.array([0.01, 0.02, 0.005, 0.03], np.float32),
        np.zeros(4, np.int8),
        np.array(0.4, np.float32),
        np.array(120, np.uint8),
        RNG.integers(-500, 500, 4).astype(np.int32),
    ]
    matches_onnxruntime("QLinearConv", inputs, constants=range(1, 9), pads=[1, 1, 1, 1])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("x_zero", [0, 9])
@pytest.mark.parametrize("shape", [(7,), (6, 5), (4, 5, 3)])
def test_qlinear_conv_weights_with_zero_points(known, x_zero, shape, matches_reference):
    """Weights minus zero points that need nine bits, and weights that the model computes."""
    kernel = [3, 2, 2][: len(shape)]
    w = integers(np.uint8, 4, 2, *kernel)
    w.reshape(-1)[:2] = 0, 255
    inputs = [
        integers(np.uint8, 2, 4, *shape),
        np.array(0.02, np.float32),
        np.array(x_zero, np.uint8),
        w,
        np.array(0.01, np.float32),
        np.array(131, np.uint8),
        np.array(0.4, np.float32),
        np.array(120, np.uint8),
    ]
    pads = [1] * len(shape) + [0] * len(shape)
    matches_reference("QLinearConv", inputs, constants=range(1, 8) if known else [], group=2, pads=pads, atol=1)


def test_qlinear_matmul(matches_onnxruntime):
    inputs = [
        integers(np.uint8, 4, 9),
        np.array(0.02, np.float32),
        np.array(100, np.uint8),
        integers(np.uint8, 9, 5),
        np.array(0.03, np.float32),
        np.array(110, np.uint8),
        np.array(0.5, np.float32),
        np.array(120, np.uint8),
    ]
    matches_onnxruntime("QLinearMatMul", inputs, constants=range(1, 8))


def test_dynamic_quantization_expands_to_its_function_body(matches_onnxruntime):
    x = RNG.standard_normal((4, 5)).astype(np.float32)
    matches_onnxruntime("DynamicQuantizeLinear", [x], outputs=3)


@pytest.mark.parametrize("shape", [(3, 7), (1,), (2, 3, 4)])
@pytest.mark.parametrize("offset", [0.0, 5.0, -5.0])
def test_dynamic_quantization(shape, offset, matches_onnxruntime):
    x = (RNG.standard_normal(shape) + offset).astype(np.float32)
    matches_onnxruntime("DynamicQuantizeLinear", [x], outputs=3, rtol=1e-7)


def test_dynamic_quantization_of_zeros(matches_onnxruntime):
    matches_onnxruntime("DynamicQuantizeLinear", [np.zeros((3, 4), np.float32)], outputs=3)
