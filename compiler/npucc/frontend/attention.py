"""Scaled dot-product attention over heads, as the attention ops of com.microsoft share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.problems import Malformed
from npucc.types import element_of, element_type, shape_of

F32, I64 = element_type("f32"), element_type("i64")


def split_heads(build: GraphBuilder, x: SSAValue, heads: int) -> SSAValue:
    """[batch, sequence, heads * size] -> [batch, heads, sequence, size]."""
    batch, length, width = shape_of(x)
    if heads < 1 or width % heads:
        raise Malformed("the number of heads divides the hidden size", f"{heads} heads, hidden size {width}")
    return build.transpose(build.reshape(x, (batch, length, heads, width // heads)), (0, 2, 1, 3))


def merge_heads(build: GraphBuilder, x: SSAValue) -> SSAValue:
    """[batch, heads, sequence, size] -> [batch, sequence, heads * size]."""
    batch, heads, length, size = shape_of(x)
    return build.reshape(build.transpose(x, (0, 2, 1, 3)), (batch, length, heads * size))


@dataclass(frozen=True)
class Attention:
    """Options of an attention. `added`: terms that are added to the scores [batch, heads, queries, keys], broadcast;
    `excluded`: i1 masks of scores that do not count at all; `sink`: per head [heads], one more score without a value
    (`0.0`: smooth softmax); `softcap`: scores become softcap * tanh(scores / softcap); 0: they stay."""

    scale: float
    added: Sequence[SSAValue] = ()
    excluded: Sequence[SSAValue] = ()
    softcap: float = 0.0
    sink: SSAValue | float | None = None
    steps: dict[str, SSAValue] = field(default_factory=dict[str, SSAValue])
    """Filled by `attend`: the scores before (`scores`) and after (`weights`) the softmax."""


def attend(build: GraphBuilder, q: SSAValue, k: SSAValue, v: SSAValue, options: Attention) -> SSAValue:
    """softmax(q k' * scale + ...) v; q [b, h, s, d], k [b, h, t, d], v [b, h, t, e] -> [b, h, s, e].

    Fewer heads in k and v than in q: each serves a group of consecutive query heads.
    """
    heads, shared = shape_of(q)[1], shape_of(k)[1]
    if shared < 1 or heads % shared:
        raise Malformed("the heads of k and v divide those of q", f"{heads} and {shared} heads")
    grouped = heads // shared
    queries = shape_of(q)[2]
    rows = _grouped(build, q, shared)
    scores = build.scaled(build.matmul(rows, build.transpose(k, (0, 1, 3, 2))), options.scale)
    scores = build.reshape(scores, (shape_of(q)[0], heads, queries, shape_of(k)[2]))
    if options.softcap:
        scores = build.scaled(build.emit(graph.TanhOp(build.divided(scores, options.softcap))), options.softcap)
    for term in options.added:
        scores = build.add(scores, term)
    for mask in options.excluded:
        scores = build.emit(graph.WhereOp(mask, build.scalar(-math.inf, scores), scores))
    options.steps["scores"] = scores
    weights = _softmax(build, scores, options.sink)
    options.steps["weights"] = weights
    result = build.matmul(_grouped(build, weights, shared) if grouped > 1 else weights, v)
    return build.reshape(result, (*shape_of(q)[:3], shape_of(v)[3]))


def _grouped(build: GraphBuilder, x: SSAValue, shared: int) -> SSAValue:
    """[b, heads, s, d] -> [b, shared, heads / shared * s, d]: the query heads of a group are more rows."""
    batch, heads, length, size = shape_of(x)
    return build.reshape(x, (batch, shared, heads // shared * length, size))


def _softmax(build: GraphBuilder, scores: SSAValue, sink: SSAValue | float | None) -> SSAValue:
    """Over the last axis, in f32; a sink takes part in the sum only."""
    wide = build.cast(scores, F32)
    if sink is None:
        return build.cast(build.emit(graph.SoftmaxOp(wide)), element_of(scores))
    batch, heads, queries, keys = shape_of(scores)
    if isinstance(sink, SSAValue):
        extra = build.reshape(build.cast(sink, F32), (1, heads, 1, 1))
    else:
        extra = build.scalar_of(sink, F32)
    column = build.expand(extra, (batch, heads, queries, 1))
    weights = build.emit(graph.SoftmaxOp(build.concat([wide, column], 3)))
    return build.cast(build.slice_axis(weights, 3, 0, keys), element_of(scores))


def later_keys(build: GraphBuilder, queries: int, keys: int) -> SSAValue:
    """i1 [queries, keys]: keys that come after the query, where the last query stands at the last key."""
    positions = np.arange(queries)[:, None] + (keys - queries)
    return build.constant(np.arange(keys)[None, :] > positions, f"{build.node}.later")


def rotated(
    build: GraphBuilder, x: SSAValue, cosine: SSAValue, sine: SSAValue, interleaved: bool, size: int
) -> SSAValue:
    """Rotary embedding of the first `size` elements of each head of x [b, h, s, d].

    `cosine`, `sine`: [b or 1, 1, s, size / 2]. A pair are the elements i and i + size / 2, or 2 i and 2 i + 1
    (`interleaved`); it turns by the angle of its index.
    """
    batch, heads, length, width = shape_of(x)
    half = size // 2
    turned = build.slice_axis(x, 3, 0, size)
    if interleaved:
        pairs = build.reshape(turned, (batch, heads, length, half, 2))
        first, second = (
            build.reshape(build.slice_axis(pairs, 4, index, 1), (batch, heads, length, half)) for index in (0, 1)
        )
    else:
        first, second = (build.slice_axis(turned, 3, start, half) for start in (0, half))
    real = build.sub(build.mul(first, cosine), build.mul(second, sine))
    imaginary = build.add(build.mul(first, sine), build.mul(second, cosine))
    if interleaved:
        shape = (batch, heads, length, half, 1)
        pairs = build.concat([build.reshape(real, shape), build.reshape(imaginary, shape)], 4)
        result = build.reshape(pairs, (batch, heads, length, size))
    else:
        result = build.concat([real, imaginary], 3)
    return result if size == width else build.concat([result, build.slice_axis(x, 3, size, width - size)], 3)
