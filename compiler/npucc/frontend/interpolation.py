"""Sampling at computed positions: every neighbour (tap) of a position is a lookup of rows, times a weight.

Positions are whole numbers in floating point; a tap outside of the tensor reads 0, whatever the tensor holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend import lookups
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.regions import Loop, Step, Yielded, loop
from npucc.types import element_of, element_type, numpy_dtype, shape_of

_LARGEST_I32 = (1 << 31) - 1
Tap = tuple[SSAValue, SSAValue | None]
"""Row numbers [b or 1, n, 1] and their weights [b, n, 1] (None: 1)."""


def rows_of(build: GraphBuilder, places: Sequence[SSAValue], sizes: Sequence[int]) -> SSAValue:
    """Row-major row number of whole-number positions (one value per axis, they broadcast); beyond all where outside."""
    index = element_type("i32" if math.prod(sizes) < _LARGEST_I32 else "i64")
    inside: SSAValue | None = None
    row: SSAValue | None = None
    for axis, (place, size) in enumerate(zip(places, sizes)):
        good = within(build, place, 0.0, float(size - 1))
        inside = good if inside is None else build.emit(graph.AndOp(inside, good))
        near = build.cast(build.emit(graph.ClipOp(place, 0.0, float(size - 1))), index)
        part = build.mul(near, build.scalar_of(math.prod(sizes[axis + 1 :]), index))
        row = part if row is None else build.add(row, part)
    if row is None or inside is None:
        raise TypeError("a tensor that is sampled has an axis")
    return build.emit(graph.WhereOp(inside, row, build.scalar_of(math.prod(sizes), index)))


def within(build: GraphBuilder, x: SSAValue, low: float, high: float) -> SSAValue:
    """low <= x <= high; false for NaN."""
    above = build.emit(graph.GreaterOrEqualOp(x, build.scalar(low, x)))
    return build.emit(graph.AndOp(above, build.emit(graph.LessOrEqualOp(x, build.scalar(high, x)))))


def weighted_rows(build: GraphBuilder, table: SSAValue, taps: Sequence[Tap]) -> SSAValue:
    """Sum over the taps of weight x row of `table` [b, s, c]: [b, n, c], in f32 for narrower floats.

    Where the sums are too large to stay on chip they are made part by part: else each tap would read and write them.
    """
    table = build.widened(table)
    batches, size, width = shape_of(table)
    count = shape_of(taps[0][0])[1]
    part = _part(batches * count, width) if len(taps) > 1 else batches * count
    if part == batches * count:
        return _weighted(build, table, taps)
    parts = batches * count // part
    table = build.reshape(table, (1, batches * size, width))
    flat = [_flat(build, tap, (batches, count, size)) for tap in taps]
    scanned = [build.reshape(value, (parts, 1, part, 1)) for tap in flat for value in tap if value is not None]

    def step(state: Step) -> Yielded:
        pieces = iter(state.pieces)
        taps = [(next(pieces), None if weight is None else next(pieces)) for _, weight in flat]
        return [], [_weighted(build, table, taps)]

    _, (stacked,) = loop(build, Loop([], scanned, steps=parts), step)
    return build.reshape(stacked, (batches, count, width))


_PART = 1 << 15
"""Elements of the sums that are made at a time: 128 KB in f32, of which a step holds two or three."""


def _part(count: int, width: int) -> int:
    """The largest divisor of `count` rows of `width` that is small enough; all of them if it would be very small."""
    most = max(_PART // max(width, 1), 1)
    if count <= most:
        return count
    part = max(divisor for divisor in range(1, most + 1) if count % divisor == 0)
    return part if part * 8 > most else count


def _flat(build: GraphBuilder, tap: Tap, sizes: tuple[int, int, int]) -> Tap:
    """A tap of [b, n] points into [b, s] rows as one of b x n points into b x s rows."""
    (rows, weight), (batches, count, size) = tap, sizes
    if batches > 1:
        element = element_of(rows)
        first = np.arange(batches).reshape(batches, 1, 1) * size
        inside = build.emit(graph.LessOp(rows, build.scalar_of(size, element)))
        moved = build.add(rows, build.constant(first.astype(numpy_dtype(element)), f"{build.node}.batches"))
        rows = build.emit(graph.WhereOp(inside, moved, build.scalar_of(batches * size, element)))
    weights = None if weight is None else build.expand(weight, (batches, count, 1))
    return build.expand(rows, (batches, count, 1)), weights


def _weighted(build: GraphBuilder, table: SSAValue, taps: Iterable[Tap]) -> SSAValue:
    total: SSAValue | None = None
    for rows, weight in taps:
        value = lookups.gather_3d(build, table, rows)
        if weight is not None:
            value = build.mul(value, weight)
        total = value if total is None else build.add(total, value)
    if total is None:
        raise TypeError("an interpolation has a tap")
    return total


def spread(build: GraphBuilder, x: SSAValue, shape: Sequence[int]) -> SSAValue:
    """x broadcast to `shape`, as a column [1, elements, 1]."""
    return build.reshape(build.expand(x, tuple(shape)), (1, math.prod(shape), 1))


def channels_last_table(build: GraphBuilder, x: SSAValue) -> SSAValue:
    """[n, c, spatial ...] as rows of channels [n, positions, c]."""
    shape = shape_of(x)
    return build.transpose(build.reshape(x, (*shape[:2], math.prod(shape[2:]))), (0, 2, 1))
