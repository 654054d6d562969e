"""Gather, GatherElements, GatherND: constant indices become slices where few suffice, others are looked up.

ONNX leaves indices outside of the axis undefined (or an error): known ones are refused, computed ones read zeros.
"""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend import lookups
from npucc.frontend.dequantized import looked_up
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.frontend.selection import take
from npucc.types import Array, element_type, shape_of

I64 = element_type("i64")


@onnx_op("Gather")
def gather(node: ImportNode) -> SSAValue:
    """Slices of x at indices along one axis."""
    x, build = node.input(0), node.build
    shape = shape_of(x)
    axis = node.axis("axis", len(shape), 0)
    known = known_indices(node, 1, shape[axis])
    if known is None:
        return looked_up(build, x, lambda table: lookups.gather(build, table, node.input(1), axis))
    y = take(build, x, axis, [int(index) for index in known.reshape(-1)])
    return build.reshape(y, (*shape[:axis], *known.shape, *shape[axis + 1 :]))


@onnx_op("GatherElements", since=11)
def gather_elements(node: ImportNode) -> SSAValue:
    """y[.., i, ..] = x[.., indices[.., i, ..], ..]."""
    x = node.input(0)
    shape = shape_of(x)
    axis = node.axis("axis", len(shape), 0)
    known_indices(node, 1, shape[axis])
    return lookups.gather_elements(node.build, x, node.input(1), axis)


@onnx_op("GatherND")
def gather_nd(node: ImportNode) -> SSAValue:
    """Rows of x at index tuples; the first `batch_dims` axes of both belong together."""
    build, x = node.build, node.input(0)
    shape, indices = shape_of(x), node.shape(1)
    batch = node.integer("batch_dims")
    if not indices or not batch + indices[-1] <= len(shape) or shape[:batch] != indices[:batch]:
        raise Malformed("index tuples are no longer than the input has axes", f"{list(indices)} for {list(shape)}")
    sizes, inner = shape[batch : batch + indices[-1]], shape[batch + indices[-1] :]
    batches, count = math.prod(shape[:batch]), math.prod(indices[batch:-1])
    rows = build.reshape(flat_rows(node, 1, sizes), (batches, count, 1))
    table = build.reshape(x, (batches, math.prod(sizes), math.prod(inner)))
    return build.reshape(lookups.gather_3d(build, table, rows), (*indices[:-1], *inner))


def known_indices(node: ImportNode, index: int, size: int) -> Array | None:
    """Known indices of input `index` into an axis of `size`, counted from the front; None if they are computed.

    Malformed if they are no integers or lie outside.
    """
    known = node.known(index)
    if known is None:
        return None
    if known.dtype.kind not in "iu":
        raise Malformed("indices are integers", f"{known.dtype}")
    wide = known.astype(np.int64)
    if wide.size and not (-size <= wide.min() and wide.max() < size):
        raise Malformed(f"indices lie in [{-size}, {size - 1}]", f"{wide.min()} to {wide.max()}")
    return np.where(wide < 0, wide + size, wide)


def flat_rows(node: ImportNode, index: int, sizes: tuple[int, ...]) -> SSAValue:
    """Row numbers [tuples] of the index tuples [..., k] of input `index` into axes of `sizes`."""
    build = node.build
    strides = np.asarray([math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))], np.int64)
    known, shape = node.known(index), node.shape(index)
    count = math.prod(shape[:-1])
    if known is not None:
        tuples, limits = known.astype(np.int64).reshape(count, len(sizes)), np.asarray(sizes, np.int64)
        if tuples.size and ((tuples < -limits) | (tuples >= limits)).any():
            raise Malformed(f"indices lie in axes of sizes {list(sizes)}", f"{tuples.min(0)} to {tuples.max(0)}")
        return build.constant(np.where(tuples < 0, tuples + limits, tuples) @ strides, f"{node.label}.rows")
    tuples = build.cast(build.reshape(node.input(index), (count, len(sizes))), I64)
    if len(sizes) == 1:
        return build.reshape(tuples, (count,))
    negative = build.emit(graph.LessOp(tuples, build.scalar_of(0, I64)))
    wrapped = build.add(tuples, build.constant(np.asarray(sizes, np.int64), f"{node.label}.sizes"))
    places = build.emit(graph.WhereOp(negative, wrapped, tuples))
    rows = build.reduce(build.mul(places, build.constant(strides, f"{node.label}.strides")), "sum", [1])
    return build.reshape(rows, (count,))
