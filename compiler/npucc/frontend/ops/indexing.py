"""Ops about positions: arg max, one-hot, cumulative sums, selections."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.selection import take
from npucc.types import BOOL, element_of, element_type, is_float, numpy_dtype, shape_of

I64 = element_type("i64")
PRODUCT_TYPES = tuple(element_type(name) for name in ("f32", "f16", "bf16"))
MAX_TOP = 128
MAX_ONE_HOT = 1 << 27
"""Most elements of a one-hot matrix or mask."""


def _positions(node: ImportNode, count: int, axis: int, rank: int) -> SSAValue:
    """0, 1, ... along `axis` of a rank-`rank` tensor, in i64."""
    shape = [count if i == axis else 1 for i in range(rank)]
    return node.build.constant(np.arange(count, dtype=np.int64).reshape(shape), f"{node.label}.positions")


def check_mask(count: int) -> None:
    """Unsupported if a mask would have more than MAX_ONE_HOT elements."""
    if count > MAX_ONE_HOT:
        raise Unsupported(f"a mask has at most {MAX_ONE_HOT} elements", f"{count} elements", "use smaller tensors")


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
    check_mask(math.prod(shape) * max(depth, 1))
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


def masked_sum(node: ImportNode, mask: SSAValue, x: SSAValue, axis: int) -> SSAValue:
    """Sum over `axis` (kept) of x where the mask holds; for bool: whether any of them is true."""
    build = node.build
    if element_of(x) == BOOL:
        both = build.cast(build.emit(graph.AndOp(mask, x)), element_type("i32"))
        return build.cast(build.reduce(both, "sum", [axis]), BOOL)
    chosen = build.emit(graph.WhereOp(mask, x, build.scalar(0, x)))
    return build.reduce(chosen, "sum", [axis])


@onnx_op("Compress")
def compress(node: ImportNode) -> SSAValue:
    """The slices along `axis` (of the flat tensor without one) where a known condition holds."""
    build, x = node.build, node.input(0)
    condition = node.constant(1, "condition").reshape(-1).astype(bool)
    if not node.has_attribute("axis"):
        x = build.reshape(x, (math.prod(shape_of(x)),))
    axis = node.axis("axis", len(shape_of(x)), 0)
    chosen = np.flatnonzero(condition)
    if chosen.size and chosen[-1] >= shape_of(x)[axis]:
        raise Malformed("the condition is no longer than the axis", f"{condition.size} for {shape_of(x)[axis]}")
    return take(build, x, axis, [int(index) for index in chosen])


@onnx_op("ReverseSequence")
def reverse_sequence(node: ImportNode) -> SSAValue:
    """The first `sequence_lens` (known) time steps of each batch entry in reverse order."""
    build, x = node.build, node.input(0)
    shape = shape_of(x)
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    lengths = node.constant_ints(1, "sequence_lens")
    if {time, batch} != {0, 1} or len(lengths) != shape[batch] or any(not 0 <= n <= shape[time] for n in lengths):
        raise Malformed("one length per batch entry, within the time axis", f"{lengths} for {list(shape)}")
    pieces: list[SSAValue] = []
    for index, length in enumerate(lengths):
        entry = build.slice_axis(x, batch, index, 1)
        order = [*range(length)[::-1], *range(length, shape[time])]
        pieces.append(take(build, entry, time, order))
    return build.concat(pieces, batch)


@onnx_op("CumSum")
def cumulative_sum(node: ImportNode) -> SSAValue:
    """Running sums along an axis: a product with a triangle of ones (integers: masked sums)."""
    build, x = node.build, node.input(0)
    shape = shape_of(x)
    axis = node.wrap_axis(int(node.constant(1, "axis").reshape(-1)[0]), len(shape))
    size = shape[axis]
    offset = -1 if node.integer("exclusive") else 0
    triangle = np.tril(np.ones((size, size)), offset)
    if node.integer("reverse"):
        triangle = triangle.T
    lines = (math.prod(shape[:axis]), size, math.prod(shape[axis + 1 :]))
    if element_of(x) in PRODUCT_TYPES:
        matrix = build.constant(triangle.astype(numpy_dtype(element_of(x))), f"{node.label}.triangle")
        return build.reshape(build.matmul(matrix, build.reshape(x, lines)), shape)
    check_mask(math.prod(lines) * size)
    mask = build.constant(triangle.astype(bool)[:, :, None], f"{node.label}.triangle")
    spread = build.reshape(x, (lines[0], 1, *lines[1:]))
    return build.reshape(masked_sum(node, mask, spread, 2), shape)


@onnx_op("TopK")
def top_k(node: ImportNode) -> list[SSAValue]:
    """The k greatest (or least) elements of each line, in order: an arg max, which is then taken out, k times."""
    build, x = node.build, node.input(0)
    k = node.integer("k") if node.has_attribute("k") else int(node.constant(1, "k").reshape(-1)[0])
    shape = shape_of(x)
    axis, largest = node.axis("axis", len(shape), -1), bool(node.integer("largest", 1))
    if not 0 <= k <= shape[axis]:
        raise Malformed("k lies within the axis", f"k = {k}, axis of {shape[axis]}")
    if not 0 < k <= MAX_TOP:
        raise Unsupported(f"TopK takes 1 to {MAX_TOP} elements", f"k = {k}", "sort outside the model")
    worst = _worst(element_of(x), largest)
    positions = _positions(node, shape[axis], axis, len(shape))
    values: list[SSAValue] = []
    indices: list[SSAValue] = []
    left, taken = x, None
    for _ in range(k):
        best, found = _best(node, left, taken, axis, "max" if largest else "min")
        values.append(best)
        indices.append(found)
        hit = build.emit(graph.EqualOp(positions, found))
        taken = hit if taken is None else build.emit(graph.OrOp(taken, hit))
        left = build.emit(graph.WhereOp(taken, build.scalar(worst, x), x))
    return [build.concat(values, axis), build.concat(indices, axis)]


def _worst(element: Attribute, largest: bool) -> float:
    """What no element is worse than."""
    if is_float(element):
        return -np.inf if largest else np.inf
    limits = np.iinfo(numpy_dtype(element))
    return limits.min if largest else limits.max


def _best(node: ImportNode, x: SSAValue, taken: SSAValue | None, axis: int, fn: str) -> tuple[SSAValue, SSAValue]:
    """The extreme value and its first position that has not been taken."""
    build, shape = node.build, shape_of(x)
    best = build.reduce(x, fn, [axis])
    hit = build.emit(graph.EqualOp(x, best))
    if taken is not None:  # the filler may equal a value that is left
        hit = build.emit(graph.AndOp(hit, build.emit(graph.NotOp(taken))))
    positions = _positions(node, shape[axis], axis, len(shape))
    chosen = build.emit(graph.WhereOp(hit, positions, build.scalar_of(shape[axis], I64)))
    return best, build.reduce(chosen, "min", [axis])
