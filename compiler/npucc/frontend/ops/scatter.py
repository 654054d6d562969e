"""Scatters: a copy of the data in which updates meet elements or rows, in the order of the updates.

Where several updates meet one element ONNX leaves the order open; here later ones follow earlier ones, as in NumPy.
Indices outside of the axis are undefined in ONNX: known ones are refused, updates at computed ones are dropped.
"""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend import lookups
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.gather import I64, flat_rows, known_indices
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.frontend.selection import pieces_of, take
from npucc.numpy_indexed import SCATTER_FUNCTIONS
from npucc.types import shape_of

MAX_SLICES = 8
"""Known rows are replaced by joining slices where these are so few: free where producers write in place."""


@onnx_op("ScatterND")
def scatter_nd(node: ImportNode) -> SSAValue:
    """x with the rows at index tuples replaced by (or combined with) updates."""
    build, x = node.build, node.input(0)
    shape, indices = shape_of(x), node.shape(1)
    if not indices or indices[-1] > len(shape):
        raise Malformed("index tuples are no longer than the input has axes", f"{list(indices)} for {list(shape)}")
    sizes, inner = shape[: indices[-1]], shape[indices[-1] :]
    if node.shape(2) != (*indices[:-1], *inner):
        raise Malformed("updates have one row per index tuple", f"{list(node.shape(2))}")
    count, width = math.prod(indices[:-1]), math.prod(inner)
    if not count or not math.prod(shape):
        return x
    data = build.reshape(x, (1, math.prod(sizes), width))
    rows = build.reshape(flat_rows(node, 1, sizes), (1, count, 1))
    updates = build.reshape(node.input(2), (1, count, width))
    return build.reshape(_scattered(node, data, rows, updates), shape)


def _scattered(node: ImportNode, data: SSAValue, rows: SSAValue, updates: SSAValue) -> SSAValue:
    """Known rows that are replaced come as slices of the data and the updates where these are few."""
    build, fn, known = node.build, _function(node), node.build.known(rows)
    if fn == "none" and known is not None:
        size = shape_of(data)[1]
        source = np.arange(size)
        source[known.reshape(-1)] = size + np.arange(known.size)  # of equal rows the last one wins
        if pieces_of(source) <= MAX_SLICES:
            return take(build, build.concat([data, updates], 1), 1, [int(row) for row in source])
    return lookups.scatter_3d(build, data, rows, updates, fn)


def _function(node: ImportNode) -> str:
    fn = node.text("reduction", "none")
    if fn not in SCATTER_FUNCTIONS:
        raise Malformed(f"`reduction` is one of {', '.join(SCATTER_FUNCTIONS)}", f"`{fn}`")
    return fn


@onnx_op("Scatter")
@onnx_op("ScatterElements")
def scatter_elements(node: ImportNode) -> SSAValue:
    """x with the elements at `indices` along one axis (the other positions are those of the index) changed."""
    x = node.input(0)
    shape = shape_of(x)
    axis = node.axis("axis", len(shape), 0)
    if node.shape(1) != node.shape(2):
        raise Malformed("indices and updates have one shape", f"{list(node.shape(1))}, {list(node.shape(2))}")
    known_indices(node, 1, shape[axis])
    return lookups.scatter_elements(node.build, x, node.input(1), node.input(2), axis, _function(node))


@onnx_op("TensorScatter")
def tensor_scatter(node: ImportNode) -> SSAValue:
    """A cache whose entries from `write_indices` on, per batch, are replaced; circular: positions wrap around."""
    build, cache = node.build, node.input(0)
    shape, new = shape_of(cache), node.shape(1)
    axis = node.axis("axis", len(shape), -2)
    mode = node.text("mode", "linear")
    fits = len(new) == len(shape) and all(a == b or i == axis for i, (a, b) in enumerate(zip(new, shape)))
    if not axis or not fits or new[axis] > shape[axis] or mode not in ("linear", "circular"):
        raise Malformed("the update fits into the cache behind its batch axis", f"{list(new)} in {list(shape)}, {mode}")
    steps = build.constant(np.arange(new[axis], dtype=np.int64).reshape(1, 1, -1), f"{node.label}.steps")
    places = build.expand(steps, (shape[0], 1, new[axis]))
    if node.has(2):
        first = build.reshape(build.cast(node.input(2), I64), (shape[0], 1, 1))
        places = build.add(steps, first)
        if mode == "circular":
            places = build.emit(graph.ModOp(places, build.scalar_of(shape[axis], I64)))
    heads = math.prod(shape[1:axis])
    places = build.reshape(build.expand(places, (shape[0], heads, new[axis])), (shape[0] * heads, new[axis], 1))
    width = math.prod(shape[axis + 1 :])
    data = build.reshape(cache, (shape[0] * heads, shape[axis], width))
    updates = build.reshape(node.input(1), (shape[0] * heads, new[axis], width))
    return build.reshape(lookups.scatter_3d(build, data, places, updates), shape)
