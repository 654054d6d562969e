"""Gathers and scatters of importer functions, in NumPy's terms, as the graph's `[b, s, r]` form."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc import numpy_indexed
from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.problems import Malformed
from npucc.types import shape_of

Shape = tuple[int, ...]


def gather(build: GraphBuilder, x: SSAValue, indices: SSAValue, axis: int) -> SSAValue:
    """Whole slices of x along `axis`, as `np.take`: result [*before, *shape of indices, *after].

    `indices` are integers of any shape; negative ones count from the end, outside of the axis a slice of zeros is read.
    """
    shape, places = shape_of(x), shape_of(indices)
    before, after = shape[:axis], shape[axis + 1 :]
    rows = build.reshape(indices, (1, math.prod(places), 1))
    table = build.reshape(x, (math.prod(before), shape[axis], math.prod(after)))
    return build.reshape(gather_3d(build, table, rows), (*before, *places, *after))


def gather_elements(build: GraphBuilder, x: SSAValue, indices: SSAValue, axis: int) -> SSAValue:
    """y[.., i, ..] = x[.., indices[.., i, ..], ..] along `axis`, as `np.take_along_axis`.

    `indices` have the rank of x and, on the other axes, at most its extents (x is cut to them).
    """
    shape, places = shape_of(x), shape_of(indices)
    _check_elements(shape, places, axis)
    kept = [shape[axis] if i == axis else size for i, size in enumerate(places)]
    x = build.slice(x, [0] * len(kept), [1] * len(kept), kept)
    table = build.reshape(x, _lines(shape_of(x), axis))
    return build.reshape(gather_3d(build, table, build.reshape(indices, _lines(places, axis))), places)


def scatter_elements(
    build: GraphBuilder, x: SSAValue, indices: SSAValue, updates: SSAValue, axis: int, fn: str = "none"
) -> SSAValue:
    """x with x[.., indices[.., i, ..], ..] (fn)= updates[.., i, ..] along `axis`, later i after earlier ones.

    `indices` and `updates` have one shape, of the rank of x, on the other axes at most its extents.
    """
    shape, places = shape_of(x), shape_of(indices)
    _check_elements(shape, places, axis)
    if not math.prod(places):
        return x
    kept = tuple(shape[axis] if i == axis else size for i, size in enumerate(places))
    if kept != shape:
        part = scatter_elements(build, _corner(build, x, kept), indices, updates, axis, fn)
        return _with_corner(build, x, part)
    data, rows, new = (
        build.reshape(value, _lines(extents, axis))
        for value, extents in ((x, shape), (indices, places), (updates, places))
    )
    return build.reshape(scatter_3d(build, data, rows, new, fn), shape)


def gather_3d(build: GraphBuilder, x: SSAValue, indices: SSAValue) -> SSAValue:
    """`graph.gather`: x [b, s, r], indices [b or 1, n, r or 1]; done at once where both are known."""
    batches, size, width = shape_of(x)
    if not size and batches * width * shape_of(indices)[1]:
        raise Malformed("an axis that is looked up in has elements", f"{shape_of(indices)[1]} indices, no elements")
    table, places = build.known(x), build.known(indices)
    if table is not None and places is not None:
        return build.constant(numpy_indexed.gather(table, places), f"{build.node}.gathered")
    return build.emit(graph.GatherOp(x, _narrow(build, indices)))


def scatter_3d(build: GraphBuilder, x: SSAValue, indices: SSAValue, updates: SSAValue, fn: str = "none") -> SSAValue:
    """`graph.scatter`: x [b, s, r], indices [b or 1, n, r or 1], updates [b, n, r]; x itself without updates."""
    return build.emit(graph.ScatterOp(x, _narrow(build, indices), updates, fn)) if shape_of(updates)[1] else x


def _narrow(build: GraphBuilder, indices: SSAValue) -> SSAValue:
    """Known 64-bit indices in 32 bits, which is half the traffic; what does not fit lies outside of any axis."""
    known = build.known(indices)
    if known is None or known.dtype.itemsize < 8:
        return indices
    limits = np.iinfo(np.int32)
    return build.constant(np.clip(known, limits.min, limits.max).astype(np.int32), f"{build.node}.indices")


def _check_elements(shape: Shape, places: Shape, axis: int) -> None:
    if len(places) != len(shape) or any(p > s for i, (p, s) in enumerate(zip(places, shape)) if i != axis):
        raise Malformed("indices lie within the other axes of the input", f"{list(places)} for {list(shape)}")


def _lines(shape: Shape, axis: int) -> Shape:
    """The axes before, the axis, the axes behind."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _corner(build: GraphBuilder, x: SSAValue, sizes: Shape) -> SSAValue:
    return build.slice(x, [0] * len(sizes), [1] * len(sizes), sizes)


def _with_corner(build: GraphBuilder, x: SSAValue, corner: SSAValue) -> SSAValue:
    """x with its leading box replaced, one axis after the other from the inside out."""
    shape, sizes = shape_of(x), shape_of(corner)
    for axis in reversed(range(len(shape))):
        if sizes[axis] < shape[axis]:
            reach = [*sizes[:axis], shape[axis] - sizes[axis], *shape[axis + 1 :]]
            starts = [0] * axis + [sizes[axis]] + [0] * (len(shape) - axis - 1)
            corner = build.concat([corner, build.slice(x, starts, [1] * len(shape), reach)], axis)
    return corner
