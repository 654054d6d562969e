"""Ops that keep some elements: NonZero, Compress, Unique; results as long as the data say."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.lookups import gather, scatter_elements
from npucc.frontend.node import Bounded, ImportNode, Output
from npucc.frontend.problems import Malformed
from npucc.frontend.regions import Loop, Step, Yielded, loop
from npucc.frontend.registry import onnx_op
from npucc.frontend.selection import take
from npucc.types import BOOL, element_of, element_type, is_float, shape_of

I32, I64 = element_type("i32"), element_type("i64")


def count_of(build: GraphBuilder, mask: SSAValue) -> SSAValue:
    """How many elements of a bool vector hold, i64 [1]."""
    return build.reduce(mask, "sum", [0], I64)


def coordinates(build: GraphBuilder, places: SSAValue, shape: tuple[int, ...]) -> SSAValue:
    """i64 [rank, n] of the indices along each axis of flat positions (i32 [n])."""
    rows: list[SSAValue] = []
    stride = math.prod(shape)
    for size in shape:
        stride //= max(size, 1)
        row = places if stride == 1 else build.div(places, build.scalar_of(stride, I32))
        if rows:
            row = build.emit(graph.RemOp(row, build.scalar_of(size, I32)))
        rows.append(build.reshape(build.cast(row, I64), (1, *shape_of(places))))
    return build.concat(rows, 0)


@onnx_op("NonZero")
def nonzero(node: ImportNode) -> Output:
    """i64 [rank, count]: the indices of all elements that are not 0, in row-major order; a scalar gives [0, count]."""
    build, x = node.build, node.input(0)
    shape = shape_of(x)
    total = math.prod(shape)
    mask = build.cast(build.reshape(x, (total,)), BOOL)
    if not total:
        return np.zeros((len(shape), 0), np.int64)
    extents = (len(shape), count_of(build, mask))
    if not shape:
        return Bounded(build.constant(np.zeros((0, 1), np.int64), f"{node.label}.empty"), extents)
    places = build.emit(graph.NonzeroOp(mask, total, I32))
    return Bounded(coordinates(build, places, shape), extents)


@onnx_op("Compress")
def compress(node: ImportNode) -> Output:
    """The slices along `axis` (of the flat tensor without one) where the condition holds."""
    build, x = node.build, node.input(0)
    if not node.has_attribute("axis"):
        x = build.reshape(x, (math.prod(shape_of(x)),))
    axis = node.axis("axis", len(shape_of(x)), 0)
    size = shape_of(x)[axis]
    known = node.known(1)
    if known is not None:
        chosen = np.flatnonzero(known.reshape(-1).astype(bool))
        if chosen.size and chosen[-1] >= size:
            raise Malformed("the condition is no longer than the axis", f"{known.size} for {size}")
        return take(build, x, axis, [int(index) for index in chosen])
    condition = node.input(1)
    length = min(math.prod(shape_of(condition)), size)
    condition = build.slice_axis(build.reshape(condition, (math.prod(shape_of(condition)),)), 0, 0, length)
    if not length:
        return build.slice_axis(x, axis, 0, 0)
    kept = selected(build, x, condition, axis)
    extents = tuple(count_of(build, condition) if i == axis else n for i, n in enumerate(shape_of(x)))
    return Bounded(kept, extents)


def selected(build: GraphBuilder, x: SSAValue, mask: SSAValue, axis: int = 0) -> SSAValue:
    """The slices of x along `axis` at which the bool vector `mask` (at most as long) holds, at the front."""
    length = shape_of(mask)[0]
    if len(shape_of(x)) == 1:
        return build.emit(graph.CompressOp(build.slice_axis(x, 0, 0, length), mask, length))
    return gather(build, x, build.emit(graph.NonzeroOp(mask, length, I32)), axis)


# --- Unique -----------------------------------------------------------------------------------------------

@onnx_op("Unique")
def unique(node: ImportNode) -> list[Output]:
    """Different elements (or slices along `axis`), where each first stands, which one each element is, and how often.

    In ascending order, or with sorted = 0 in the order of their first places. NaN equals NaN, as in NumPy.
    """
    build, x = node.build, node.input(0)
    flat = not node.has_attribute("axis")
    x = build.reshape(x, (math.prod(shape_of(x)),)) if flat else x
    axis = node.axis("axis", len(shape_of(x)), 0)
    size = shape_of(x)[axis]
    if not math.prod(shape_of(x)):
        return _empty_unique(node, x, axis)
    order, new = _runs(build, _rows(build, x, axis))
    in_order = bool(node.integer("sorted", 1))
    runs = _Runs(build, order, new, size)
    first, inverse, counts = runs.sorted() if in_order else runs.by_place()
    number = count_of(build, new)
    values = gather(build, x, first, axis)
    extents = tuple(number if i == axis else n for i, n in enumerate(shape_of(x)))
    return [Bounded(values, extents), Bounded(first, (number,)), inverse, Bounded(counts, (number,))]


def _empty_unique(node: ImportNode, x: SSAValue, axis: int) -> list[Output]:
    """All slices of x are equal (none of them has elements), or there is none."""
    size = min(shape_of(x)[axis], 1)
    none = np.zeros(size, np.int64)
    counts = np.full(size, shape_of(x)[axis], np.int64)
    return [node.build.slice_axis(x, axis, 0, size), none, np.zeros(shape_of(x)[axis], np.int64), counts]


def _rows(build: GraphBuilder, x: SSAValue, axis: int) -> SSAValue:
    """[slices, elements of one]."""
    rank = len(shape_of(x))
    lines = build.transpose(x, [axis, *(i for i in range(rank) if i != axis)])
    return build.reshape(lines, (shape_of(x)[axis], -(-math.prod(shape_of(x)) // shape_of(x)[axis])))


def _runs(build: GraphBuilder, rows: SSAValue) -> tuple[SSAValue, SSAValue]:
    """(i64 [n] order of the rows, bool [n] whether a row in that order differs from the one before).

    Lexicographic order: stable sorts by each column, from the last to the first.
    """
    count, width = shape_of(rows)
    columns = build.transpose(rows, (1, 0))
    last = build.reshape(build.slice_axis(columns, 0, width - 1, 1), (count,))
    order = build.emit(graph.ArgsortOp(last, count))
    if width > 1:

        def step(state: Step) -> Yielded:
            keys = gather(build, state.pieces[0], state.carried[0], 0)
            return [gather(build, state.carried[0], build.emit(graph.ArgsortOp(keys, count)), 0)], []

        others = build.slice_axis(columns, 0, width - 2, width - 1, -1)
        (order,), _ = loop(build, Loop([order], [others], steps=width - 1), step)
    if count == 1:
        return order, build.constant(np.ones(1, bool), "unique.first")
    placed = gather(build, rows, order, 0)
    above, below = (build.slice_axis(placed, 0, start, count - 1) for start in (0, 1))
    same = _equal(build, above, below)
    if width > 1:
        same = build.cast(build.reduce(build.cast(same, I32), "min", [1]), BOOL)
    differs = build.emit(graph.NotOp(build.reshape(same, (count - 1,))))
    return order, build.concat([build.constant(np.ones(1, bool), "unique.first"), differs], 0)


def _equal(build: GraphBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
    same = build.emit(graph.EqualOp(a, b))
    if not is_float(element_of(a)):
        return same
    missing = [build.emit(graph.NotOp(build.emit(graph.EqualOp(x, x)))) for x in (a, b)]
    return build.emit(graph.OrOp(same, build.emit(graph.AndOp(missing[0], missing[1]))))


class _Runs:
    """Equal elements stand in runs: `order` are their places in the original, `new` marks the first of each run."""

    def __init__(self, build: GraphBuilder, order: SSAValue, new: SSAValue, size: int) -> None:
        self._build, self._order, self._new, self._size = build, order, new, size
        started = build.emit(graph.ScanOp(new, "sum", element=I64))
        self._run = build.sub(started, build.scalar_of(1, I64))
        """Number of the run that each element in order belongs to."""

    def sorted(self) -> tuple[SSAValue, SSAValue, SSAValue]:
        """(first places, number of each original element, counts), runs in order."""
        build = self._build
        first = build.emit(graph.CompressOp(self._order, self._new, self._size))
        return first, self._scattered(self._run), self._counts()

    def by_place(self) -> tuple[SSAValue, SSAValue, SSAValue]:
        """The same with the runs in the order of their first places."""
        build = self._build
        starts = self._scattered(build.cast(self._new, I64))
        first = build.emit(graph.NonzeroOp(starts, self._size))
        # The number of a run is how many runs have begun before, looked up at its first place.
        before = build.emit(graph.ScanOp(starts, "sum", exclusive=True))
        places = build.emit(graph.CompressOp(self._order, self._new, self._size))
        number = gather(build, before, places, 0)
        inverse = self._scattered(gather(build, number, self._run, 0))
        counts = scatter_elements(build, self._zeros(), self._with_spare(number), self._counts(), 0)
        return first, inverse, counts

    def _with_spare(self, number: SSAValue) -> SSAValue:
        """Numbers of runs; those of no run point outside, where nothing is written."""
        build = self._build
        places = np.arange(self._size, dtype=np.int64)
        count = build.reduce(build.cast(self._new, I64), "sum", [0])
        real = build.emit(graph.LessOp(build.constant(places, "unique.places"), count))
        return build.emit(graph.WhereOp(real, number, build.scalar_of(self._size, I64)))

    def _zeros(self) -> SSAValue:
        return self._build.constant(np.zeros(self._size, np.int64), "unique.zeros")

    def _scattered(self, values: SSAValue) -> SSAValue:
        """Values of the elements in order, at their original places."""
        return scatter_elements(self._build, self._zeros(), self._order, values, 0)

    def _counts(self) -> SSAValue:
        """Length of each run: from where it begins to where the next one does, or to the end."""
        build, size = self._build, self._size
        begin = build.emit(graph.NonzeroOp(self._new, size))
        end = build.constant(np.full(1, -1, np.int64), "unique.end")
        following = build.concat([build.slice_axis(begin, 0, 1, size - 1), end], 0) if size > 1 else end
        none = build.emit(graph.LessOp(following, build.scalar_of(0, I64)))
        return build.sub(build.emit(graph.WhereOp(none, build.scalar_of(size, I64), following)), begin)
