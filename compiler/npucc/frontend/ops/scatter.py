"""Gathers and scatters at points: constant indices become slices, computed ones comparisons with every position.

Points are turned into rows of a matrix: [rows, inner], where `inner` are the axes behind the indexed ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.indexing import I64, PRODUCT_TYPES, check_mask, lookup, masked_sum
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.selection import take
from npucc.types import Array, element_of, shape_of

MAX_MASKED = 1 << 22


@dataclass(frozen=True)
class Points:
    """Row numbers [count]: known at import, or a value of the graph (i64)."""

    known: Array | None
    value: SSAValue | None


def _points(node: ImportNode, index: int, sizes: tuple[int, ...]) -> Points:
    """Rows of the index tuples [..., k] of input `index` into axes of `sizes` (negative ones count from the end)."""
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    known = node.known(index)
    if known is not None:
        tuples = known.astype(np.int64).reshape(-1, len(sizes))
        limits = np.asarray(sizes, np.int64)
        if tuples.size and ((tuples < -limits) | (tuples >= limits)).any():
            raise Malformed(f"indices lie in axes of sizes {list(sizes)}", f"{tuples.min(0)} to {tuples.max(0)}")
        return Points(np.where(tuples < 0, tuples + limits, tuples) @ np.asarray(strides, np.int64), None)
    build = node.build
    tuples = build.cast(build.reshape(node.input(index), (math.prod(node.shape(index)[:-1]), len(sizes))), I64)
    return Points(None, _flat(node, tuples, np.asarray(sizes, np.int64), np.asarray(strides, np.int64)))


def _flat(node: ImportNode, tuples: SSAValue, sizes: Array, strides: Array) -> SSAValue:
    """[count, k] index tuples -> [count] row numbers."""
    build = node.build
    negative = build.emit(graph.LessOp(tuples, build.scalar_of(0, I64)))
    wrapped = build.add(tuples, build.constant(sizes, f"{node.label}.sizes"))
    inside = build.emit(graph.WhereOp(negative, wrapped, tuples))
    rows = build.reduce(build.mul(inside, build.constant(strides, f"{node.label}.strides")), "sum", [1])
    return build.reshape(rows, (shape_of(tuples)[0],))


@onnx_op("GatherND")
def gather_nd(node: ImportNode) -> SSAValue:
    """Rows of x at index tuples; the first `batch_dims` axes of both belong together."""
    build, x = node.build, node.input(0)
    shape, indices = shape_of(x), node.shape(1)
    batch = node.integer("batch_dims")
    if not indices or not batch + indices[-1] <= len(shape) or shape[:batch] != indices[:batch]:
        raise Malformed("index tuples are no longer than the input has axes", f"{list(indices)} for {list(shape)}")
    sizes, inner = shape[batch : batch + indices[-1]], shape[batch + indices[-1] :]
    batches, rows = math.prod(shape[:batch]), math.prod(sizes)
    table = build.reshape(x, (batches * rows, math.prod(inner)))
    points = _points(node, 1, sizes)
    per_batch = math.prod(indices[batch:-1])
    offsets = np.repeat(np.arange(batches, dtype=np.int64) * rows, per_batch)
    if points.known is not None:
        y = take(build, table, 0, [int(row) for row in points.known + offsets])
    elif points.value is not None:
        value = build.add(points.value, build.constant(offsets, f"{node.label}.batches")) if batch else points.value
        y = lookup(node, table, value, 0)
    else:
        raise TypeError("points are known or a value")
    return build.reshape(y, (*indices[:-1], *inner))


@onnx_op("ScatterND")
def scatter_nd(node: ImportNode) -> SSAValue:
    """x with the rows at index tuples replaced by (or combined with) updates."""
    x = node.input(0)
    shape, indices = shape_of(x), node.shape(1)
    if not indices or indices[-1] > len(shape):
        raise Malformed("index tuples are no longer than the input has axes", f"{list(indices)} for {list(shape)}")
    sizes, inner = shape[: indices[-1]], shape[indices[-1] :]
    if node.shape(2) != (*indices[:-1], *inner):
        raise Malformed("updates have one row per index tuple", f"{list(node.shape(2))}")
    return _scatter(node, x, _points(node, 1, sizes), (math.prod(sizes), math.prod(inner)))


@onnx_op("Scatter")
@onnx_op("ScatterElements")
def scatter_elements(node: ImportNode) -> SSAValue:
    """x with the elements at `indices` along one axis (the other positions are those of the index) replaced."""
    build, x = node.build, node.input(0)
    shape, indices = shape_of(x), node.shape(1)
    axis = node.axis("axis", len(shape), 0)
    if len(indices) != len(shape) or node.shape(2) != indices:
        raise Malformed("indices and updates have one shape, of the input's rank", f"{indices}, {node.shape(2)}")
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    places = np.indices(indices, np.int64)
    others = sum((places[i] * strides[i] for i in range(len(shape)) if i != axis), np.zeros(indices, np.int64))
    size = shape[axis]
    known = node.known(1)
    if known is not None:
        wide = known.astype(np.int64)
        if wide.size and not (-size <= wide.min() and wide.max() < size):
            raise Malformed(f"indices lie in [{-size}, {size - 1}]", f"{wide.min()} to {wide.max()}")
        flat = (np.where(wide < 0, wide + size, wide) * strides[axis] + others).reshape(-1)
        return _scatter(node, x, Points(flat, None), (math.prod(shape), 1))
    column = build.reshape(build.cast(node.input(1), I64), (math.prod(indices), 1))
    rows = _flat(node, column, np.asarray([size], np.int64), np.asarray([strides[axis]], np.int64))
    rows = build.add(rows, build.constant(others.reshape(-1), f"{node.label}.places"))
    return _scatter(node, x, Points(None, rows), (math.prod(shape), 1))


def _scatter(node: ImportNode, x: SSAValue, points: Points, sizes: tuple[int, int]) -> SSAValue:
    """Combine [rows, inner] of x with the updates (input 2) at `points`."""
    build, reduction = node.build, node.text("reduction", "none")
    rows, inner = sizes
    data = build.reshape(x, sizes)
    updates = build.reshape(node.input(2), (math.prod(node.shape(2)) // max(inner, 1), inner))
    if not shape_of(updates)[0]:
        return x
    if reduction == "none" and points.known is not None:
        source = np.arange(rows)
        source[points.known] = rows + np.arange(len(points.known))  # the last of equal points wins, as in NumPy
        joined = build.concat([data, updates], 0)
        return build.reshape(take(build, joined, 0, [int(row) for row in source]), shape_of(x))
    value = points.value if points.known is None else build.constant(points.known, f"{node.label}.rows")
    if value is None:
        raise TypeError("points are known or a value")
    count = shape_of(updates)[0]
    check_mask(rows * count * (1 if element_of(x) in PRODUCT_TYPES and reduction in ("none", "add") else inner))
    positions = build.constant(np.arange(rows, dtype=np.int64)[:, None], f"{node.label}.positions")
    mask = build.emit(graph.EqualOp(positions, build.reshape(value, (1, count))))
    return build.reshape(_combine(node, data, mask, updates, reduction), shape_of(x))


def _combine(node: ImportNode, data: SSAValue, mask: SSAValue, updates: SSAValue, reduction: str) -> SSAValue:
    """data [rows, inner], mask [rows, count], updates [count, inner]."""
    build = node.build
    (rows, count), (_, inner) = shape_of(mask), shape_of(updates)
    if reduction in ("none", "add"):
        total = _masked_rows(node, mask, updates)
        if reduction == "add":
            return build.add(data, total)
        hits = build.reduce(build.cast(mask, element_of(build.scalar_of(0, I64))), "max", [1])
        return build.emit(graph.WhereOp(build.emit(graph.GreaterOp(hits, build.scalar_of(0, I64))), total, data))
    spread = build.reshape(updates, (1, count, inner))
    where = build.reshape(mask, (rows, count, 1))
    makers = {"mul": ("prod", graph.MulOp), "max": ("max", graph.MaxOp), "min": ("min", graph.MinOp)}
    if reduction not in makers:
        raise Unsupported("reductions are none, add, mul, max and min", f"`{reduction}`")
    fn, make = makers[reduction]
    neutral = build.constant(build.neutral(fn, element_of(data)), f"{node.label}.neutral")
    chosen = build.emit(graph.WhereOp(where, spread, neutral))
    return build.emit(make(data, build.reshape(build.reduce(chosen, fn, [1]), (rows, inner))))


def _masked_rows(node: ImportNode, mask: SSAValue, updates: SSAValue) -> SSAValue:
    """Per row the sum of the updates whose mask holds."""
    build, element = node.build, element_of(updates)
    (rows, count), (_, inner) = shape_of(mask), shape_of(updates)
    # A product would turn an infinite update into NaN everywhere (0 * inf): only where masks would be too large.
    if element in PRODUCT_TYPES and rows * count * inner > MAX_MASKED:
        return build.matmul(build.cast(mask, element), updates)
    spread = build.reshape(updates, (1, count, inner))
    total = masked_sum(node, build.reshape(mask, (rows, count, 1)), spread, 1)
    return build.reshape(total, (rows, inner))
