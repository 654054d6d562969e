"""One-hot tensors, sequences in reverse order."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.lookups import gather_3d
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_type, shape_of

I64 = element_type("i64")


def _positions(node: ImportNode, count: int, axis: int, rank: int) -> SSAValue:
    """0, 1, ... along `axis` of a rank-`rank` tensor, in i64."""
    shape = [count if i == axis else 1 for i in range(rank)]
    return node.build.constant(np.arange(count, dtype=np.int64).reshape(shape), f"{node.label}.positions")


@onnx_op("OneHot")
def one_hot(node: ImportNode) -> SSAValue:
    """values[1] where the new axis' position is the index (negative ones count from the end), else values[0]."""
    build = node.build
    depth = int(node.constant(1, "depth").reshape(-1)[0])
    indices, values = build.cast(node.input(0), I64), node.input(2)
    shape = shape_of(indices)
    axis = node.axis("axis", len(shape) + 1, -1)
    spread = build.reshape(indices, (*shape[:axis], 1, *shape[axis:]))
    wrapped = _wrapped(node, spread, depth)
    hit = build.emit(graph.EqualOp(wrapped, _positions(node, depth, axis, len(shape) + 1)))
    off, on = (build.reshape(build.slice_axis(values, 0, index, 1), ()) for index in (0, 1))
    return build.emit(graph.WhereOp(hit, on, off))


def _wrapped(node: ImportNode, indices: SSAValue, size: int) -> SSAValue:
    """Negative indices count from the end."""
    build = node.build
    negative = build.emit(graph.LessOp(indices, build.scalar_of(0, I64)))
    shifted = build.add(indices, build.scalar_of(size, I64))
    return build.emit(graph.WhereOp(negative, shifted, indices))


@onnx_op("ReverseSequence")
def reverse_sequence(node: ImportNode) -> SSAValue:
    """The first `sequence_lens[b]` time steps of each batch entry b in reverse order."""
    build, x = node.build, node.input(0)
    shape, lengths = shape_of(x), node.shape(1)
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    if {time, batch} != {0, 1} or len(shape) < 2 or lengths != (shape[batch],):
        raise Malformed("one length per batch entry, time and batch are the first two axes", f"{lengths}, {shape}")
    swap = [1, 0, *range(2, len(shape))] if time == 0 else list(range(len(shape)))
    entries, steps = shape[batch], shape[time]
    table = build.reshape(build.transpose(x, swap), (entries, steps, math.prod(shape[2:])))
    step = build.constant(np.arange(steps, dtype=np.int64).reshape(1, steps, 1), f"{node.label}.steps")
    length = build.reshape(build.cast(node.input(1), I64), (entries, 1, 1))
    turned = build.sub(build.shifted(length, -1), step)
    inside = build.emit(graph.GreaterOp(length, step))
    places = build.emit(graph.WhereOp(inside, turned, step))
    reversed_ = build.reshape(gather_3d(build, table, places), (entries, steps, *shape[2:]))
    return build.transpose(reversed_, swap)
