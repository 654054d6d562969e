"""Activations of com.microsoft against onnxruntime (those without a CPU kernel: against NumPy)."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return (2 * RNG.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 8), (1, 1)])
def test_without_bias(shape, matches_onnxruntime):
    x = normal(*shape)
    for op in ("Gelu", "FastGelu", "QuickGelu"):
        matches_onnxruntime(op, [x], atol=2e-5)
    matches_onnxruntime("QuickGelu", [x], alpha=0.5)


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_with_bias(op, matches_onnxruntime):
    matches_onnxruntime(op, [normal(2, 3, 8), normal(8)], atol=2e-5)


def test_gelu_on_the_device(matches_onnxruntime):
    matches_onnxruntime("BiasGelu", [normal(4, 40), normal(40)], constants=[1], device=True, atol=2e-5)


def softmax(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    e = np.exp(x - x.max(axes, keepdims=True))
    return e / e.sum(axes, keepdims=True)


def test_bias_add(imported):
    x, bias, skip = normal(2, 5, 4), normal(4), normal(2, 5, 4)
    np.testing.assert_allclose(imported("BiasAdd", [x, bias, skip]), x + bias + skip, rtol=1e-6)


def test_bias_softmax(imported):
    x = normal(2, 3, 4, 5)
    inner, outer = normal(2, 1, 4, 5), normal(3, 4, 5)
    found = imported("BiasSoftmax", [x, inner], axis=2, is_inner_broadcast=1)
    np.testing.assert_allclose(found, softmax(x + inner, (2, 3)), rtol=1e-5)
    found = imported("BiasSoftmax", [x, inner[:, 0]], axis=2, is_inner_broadcast=1)
    np.testing.assert_allclose(found, softmax(x + inner, (2, 3)), rtol=1e-5)
    found = imported("BiasSoftmax", [x, outer], axis=3, is_inner_broadcast=0)
    np.testing.assert_allclose(found, softmax(x + outer, (3,)), rtol=1e-5)


def test_bias_split_gelu(imported):
    from math import erf

    x, bias = normal(2, 3, 8), normal(8)
    a, b = np.split(x + bias, 2, axis=-1)
    gelu = b * 0.5 * (1 + np.vectorize(erf)(b / np.sqrt(2)))
    np.testing.assert_allclose(imported("BiasSplitGelu", [x, bias]), a * gelu, rtol=1e-4, atol=1e-5)
