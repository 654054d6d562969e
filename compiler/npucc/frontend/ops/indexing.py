"""Ops about positions: arg max, one-hot, cumulative sums, and lookups with indices that the model computes.

A lookup with computed indices is a product with a one-hot matrix: exact, and made of what the device has. The table
must hold finite numbers (0 times infinity is not a number).
"""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import BOOL, element_of, element_type, numpy_dtype, shape_of

I64 = element_type("i64")
MAX_ONE_HOT = 1 << 27
"""Most elements of a one-hot matrix or mask."""


def _positions(node: ImportNode, count: int, axis: int, rank: int) -> SSAValue:
    """0, 1, ... along `axis` of a rank-`rank` tensor, in i64."""
    shape = [count if i == axis else 1 for i in range(rank)]
    return node.build.constant(np.arange(count, dtype=np.int64).reshape(shape), f"{node.label}.positions")


def _check_mask(count: int) -> None:
    if count > MAX_ONE_HOT:
        rule = f"a lookup with computed indices compares at most {MAX_ONE_HOT} pairs of index and position"
        raise Unsupported(rule, f"{count} pairs", "look the values up before the model")


def arg_extreme(node: ImportNode, fn: str, x: SSAValue, axis: int, last: bool) -> SSAValue:
    """Position (kept axis, i64) of the first or last extreme value."""
    build, shape = node.build, shape_of(x)
    if element_of(x) == BOOL or not shape[axis]:
        raise Unsupported("an arg max has numbers, at least one", f"{x.type}")
    hit = build.emit(graph.EqualOp(x, build.reduce(x, fn, [axis])))
    positions = _positions(node, shape[axis], axis, len(shape))
    other = build.scalar_of(-1 if last else shape[axis], I64)
    chosen = build.emit(graph.WhereOp(hit, positions, other))
    return build.reduce(chosen, "max" if last else "min", [axis])


def _arg(node: ImportNode, fn: str) -> SSAValue:
    x = node.input(0)
    shape = shape_of(x)
    axis = node.axis("axis", len(shape), 0)
    y = arg_extreme(node, fn, x, axis, bool(node.integer("select_last_index")))
    return y if node.integer("keepdims", 1) else node.build.reshape(y, (*shape[:axis], *shape[axis + 1 :]))


@onnx_op("ArgMax")
def arg_max(node: ImportNode) -> SSAValue:
    """Position of the greatest element of each line."""
    return _arg(node, "max")


@onnx_op("ArgMin")
def arg_min(node: ImportNode) -> SSAValue:
    """Position of the least element of each line."""
    return _arg(node, "min")


@onnx_op("Hardmax")
def hardmax(node: ImportNode) -> SSAValue:
    """1 at the first greatest element, else 0. Before opset 13 the axes from `axis` on are one."""
    build, x = node.build, node.input(0)
    shape, rank = shape_of(x), len(shape_of(x))
    axis = node.axis("axis", rank, -1 if node.opset >= 13 else 1)
    if node.opset < 13:
        x, axis = build.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:]))), 1
    best = arg_extreme(node, "max", x, axis, False)
    positions = _positions(node, shape_of(x)[axis], axis, len(shape_of(x)))
    return build.reshape(build.cast(build.emit(graph.EqualOp(positions, best)), element_of(x)), shape)


@onnx_op("OneHot")
def one_hot(node: ImportNode) -> SSAValue:
    """values[1] where the new axis' position is the index (negative ones count from the end), else values[0]."""
    build = node.build
    depth = int(node.constant(1, "depth").reshape(-1)[0])
    indices, values = build.cast(node.input(0), I64), node.input(2)
    shape = shape_of(indices)
    axis = node.axis("axis", len(shape) + 1, -1)
    _check_mask(math.prod(shape) * max(depth, 1))
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


def _one_hot_rows(node: ImportNode, indices: SSAValue, size: int) -> SSAValue:
    """bool [count of indices, size]."""
    build = node.build
    count = math.prod(shape_of(indices))
    _check_mask(count * size)
    column = build.reshape(build.cast(indices, I64), (count, 1))
    return build.emit(graph.EqualOp(_wrapped(node, column, size), _positions(node, size, 1, 2)))


def lookup(node: ImportNode, x: SSAValue, indices: SSAValue, axis: int) -> SSAValue:
    """Gather along `axis` with computed indices, by a one-hot product (integers: as wide as they are)."""
    build, shape = node.build, shape_of(x)
    element = element_of(x)
    before, size, after = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    rows = _one_hot_rows(node, indices, size)
    table = build.reshape(x, (before, size, after))
    if element == BOOL:
        table = build.cast(table, element_type("i8"))
    found = build.matmul(build.cast(rows, element_of(table)), table)
    return build.reshape(build.cast(found, element), (*shape[:axis], *shape_of(indices), *shape[axis + 1 :]))


@onnx_op("GatherElements", since=11)
def gather_elements(node: ImportNode) -> SSAValue:
    """y[.., i, ..] = x[.., index[.., i, ..], ..]: the sum over the axis of x where position and index agree."""
    build, x, indices = node.build, node.input(0), node.input(1)
    shape, wanted = shape_of(x), shape_of(indices)
    axis = node.axis("axis", len(shape), 0)
    if len(wanted) != len(shape) or any(w > s for i, (w, s) in enumerate(zip(wanted, shape)) if i != axis):
        raise Malformed("indices lie within the other axes", f"{list(wanted)} for {list(shape)}")
    _check_mask(math.prod(wanted) * shape[axis])
    kept = [shape[axis] if i == axis else size for i, size in enumerate(wanted)]
    x = build.slice(x, [0] * len(shape), [1] * len(shape), kept)
    order = [i for i in range(len(shape)) if i != axis]
    lines = build.transpose(x, [*order, axis])
    lines = build.reshape(lines, (*shape_of(lines)[:-1], 1, shape[axis]))
    columns = build.transpose(build.cast(indices, I64), [*order, axis])
    columns = build.reshape(columns, (*shape_of(columns), 1))
    rank = len(shape) + 1
    hit = build.emit(graph.EqualOp(_wrapped(node, columns, shape[axis]), _positions(node, shape[axis], rank - 1, rank)))
    element = element_of(x)
    if element == BOOL:
        both = build.cast(build.emit(graph.AndOp(hit, lines)), element_type("i32"))
        y = build.cast(build.reduce(both, "sum", [rank - 1]), BOOL)
    else:
        chosen = build.emit(graph.WhereOp(hit, lines, build.scalar(0, lines)))
        y = build.reduce(chosen, "sum", [rank - 1])
    y = build.reshape(y, [wanted[i] for i in (*order, axis)])
    return build.transpose(y, [(*order, axis).index(i) for i in range(len(shape))])


@onnx_op("CumSum")
def cumulative_sum(node: ImportNode) -> SSAValue:
    """Running sums along an axis: a product with a triangle of ones."""
    build, x = node.build, node.input(0)
    shape = shape_of(x)
    axis = node.wrap_axis(int(node.constant(1, "axis").reshape(-1)[0]), len(shape))
    size = shape[axis]
    offset = -1 if node.integer("exclusive") else 0
    triangle = np.tril(np.ones((size, size)), offset)
    if node.integer("reverse"):
        triangle = triangle.T
    matrix = build.constant(triangle.astype(numpy_dtype(element_of(x))), f"{node.label}.triangle")
    flat = build.reshape(x, (math.prod(shape[:axis]), size, math.prod(shape[axis + 1 :])))
    return build.reshape(build.matmul(matrix, flat), shape)
