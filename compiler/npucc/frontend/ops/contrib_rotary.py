"""com.microsoft: RotaryEmbedding and GroupQueryAttention, as decoders with a KV cache use them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.attention import Attention, attend, merge_heads, rotated, split_heads
from npucc.frontend.compose import call
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.contrib_activation import MICROSOFT
from npucc.frontend.ops.contrib_normalization import rms_normalized
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, numpy_dtype, shape_of

I64 = element_type("i64")


@onnx_op("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(node: ImportNode) -> SSAValue:
    """Inputs x [b, s, h] or [b, n, s, d], position_ids [1] (the first) or [b, s], cos_cache, sin_cache."""
    build, shape = node.build, node.shape(0)
    size, heads = node.integer("rotary_embedding_dim", 0), node.integer("num_heads", 0)
    if len(shape) == 3:
        width = shape[2] // heads if heads else 2 * node.shape(2)[1]
        x = split_heads(build, node.input(0), shape[2] // width)
    else:
        x = node.input(0)
    size = size or shape_of(x)[3]
    positions, length = node.input(1), shape_of(x)[2]
    if len(shape_of(positions)) == 1:
        following = build.constant(np.arange(length, dtype=np.int64), f"{node.label}.following")
        positions = build.reshape(build.add(build.cast(positions, I64), following), (1, length))
    cosine, sine = (_angles(node, node.input(index), positions) for index in (2, 3))
    y = rotated(build, x, cosine, sine, bool(node.integer("interleaved", 0)), size)
    y = build.scaled(y, node.number("scale", 1.0))
    return merge_heads(build, y) if len(shape) == 3 else y


def _angles(node: ImportNode, cache: SSAValue, positions: SSAValue) -> SSAValue:
    """Rows of a cache [most, d / 2] at positions [b, s], for all heads: [b, 1, s, d / 2]."""
    build, known = node.build, node.build.known(positions)
    width = shape_of(cache)[1]
    array = build.known(cache)
    if known is not None and array is not None:
        rows = build.constant(array[known], f"{node.label}.angles")
    else:
        rows = call(node, "Gather", cache, positions)
    batch, length = shape_of(positions)
    return build.reshape(rows, (batch, 1, length, width))


@dataclass(frozen=True)
class _Cache:
    """Where the new keys of each sequence stand: `starts` (i64 [b], None: all 0), of `new` tokens in a buffer of `size`
    positions, of which `total` take part in the attention."""

    starts: SSAValue | None
    new: int
    size: int
    total: int


@onnx_op("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(node: ImportNode) -> list[SSAValue]:
    """Causal attention with a KV cache, rotary embedding, fewer key heads than query heads, and a sliding window.

    Inputs query [b, s, n d] (or q, k, v side by side), key, value [b, s, m d], past_key, past_value [b, m, p, d],
    seqlens_k [b] (length of each sequence - 1), total_sequence_length, cos_cache, sin_cache, position_ids,
    attention_bias, head_sink, -, -, q_norm_weight, k_norm_weight. Outputs: result, present_key, present_value, scores.
    """
    _check_options(node)
    build = node.build
    q, k, v = _projections(node)
    cache = _cache(node, shape_of(q)[2])
    if node.integer("do_rotary", 0):
        q, k = (_turned(node, x, cache) for x in (q, k))
    k, v = (_stored(node, cache, index, new) for index, new in ((3, k), (4, v)))
    keys, values = (build.slice_axis(x, 2, 0, cache.total) for x in (k, v))
    options = Attention(
        scale=node.number("scale", 0.0) or 1.0 / math.sqrt(shape_of(q)[3]),
        added=[node.input(10)] if node.has(10) else [],
        excluded=_excluded(node, cache, shape_of(q)[0]),
        softcap=node.number("softcap", 0.0),
        sink=node.input(11) if node.has(11) else 0.0 if node.integer("smooth_softmax", -1) == 1 else None,
    )
    y = merge_heads(build, attend(build, q, keys, values, options))
    scores = options.steps["weights" if node.integer("qk_output", 0) == 2 else "scores"]
    return [y, k, v, scores]


def _check_options(node: ImportNode) -> None:
    if any(node.text(f"{which}_quant_type", "NONE") != "NONE" for which in "kv") or node.has(12) or node.has(13):
        raise Unsupported("the KV cache is not quantized", "scales of past_key or past_value")
    if node.integer("sliding_window_cache", 0):
        raise Unsupported("the KV cache holds all positions", "sliding_window_cache = 1")


def _projections(node: ImportNode) -> tuple[SSAValue, SSAValue, SSAValue]:
    """q [b, n, s, d] and k, v [b, m, s, d], normalized per head if there are weights for it."""
    build, heads, shared = node.build, node.integer("num_heads"), node.integer("kv_num_heads")
    if node.has(1):
        q, k, v = (node.input(index) for index in range(3))
    else:
        size = node.shape(0)[2] // (heads + 2 * shared)
        widths = [heads * size, shared * size, shared * size]
        starts = [0, widths[0], widths[0] + widths[1]]
        q, k, v = (build.slice_axis(node.input(0), 2, start, width) for start, width in zip(starts, widths))
    q, k, v = split_heads(build, q, heads), split_heads(build, k, shared), split_heads(build, v, shared)
    if node.has(14) and node.has(15):
        epsilon = node.number("qk_norm_epsilon", 1e-6)
        q, k = (rms_normalized(node, x, node.input(index), epsilon)[0] for x, index in ((q, 14), (k, 15)))
    return q, k, v


def _cache(node: ImportNode, new: int) -> _Cache:
    """A prompt fills the buffer from the start, and later tokens end at the length of their sequence."""
    build = node.build
    total = node.constant_ints(6, "total_sequence_length")[0]
    before = node.shape(3)[2] if node.has(3) else 0
    if total < new:
        raise Malformed("the total length counts the new tokens", f"{total} in total, {new} new")
    if total == new:
        return _Cache(None, new, max(before, total), total)
    lengths = build.cast(build.reshape(node.input(5), (node.shape(0)[0],)), I64)
    known = build.known(lengths)
    if known is not None:
        starts = build.constant(known + (1 - new), f"{node.label}.starts")
    else:
        starts = build.shifted(lengths, 1 - new)
    return _Cache(starts, new, max(before, total), total)


def _positions(node: ImportNode, cache: _Cache) -> SSAValue:
    """Position of each new token: i64 [b, s] or [1, s]."""
    build = node.build
    following = build.constant(np.arange(cache.new, dtype=np.int64)[None], f"{node.label}.following")
    if cache.starts is None:
        return following
    starts = build.reshape(cache.starts, (shape_of(cache.starts)[0], 1))
    known = build.known(starts)
    if known is not None:
        return build.constant(known + np.arange(cache.new, dtype=np.int64), f"{node.label}.positions")
    return build.add(starts, following)


def _turned(node: ImportNode, x: SSAValue, cache: _Cache) -> SSAValue:
    """Rotary embedding at the tokens' positions."""
    positions = node.input(9) if node.has(9) else _positions(node, cache)
    cosine, sine = (_angles(node, node.input(index), positions) for index in (7, 8))
    size = 2 * shape_of(cosine)[3]
    return rotated(node.build, x, cosine, sine, bool(node.integer("rotary_interleaved", 0)), size)


def _stored(node: ImportNode, cache: _Cache, past: int, new: SSAValue) -> SSAValue:
    """The cache with the new keys or values [b, m, s, d] in their places; what is not used is 0."""
    build, (batch, heads, count, size) = node.build, shape_of(new)

    def zeros(length: int) -> SSAValue:
        shape = (batch, heads, length, size)
        array = np.broadcast_to(np.zeros((), numpy_dtype(element_of(new))), shape)
        return build.constant(array, f"{node.label}.empty")

    if cache.starts is None:
        return build.concat([new, zeros(cache.size - count)], 2)
    pieces = [node.input(past)] if node.has(past) else []
    old = build.concat([*pieces, zeros(cache.size - sum(shape_of(piece)[2] for piece in pieces))], 2)
    known = build.known(cache.starts)
    if known is not None and np.all(known == known[0]):
        start = int(known[0])
        return build.concat([build.slice_axis(old, 2, 0, start), new, zeros(cache.size - start - count)], 2)
    place = build.sub(_slots(node, cache.size), build.reshape(cache.starts, (batch, 1, 1, 1)))
    if count == 1:
        candidate = new
    else:
        index = build.emit(graph.ClipOp(place, 0.0, float(count - 1)))
        candidate = call(node, "GatherElements", new, build.expand(index, (batch, heads, cache.size, size)), axis=2)
    is_old = build.emit(graph.LessOp(place, build.scalar(0, place)))
    is_new = build.emit(graph.LessOp(place, build.scalar(count, place)))
    rest = build.emit(graph.WhereOp(is_new, candidate, build.scalar(0, new)))
    return build.emit(graph.WhereOp(is_old, old, rest))


def _slots(node: ImportNode, count: int) -> SSAValue:
    """0, 1, ... along the axis of keys: i64 [1, 1, count, 1]."""
    return node.build.constant(np.arange(count, dtype=np.int64).reshape(1, 1, count, 1), f"{node.label}.slots")


def _excluded(node: ImportNode, cache: _Cache, batch: int) -> list[SSAValue]:
    """i1 masks [b, 1, s, t]: keys after the query (or the end), and keys before its window."""
    build, window = node.build, node.integer("local_window_size", -1)
    slots = build.reshape(_slots(node, cache.total), (1, 1, 1, cache.total))
    if not node.integer("causal", 1):
        if not node.has(5):
            return []
        last = build.reshape(build.cast(build.reshape(node.input(5), (batch,)), I64), (batch, 1, 1, 1))
        return [build.emit(graph.GreaterOp(slots, last))]
    at = _positions(node, cache)
    query = build.reshape(at, (shape_of(at)[0], 1, cache.new, 1))
    masks = [build.emit(graph.GreaterOp(slots, query))]
    if window > 0:
        first = build.shifted(query, 1 - window)
        masks.append(build.emit(graph.LessOp(slots, first)))
    return masks
