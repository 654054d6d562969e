"""Attention and MultiHeadAttention against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(12)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def mask_of(kind: str, batch: int, queries: int, keys: int) -> np.ndarray | None:
    """A mask of a kind; the first key always counts."""
    match kind:
        case "":
            return None
        case "ends":
            return RNG.integers(1, keys + 1, batch).astype(np.int32)
        case "ranges":
            return np.concatenate([RNG.integers(2, keys + 1, batch), RNG.integers(0, 2, batch)]).astype(np.int32)
        case "keys":
            mask = RNG.integers(0, 2, (batch, keys))
        case _:
            mask = RNG.integers(0, 2, (batch, queries, keys))
    mask[..., 0] = 1
    return mask.astype(np.int32)


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 3),
    length=st.integers(2, 5),
    past=st.sampled_from([0, 0, 3]),
    mask=st.sampled_from(["", "ends", "ranges", "keys", "pairs"]),
    causal=st.booleans(),
    bias=st.booleans(),
    scale=st.sampled_from([0.0, 0.3]),
)
def test_attention(batch, length, past, mask, causal, bias, scale, matches_onnxruntime):
    heads, width = 2, 8
    keys = past + length
    if past and mask == "ranges":
        mask = "keys"
    inputs = [normal(batch, length, 6), normal(6, 3 * width), normal(3 * width), mask_of(mask, batch, length, keys)]
    inputs.append(normal(2, batch, heads, past, width // heads) if past else None)
    inputs.append(normal(1, heads, length, keys) if bias and not past else None)  # onnxruntime has one of them
    while inputs[-1] is None:
        inputs.pop()
    options = {"scale": scale} if scale else {}
    outputs = [True, True] if past else [True]
    matches_onnxruntime(
        "Attention", inputs, outputs=outputs, constants=[1, 2], num_heads=heads, unidirectional=int(causal), **options
    )


def test_values_of_another_size(matches_onnxruntime):
    inputs = [normal(2, 4, 6), normal(6, 8 + 8 + 12), normal(28)]
    matches_onnxruntime("Attention", inputs, constants=[1, 2], num_heads=2, qkv_hidden_sizes=[8, 8, 12])


def test_on_the_device(matches_onnxruntime):
    inputs = [normal(2, 9, 16), normal(16, 96), normal(96), np.array([9, 5], np.int32)]
    matches_onnxruntime("Attention", inputs, constants=[1, 2], num_heads=4, device=True, unidirectional=1)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("columns", [False, True])
def test_quantized_attention(signed, columns, matches_onnxruntime):
    kind = np.int8 if signed else np.uint8
    x = RNG.integers(0, 256, (2, 4, 6)).astype(np.uint8)
    w = RNG.integers(-100, 100, (6, 24)).astype(kind)
    scale = np.full(24, 0.01, np.float32) if columns else np.array(0.01, np.float32)
    zero = np.full(24, 3, kind) if columns else np.array(3, kind)
    inputs = [x, w, normal(24), np.array(0.02, np.float32), scale, None, np.array(120, np.uint8), zero]
    matches_onnxruntime("QAttention", inputs, constants=[1, 2, 3, 4, 6, 7], num_heads=2)


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 3),
    queries=st.integers(1, 5),
    past=st.sampled_from([0, 0, 3]),
    mask=st.sampled_from(["", "ends", "keys"]),
    causal=st.booleans(),
    bias=st.booleans(),
    biased=st.booleans(),
)
def test_multi_head_attention(batch, queries, past, mask, causal, bias, biased, matches_onnxruntime):
    heads, width = 2, 8
    length = queries if past or causal else queries + 2
    keys = past + length
    size = width // heads
    inputs = [normal(batch, queries, width), normal(batch, length, width), normal(batch, length, width)]
    inputs.append(normal(3 * width) if biased else None)
    inputs.append(mask_of(mask, batch, queries, keys))
    inputs.append(normal(1, 1, queries, keys) if bias else None)
    inputs += [normal(batch, heads, past, size), normal(batch, heads, past, size)] if past else []
    while inputs[-1] is None:
        inputs.pop()
    outputs = [True, True, True] if past else [True]
    matches_onnxruntime("MultiHeadAttention", inputs, outputs=outputs, num_heads=heads, unidirectional=int(causal))


def test_keys_of_an_encoder(matches_onnxruntime):
    inputs = [normal(2, 3, 8), normal(2, 2, 5, 4), normal(2, 2, 5, 4)]
    matches_onnxruntime("MultiHeadAttention", inputs, num_heads=2)


def test_scores_as_output(matches_onnxruntime):
    inputs = [normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8)]
    matches_onnxruntime("MultiHeadAttention", inputs, outputs=[True, True, True, True], num_heads=2)


def test_packed_heads(imported):
    """onnxruntime's CPU provider has no packed forms: they give what the separate tensors give."""
    q, k, v = (normal(2, 3, 8) for _ in range(3))
    expected = imported("MultiHeadAttention", [q, k, v], num_heads=2)
    heads = [x.reshape(2, 3, 2, 1, 4) for x in (q, k, v)]
    packed = np.concatenate(heads[1:], axis=3)
    np.testing.assert_allclose(imported("MultiHeadAttention", [q, packed], num_heads=2), expected, rtol=1e-6)
    packed = np.concatenate(heads, axis=3)
    np.testing.assert_allclose(imported("MultiHeadAttention", [packed], num_heads=2), expected, rtol=1e-6)
