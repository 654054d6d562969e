"""Normalizations of com.microsoft against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return (2 * RNG.standard_normal(shape) + 0.5).astype(np.float32)


@pytest.mark.parametrize("axis", [-1, 1])
def test_simplified(axis, matches_onnxruntime):
    x = normal(2, 3, 8)
    inputs = [x, normal(*x.shape[axis:])]
    for outputs in ([True], [True, True]):
        matches_onnxruntime("SimplifiedLayerNormalization", inputs, domain="", axis=axis, outputs=outputs, epsilon=1e-3)


@pytest.mark.parametrize("skip", [(2, 3, 8), (1, 3, 8), (3, 8)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("total", [False, True])
def test_skip_layer_normalization(skip, bias, total, matches_onnxruntime):
    inputs = [normal(2, 3, 8), normal(*skip), normal(8), normal(8), *([normal(8)] if bias else [])]
    outputs = [True, False, False, True] if total else [True]
    matches_onnxruntime("SkipLayerNormalization", inputs, outputs=outputs, epsilon=1e-5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("total", [False, True])
def test_skip_simplified_layer_normalization(bias, total, matches_onnxruntime):
    inputs = [normal(2, 3, 8), normal(2, 3, 8), normal(8), *([normal(8)] if bias else [])]
    outputs = [True, False, False, True] if total else [True]
    matches_onnxruntime("SkipSimplifiedLayerNormalization", inputs, outputs=outputs, epsilon=1e-5)


def test_on_the_device(matches_onnxruntime):
    inputs = [normal(2, 6, 48), normal(2, 6, 48), normal(48), normal(48), normal(48)]
    outputs = [True, False, False, True]
    matches_onnxruntime(
        "SkipLayerNormalization", inputs, outputs=outputs, constants=[2, 3, 4], device=True, epsilon=1e-5
    )


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("positions", [False, True])
def test_embeddings(segments, mask, positions, matches_onnxruntime):
    ids = RNG.integers(0, 20, (2, 5)).astype(np.int32)
    word, position, segment = normal(20, 8), normal(9, 8), normal(2, 8)
    chosen = RNG.integers(0, 2, (2, 5)).astype(np.int32) if segments else None
    inputs = [ids, chosen, word, position, segment if segments else None, normal(8), normal(8)]
    inputs += [(np.arange(5) < [[3], [5]]).astype(np.int32) if mask else None]
    inputs += [RNG.integers(0, 9, (2, 5)).astype(np.int32)] if positions else []
    while inputs[-1] is None:
        inputs.pop()
    known = [index for index in (2, 3, 4, 5, 6) if inputs[index] is not None]
    matches_onnxruntime("EmbedLayerNormalization", inputs, outputs=[True, True], constants=known, epsilon=1e-5)
    matches_onnxruntime("EmbedLayerNormalization", inputs, outputs=[True, True, True], constants=known)


def test_quantized_embeddings(matches_onnxruntime):
    ids, segments = RNG.integers(0, 20, (2, 5)).astype(np.int32), RNG.integers(0, 2, (2, 5)).astype(np.int32)
    tables = [RNG.integers(0, 256, shape).astype(np.uint8) for shape in ((20, 8), (9, 8), (2, 8), (8,), (8,))]
    scales = [np.array(scale, np.float32) for scale in (0.02, 0.03, 0.01, 0.02, 0.015)]
    zeros = [np.array(zero, np.uint8) for zero in (128, 120, 100, 90, 130)]
    mask = (np.arange(5) < [[3], [5]]).astype(np.int32)
    inputs = [ids, segments, *tables, mask, *scales, *zeros]
    known = [*range(2, 7), *range(8, 18)]
    matches_onnxruntime(
        "QEmbedLayerNormalization", inputs, outputs=[True, True], constants=known, epsilon=1e-5, atol=1e-4
    )
