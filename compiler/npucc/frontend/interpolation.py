"""Sampling at computed positions: every neighbour (tap) of a position is a lookup of rows, times a weight.

Positions are whole numbers in floating point; a tap outside of the tensor reads 0, whatever the tensor holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend import lookups
from npucc.frontend.builder import GraphBuilder
from npucc.types import element_type, shape_of

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


def weighted_rows(build: GraphBuilder, table: SSAValue, taps: Iterable[Tap]) -> SSAValue:
    """Sum over the taps of weight x row of `table` [b, s, c]: [b, n, c], in f32 for narrower floats."""
    table, total = build.widened(table), None
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
