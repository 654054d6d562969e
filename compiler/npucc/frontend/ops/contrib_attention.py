"""com.microsoft: Attention, MultiHeadAttention and their quantized form."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.attention import Attention, attend, later_keys, merge_heads, split_heads
from npucc.frontend.integer_products import integer_matmul
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.contrib_activation import MICROSOFT
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, shape_of

F32, I32, I64 = element_type("f32"), element_type("i32"), element_type("i64")


def _refuse_shared_buffers(node: ImportNode, length: int) -> None:
    if node.integer("past_present_share_buffer", 0) or node.has(length):
        raise Unsupported("past and present are tensors of their own", "a shared buffer", "export without sharing")


@onnx_op("Attention", domain=MICROSOFT)
def attention(node: ImportNode) -> list[SSAValue]:
    """Inputs x [b, s, i], weights [i, 2 h + v], bias, mask_index, past [2, b, n, p, h / n], attention_bias."""
    _refuse_shared_buffers(node, 6)
    if node.integer("do_rotary", 0):
        raise Unsupported("Attention has no rotary embedding inside", "do_rotary = 1")
    build = node.build
    projected = build.matmul(node.input(0), node.input(1))
    projected = projected if not node.has(2) else build.add(projected, node.input(2))
    return _self_attention(node, projected, mask=3, past=4, bias=5)


@onnx_op("QAttention", domain=MICROSOFT)
def quantized_attention(node: ImportNode) -> list[SSAValue]:
    """Attention whose projection is a product of bytes.

    Inputs x, weights, bias, x_scale, w_scale, mask_index, x_zero, w_zero, past.
    """
    build = node.build
    if node.integer("do_rotary", 0) or node.integer("past_present_share_buffer", 0):
        raise Unsupported("QAttention has no rotary embedding and no shared buffer", "one of them")
    zeros = [None if not node.has(index) else _as_row(node, node.input(index)) for index in (6, 7)]
    total = integer_matmul(build, node.input(0), node.input(1), *zeros)
    scale = build.mul(_as_row(node, node.input(3)), _as_row(node, node.input(4)))
    projected = build.add(build.mul(build.cast(total, F32), scale), node.input(2))
    return _self_attention(node, projected, mask=5, past=8, bias=None)


def _as_row(node: ImportNode, value: SSAValue) -> SSAValue:
    """A parameter that is one value, or one per column."""
    count = math.prod(shape_of(value))
    return node.build.reshape(value, () if count == 1 else (count,))


def _self_attention(node: ImportNode, projected: SSAValue, mask: int, past: int, bias: int | None) -> list[SSAValue]:
    """Outputs [b, s, v] and present [2, b, n, p + s, h]; `mask`, `past`, `bias`: indices of the node's inputs."""
    build, heads, width = node.build, node.integer("num_heads"), shape_of(projected)[2]
    sizes = node.integers("qkv_hidden_sizes") or [width // 3] * 3
    if sum(sizes) != width or len(sizes) != 3:
        raise Malformed("the weights hold q, k and v side by side", f"sizes {sizes} of {width} columns")
    starts = [0, sizes[0], sizes[0] + sizes[1]]
    parts = [build.slice_axis(projected, 2, start, size) for start, size in zip(starts, sizes)]
    q, k, v = (split_heads(build, part, heads) for part in parts)
    if node.has(past):
        before = node.input(past)
        pieces = (build.slice_axis(before, 0, index, 1) for index in (0, 1))
        old = [build.reshape(piece, shape_of(piece)[1:]) for piece in pieces]
        k, v = (build.concat([piece, new], 2) for piece, new in zip(old, (k, v)))
    options = _options(node, q, k, mask, bias)
    outputs = [merge_heads(build, attend(build, q, k, v, options))]
    if node.uses_output(1):
        outputs.append(build.concat([build.reshape(each, (1, *shape_of(each))) for each in (k, v)], 0))
    return outputs


def _options(node: ImportNode, q: SSAValue, k: SSAValue, mask: int, bias: int | None) -> Attention:
    """Scale, masks and bias of an attention of q [b, n, s, d] and k [b, n, t, d]."""
    build, (batch, _, queries, size), keys = node.build, shape_of(q), shape_of(k)[2]
    added: list[SSAValue] = []
    if node.has(mask):
        added.append(_mask(node, node.input(mask), batch, queries, keys))
    if bias is not None and node.has(bias):
        added.append(node.input(bias))
    excluded = [later_keys(build, queries, keys)] if node.integer("unidirectional", 0) and queries > 1 else []
    scale = node.number("scale", 0.0) or 1.0 / math.sqrt(size)
    return Attention(scale, added, excluded)


def _mask(node: ImportNode, mask: SSAValue, batch: int, queries: int, keys: int) -> SSAValue:
    """What is added to the scores: 0, or `mask_filter_value` for keys that do not count.

    [batch, keys], [batch, queries, keys] and [batch, 1, most, most] hold a positive number for keys that count;
    [batch] holds the number of keys, [2 * batch] the ends and then the first positions.
    """
    build, shape = node.build, shape_of(mask)
    if len(shape) == 1:
        counts = _index_mask(node, mask, batch, keys)
    else:
        counts = build.emit(graph.GreaterOp(mask, build.scalar(0, mask)))
        if len(shape) == 2:
            counts = build.reshape(counts, (shape[0], 1, 1, shape[1]))
        elif len(shape) == 3:
            counts = build.reshape(counts, (shape[0], 1, *shape[1:]))
        elif len(shape) == 4:
            counts = build.slice_axis(counts, 2, keys - queries, queries)
            counts = build.slice_axis(counts, 3, 0, keys)
        if shape_of(counts)[3] != keys:
            raise Malformed("the mask covers all keys", f"shape {list(shape)} for {keys} keys")
    out = build.scalar_of(node.number("mask_filter_value", -10000.0), F32)
    return build.emit(graph.WhereOp(counts, build.scalar_of(0.0, F32), out))


def _index_mask(node: ImportNode, mask: SSAValue, batch: int, keys: int) -> SSAValue:
    """i1 [batch, 1, 1, keys]: the keys before the end, and not before the first position."""
    build, count = node.build, shape_of(mask)[0]
    if count not in (batch, 2 * batch):
        rule = "a mask of one axis has one or two numbers per sequence"
        raise Unsupported(rule, f"{count} numbers for {batch} sequences")
    positions = build.constant(np.arange(keys, dtype=np.int32).reshape(1, 1, 1, keys), f"{node.label}.positions")

    def part(start: int) -> SSAValue:
        return build.cast(build.reshape(build.slice_axis(mask, 0, start, batch), (batch, 1, 1, 1)), I32)

    inside = build.emit(graph.LessOp(positions, part(0)))
    if count == batch:
        return inside
    return build.emit(graph.AndOp(inside, build.emit(graph.GreaterOrEqualOp(positions, part(batch)))))


@onnx_op("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(node: ImportNode) -> list[SSAValue]:
    """Inputs query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value.

    Outputs [b, s, v], present key and value [b, n, p + t, d], and the softmax's result [b, n, s, p + t].
    """
    _refuse_shared_buffers(node, 8)
    if node.has(9):
        raise Unsupported("the keys of a beam are its own", "the input cache_indirection")
    build = node.build
    q, k, v = _heads(node)
    if node.has(6):
        k, v = build.concat([node.input(6), k], 2), build.concat([node.input(7), v], 2)
    options = _options(node, q, k, 4, 5)
    y = merge_heads(build, attend(build, q, k, v, options))
    return [y, k, v, build.cast(options.steps["scores"], element_of(y))]


def _heads(node: ImportNode) -> tuple[SSAValue, SSAValue, SSAValue]:
    """q, k, v as [b, n, s, d] from separate, packed or already split inputs; the bias is added."""
    build, heads = node.build, node.integer("num_heads")
    shape = node.shape(0)
    if len(shape) == 5:  # [b, s, n, 3, d]
        q, k, v = (_unpacked(node, node.input(0), index) for index in range(3))
        return _biased(node, q, 0), _biased(node, k, 1), _biased(node, v, 2)
    q = _biased(node, split_heads(build, node.input(0), heads), 0)
    if len(node.shape(1)) == 5:  # [b, t, n, 2, d]
        k, v = (_biased(node, _unpacked(node, node.input(1), index), index + 1) for index in range(2))
        return q, k, v
    if len(node.shape(1)) == 4:  # keys and values of an encoder, already split and biased
        return q, node.input(1), node.input(2)
    k, v = (_biased(node, split_heads(build, node.input(index), heads), index) for index in (1, 2))
    return q, k, v


def _unpacked(node: ImportNode, packed: SSAValue, index: int) -> SSAValue:
    """[b, s, n, parts, d] -> part `index` as [b, n, s, d]."""
    batch, length, heads, _, size = shape_of(packed)
    part = node.build.slice_axis(packed, 3, index, 1)
    return node.build.transpose(node.build.reshape(part, (batch, length, heads, size)), (0, 2, 1, 3))


def _biased(node: ImportNode, x: SSAValue, part: int) -> SSAValue:
    """x [b, n, s, d] plus its part (0: q, 1: k, 2: v) of the bias, input 3."""
    if not node.has(3):
        return x
    build, (_, heads, _, size) = node.build, shape_of(x)
    total, width = node.shape(3)[0], heads * size
    start = total - width if part == 2 else part * width
    row = build.slice_axis(node.input(3), 0, start, width)
    return build.add(x, build.reshape(row, (1, heads, 1, size)))
