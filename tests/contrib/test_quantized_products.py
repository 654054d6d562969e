"""MatMulIntegerToFloat, DynamicQuantizeMatMul, QGemm and MatMulInteger16 against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(31)


def integers(dtype: type, *shape: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def parameters(dtype: type, columns: int) -> tuple[np.ndarray, np.ndarray]:
    if columns:
        return RNG.uniform(0.01, 0.02, columns).astype(np.float32), np.full(columns, 3, dtype)
    return np.array(0.015, np.float32), np.array(3, dtype)


@pytest.mark.parametrize("weights", [np.uint8, np.int8])
@pytest.mark.parametrize("columns", [0, 7])
@pytest.mark.parametrize("bias", [False, True])
def test_matmul_integer_to_float(weights, columns, bias, matches_onnxruntime):
    scale, zero = parameters(weights, columns)
    inputs = [integers(np.uint8, 2, 4, 9), integers(weights, 9, 7), np.array(0.02, np.float32), scale]
    inputs += [np.array(120, np.uint8), zero, *([normal(7)] if bias else [])]
    matches_onnxruntime("MatMulIntegerToFloat", inputs, constants=range(1, len(inputs)))


@pytest.mark.parametrize("weights", [np.uint8, np.int8])
@pytest.mark.parametrize("columns", [0, 7])
@pytest.mark.parametrize("device", [False, True])
def test_dynamic_quantize_matmul(weights, columns, device, matches_onnxruntime):
    scale, zero = parameters(weights, columns)
    inputs = [normal(2, 4, 9), integers(weights, 9, 7), scale, zero, normal(7)]
    matches_onnxruntime("DynamicQuantizeMatMul", inputs, constants=[1, 2, 3, 4], device=device)
    matches_onnxruntime("DynamicQuantizeMatMul", inputs[:3], constants=[1, 2], device=device)


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("columns", [0, 7])
@pytest.mark.parametrize("quantized", [False, True])
def test_qgemm(turned, columns, quantized, matches_onnxruntime):
    scale, zero = parameters(np.int8, columns)
    a = integers(np.uint8, 9, 4) if turned else integers(np.uint8, 4, 9)
    b = integers(np.int8, 7, 9) if turned else integers(np.int8, 9, 7)
    inputs = [a, np.array(0.02, np.float32), np.array(120, np.uint8), b, scale, zero]
    inputs += [RNG.integers(-999, 999, 7).astype(np.int32)]
    inputs += [np.array(0.3, np.float32), np.array(110, np.uint8)] if quantized else []
    known = range(1, len(inputs))
    matches_onnxruntime("QGemm", inputs, constants=known, transA=turned, transB=turned, alpha=0.5)


def test_matmul_integer_16(matches_onnxruntime):
    a, b = (RNG.integers(-2000, 2000, shape).astype(np.int16) for shape in ((3, 9), (9, 4)))
    matches_onnxruntime("MatMulInteger16", [a, b])
