"""RotaryEmbedding and GroupQueryAttention against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(13)
CACHED = 32


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def caches(half: int) -> list[np.ndarray]:
    angles = np.arange(CACHED)[:, None] / 10 ** np.linspace(0, 2, half)
    return [np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)]


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("one_position", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_rotary_embedding(interleaved, one_position, known, matches_onnxruntime):
    positions = np.array([3]) if one_position else RNG.integers(0, CACHED, (2, 4))
    inputs = [normal(2, 4, 3 * 8), positions.astype(np.int64), *caches(4)]
    constants = [1, 2, 3] if known else [2, 3]
    matches_onnxruntime("RotaryEmbedding", inputs, constants=constants, interleaved=interleaved)
    inputs[0] = normal(2, 3, 4, 8)
    matches_onnxruntime("RotaryEmbedding", inputs, constants=constants, interleaved=interleaved)


def test_part_of_each_head(matches_onnxruntime):
    inputs = [normal(2, 4, 3 * 8), RNG.integers(0, CACHED, (2, 4)).astype(np.int64), *caches(2)]
    matches_onnxruntime("RotaryEmbedding", inputs, constants=[2, 3], num_heads=3, rotary_embedding_dim=4)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    new=st.sampled_from([1, 1, 2, 4]),
    past=st.sampled_from([0, 3, 5]),
    static=st.booleans(),
    groups=st.sampled_from([(4, 2), (2, 2), (3, 1)]),
    rotary=st.sampled_from(["", "halves", "pairs"]),
    packed=st.booleans(),
    window=st.sampled_from([-1, -1, 2]),
    softcap=st.sampled_from([0.0, 0.0, 5.0]),
    extra=st.sampled_from(["", "bias", "sink", "smooth"]),
    known=st.booleans(),
)
def test_group_query_attention(
    batch, new, past, static, groups, rotary, packed, window, softcap, extra, known, matches_onnxruntime
):
    (heads, shared), size, total = groups, 16, past + new
    batch = 1 if past and new > 1 else batch  # as onnxruntime has it
    room = new + 1 if static else 0
    ragged = batch > 1 and past > 0 and new == 1
    lengths = RNG.integers(1, total, batch) if ragged else np.full(batch, total - 1)
    lengths[0] = total - 1
    if packed:
        inputs = [normal(batch, new, (heads + 2 * shared) * size), None, None]
    else:
        inputs = [normal(batch, new, heads * size), *(normal(batch, new, shared * size) for _ in range(2))]
    before = [normal(batch, shared, past + room, size) for _ in range(2)] if past else [None, None]
    inputs += [*before, lengths.astype(np.int32), np.array(total, np.int32)]
    inputs += caches(size // 2) if rotary else [None, None]
    inputs += [None, normal(batch, heads, new, total) if extra == "bias" else None]
    inputs += [normal(heads) if extra == "sink" else None]
    while inputs[-1] is None:
        inputs.pop()
    constants = [6, *([7, 8] if rotary else []), *([5] if known else [])]
    options = {"smooth_softmax": 1} if extra == "smooth" else {}
    matches_onnxruntime(
        "GroupQueryAttention", inputs, outputs=[True, True, True], constants=constants, num_heads=heads,
        kv_num_heads=shared, do_rotary=int(bool(rotary)), rotary_interleaved=int(rotary == "pairs"),
        local_window_size=window, softcap=softcap, **options,
    )  # fmt: skip


def test_normalized_heads(imported):
    """onnxruntime has this on GPUs only: the same as normalizing q and k before."""
    q, k, v = normal(2, 3, 32), normal(2, 3, 16), normal(2, 3, 16)
    wq, wk = normal(8), normal(8)
    rest = [None, None, np.full(2, 2, np.int32), np.array(3, np.int32), *caches(4)]
    options = {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "qk_norm_epsilon": 1e-3, "constants": [6]}

    def normalized(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        heads = x.reshape(2, 3, -1, 8)
        scaled = heads / np.sqrt((heads**2).mean(-1, keepdims=True) + 1e-3) * weight
        return scaled.reshape(x.shape).astype(np.float32)

    expected = imported("GroupQueryAttention", [normalized(q, wq), normalized(k, wk), v, *rest], **options)
    inside = imported("GroupQueryAttention", [q, k, v, *rest, *[None] * 5, wq, wk], **options)
    np.testing.assert_allclose(inside, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("new", [1, 6])
def test_on_the_device(new, matches_onnxruntime):
    past, batch = 7, 2 if new == 1 else 1
    inputs = [normal(batch, new, 64), normal(batch, new, 32), normal(batch, new, 32)]
    inputs += [normal(batch, 2, past, 16), normal(batch, 2, past, 16), np.array([past + new - 1] * batch, np.int32)]
    inputs += [np.array(past + new, np.int32), *caches(8)]
    matches_onnxruntime(
        "GroupQueryAttention", inputs, outputs=[True, True, True], constants=[6, 7, 8], num_heads=4, kv_num_heads=2,
        do_rotary=1, device=True,
    )  # fmt: skip
