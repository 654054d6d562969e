"""Movement of data: reshape, transpose, slice, concat, pad, gather and their relatives."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder, Shape
from npucc.frontend.node import ImportNode, Output
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.frontend.selection import repeat_axes, take
from npucc.frontend.step_slices import slice_by_step
from npucc.types import element_of, numpy_dtype, shape_of


@onnx_op("Reshape")
def reshape(node: ImportNode) -> SSAValue:
    """`shape` is an attribute before opset 5. 0 keeps a size (unless `allowzero`), one -1 is inferred."""
    x = node.input(0)
    requested = node.integers("shape") if node.has_attribute("shape") else node.constant_ints(1, "shape")
    shape, old = list(requested), shape_of(x)
    if not node.integer("allowzero"):
        for axis, size in enumerate(requested):
            if size == 0:
                if axis >= len(old):
                    raise Malformed("a 0 in `shape` copies an axis of the input", f"{requested} for {list(old)}")
                shape[axis] = old[axis]
    if shape.count(-1) > 1 or min(shape, default=0) < -1:
        raise Malformed("`shape` has at most one -1", f"{requested}")
    if -1 in shape:
        rest = math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = math.prod(old) // rest if rest else 0
    if math.prod(shape) != math.prod(old):
        raise Malformed("the number of elements stays the same", f"{list(old)} to {requested}")
    return node.build.reshape(x, shape)


@onnx_op("Flatten")
def flatten(node: ImportNode) -> SSAValue:
    """[prod of the axes before `axis`, prod of the others]."""
    shape = node.shape(0)
    axis = node.integer("axis", 1)
    axis = axis if axis == len(shape) else node.wrap_axis(axis, len(shape))
    return node.build.reshape(node.input(0), (math.prod(shape[:axis]), math.prod(shape[axis:])))


@onnx_op("Squeeze")
def squeeze(node: ImportNode) -> SSAValue:
    """Take axes of size 1 away (all of them by default)."""
    shape = node.shape(0)
    axes = node.axes(len(shape))
    if axes is None:
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    if any(shape[axis] != 1 for axis in axes):
        raise Malformed("squeezed axes have size 1", f"axes {axes} of {list(shape)}")
    return node.build.reshape(node.input(0), [size for axis, size in enumerate(shape) if axis not in axes])


@onnx_op("Unsqueeze")
def unsqueeze(node: ImportNode) -> SSAValue:
    """Insert axes of size 1; `axes` counts in the result."""
    shape = node.shape(0)
    count = len(node.constant_ints(1, "axes")) if node.has(1) else len(node.integers("axes"))
    axes = node.axes(len(shape) + count) or []
    rest = iter(shape)
    return node.build.reshape(node.input(0), [1 if axis in axes else next(rest) for axis in range(len(shape) + count)])


@onnx_op("Transpose")
def transpose(node: ImportNode) -> SSAValue:
    """Axis i of the result is axis perm[i]; reversed by default."""
    rank = len(node.shape(0))
    perm = node.integers("perm") if node.has_attribute("perm") else list(range(rank))[::-1]
    if sorted(perm) != list(range(rank)):
        raise Malformed(f"`perm` is a permutation of {rank} axes", f"{perm}")
    return node.build.transpose(node.input(0), perm)


@onnx_op("Expand")
def expand(node: ImportNode) -> SSAValue:
    """Broadcast with `shape` (both ways: a size 1 in `shape` keeps the input's)."""
    shape = node.constant_ints(1, "shape")
    try:
        result = np.broadcast_shapes(node.shape(0), tuple(shape))
    except ValueError:
        raise Malformed("the shapes broadcast", f"{list(node.shape(0))} and {shape}") from None
    return node.build.expand(node.input(0), result)


@onnx_op("Concat")
def concat(node: ImportNode) -> SSAValue:
    """Join along `axis`."""
    values = node.all_inputs()
    shapes = [shape_of(value) for value in values]
    axis = node.axis("axis", len(shapes[0]), 1)
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(others) > 1 or len({len(shape) for shape in shapes}) > 1:
        found = ", ".join(str(list(shape)) for shape in shapes)
        raise Malformed(f"shapes agree except on axis {axis}", found)
    return node.build.concat(values, axis)


@onnx_op("Slice")
def slice_attributes(node: ImportNode) -> SSAValue:
    """Before opset 10: starts, ends and axes are attributes."""
    starts, ends = node.integers("starts"), node.integers("ends")
    axes = node.integers("axes") if node.has_attribute("axes") else list(range(len(starts)))
    return _slice(node, starts, ends, axes, [1] * len(starts))


@onnx_op("Slice", since=10)
def slice_inputs(node: ImportNode) -> Output:
    """From opset 10 on: starts, ends, axes and steps are inputs."""
    axes = node.constant_ints(3, "axes") if node.has(3) else list(range(math.prod(node.shape(1))))
    steps = node.constant_ints(4, "steps") if node.has(4) else [1] * len(axes)
    if node.by_step.keys() & {1, 2}:
        return slice_by_step(node, axes, steps, _positions)
    return _slice(node, node.constant_ints(1, "starts"), node.constant_ints(2, "ends"), axes, steps)


def _positions(start: int, end: int, step: int, size: int) -> range:
    """The elements of an axis that a slice takes: as in Python, but for negative steps."""
    last: int | None = end
    if step < 0 and end < -size:
        last = None  # before the first element
    if step < 0 and start < -size:
        start = 0  # ONNX clamps the start to the first element, where Python takes nothing
    return range(*slice(start, last, step).indices(size))


def _slice(node: ImportNode, starts: list[int], ends: list[int], axes: list[int], steps: list[int]) -> SSAValue:
    """Python's slices: negative positions count from the end, positions outside are clamped."""
    x = node.input(0)
    shape = shape_of(x)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Malformed("starts, ends, axes and steps agree, no step is 0", f"{starts}, {ends}, {axes}, {steps}")
    first, step_of, sizes = [0] * len(shape), [1] * len(shape), list(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis = node.wrap_axis(axis, len(shape))
        positions = _positions(start, end, step, shape[axis])
        first[axis], step_of[axis], sizes[axis] = (positions.start, step, len(positions)) if positions else (0, 1, 0)
        if len(positions) == 1:
            step_of[axis] = 1
    return node.build.slice(x, first, step_of, sizes)


@onnx_op("Split")
def split(node: ImportNode) -> list[SSAValue]:
    """Pieces along one axis: sizes given, or equal ones (the last one smaller, from opset 18 on)."""
    x = node.input(0)
    axis = node.axis("axis", len(shape_of(x)), 0)
    size, count = shape_of(x)[axis], len(node.proto.output)
    if node.has(1):
        sizes = node.constant_ints(1, "split")
    elif node.has_attribute("split"):
        sizes = node.integers("split")
    else:
        count = node.integer("num_outputs", count)
        if count < 1:
            raise Malformed("`num_outputs` is at least 1", f"{count}")
        each = -(-size // count) if node.opset >= 18 else size // count
        sizes = [max(min(each, size - index * each), 0) for index in range(count)]
    if sum(sizes) != size or min(sizes, default=0) < 0 or len(sizes) != len(node.proto.output):
        raise Malformed("the pieces make up the axis", f"sizes {sizes} of an axis of {size}")
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [node.build.slice_axis(x, axis, start, length) for start, length in zip(starts, sizes)]


@onnx_op("Tile")
def tile_axis(node: ImportNode) -> SSAValue:
    """Before opset 6: `tiles` copies along one `axis`, both inputs."""
    rank = len(node.shape(0))
    repeats = [1] * rank
    axis = node.wrap_axis(node.constant_ints(2, "axis")[0], rank)
    repeats[axis] = node.constant_ints(1, "tiles")[0]
    if repeats[axis] < 0:
        raise Malformed("`tiles` is a count >= 0", f"{repeats[axis]}")
    return repeat_axes(node.build, node.input(0), repeats, inner=False)


@onnx_op("Tile", since=6)
def tile(node: ImportNode) -> SSAValue:
    """Repeat along each axis: expand between axes, then reshape."""
    x, repeats = node.input(0), node.constant_ints(1, "repeats")
    shape = shape_of(x)
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise Malformed("`repeats` has one count >= 0 per axis", f"{repeats} for {list(shape)}")
    return repeat_axes(node.build, x, repeats, inner=False)


@onnx_op("Pad")
def pad_attributes(node: ImportNode) -> SSAValue:
    """Before opset 11: pads and value are attributes."""
    name = "pads" if node.opset >= 2 else "paddings"
    return _pad(node, node.integers(name), list(range(len(node.shape(0)))), node.number("value"))


@onnx_op("Pad", since=11)
def pad_inputs(node: ImportNode) -> SSAValue:
    """From opset 11 on: pads, value and (opset 18) axes are inputs."""
    rank = len(node.shape(0))
    axes = [node.wrap_axis(axis, rank) for axis in node.constant_ints(3, "axes")] if node.has(3) else list(range(rank))
    value = node.constant(2, "constant_value").reshape(-1) if node.has(2) else np.zeros(1)
    return _pad(node, node.constant_ints(1, "pads"), axes, value[0] if value.size else 0)


def _pad(node: ImportNode, pads: list[int], axes: list[int], value: float) -> SSAValue:
    """Negative pads cut. Modes: constant, edge, reflect, wrap."""
    x, mode = node.input(0), node.text("mode", "constant")
    if len(pads) != 2 * len(axes):
        raise Malformed("`pads` has two values per axis", f"{pads} for {len(axes)} axes")
    for axis, before, after in zip(axes, pads, pads[len(axes) :]):
        cut_before, cut_after = max(-before, 0), max(-after, 0)
        kept = shape_of(x)[axis] - cut_before - cut_after
        if kept < 0:
            raise Malformed("negative padding leaves something", f"pads {pads} of {list(shape_of(x))}")
        x = node.build.slice_axis(x, axis, cut_before, kept)
        x = _pad_axis(node, x, axis, max(before, 0), max(after, 0), mode, value)
    return x


def _pad_axis(node: ImportNode, x: SSAValue, axis: int, before: int, after: int, mode: str, value: float) -> SSAValue:
    """Concatenate what the mode puts before and after."""
    build, size = node.build, shape_of(x)[axis]
    if not before and not after:
        return x
    if mode == "constant":
        sides = [_filled(build, x, axis, count, value) for count in (before, after)]
        return build.concat([sides[0], x, sides[1]], axis)
    if mode not in ("edge", "reflect", "wrap"):
        raise Malformed("the mode is constant, edge, reflect or wrap", f"`{mode}`")
    positions = np.pad(np.arange(size), (before, after), mode=mode)  # pyright: ignore[reportCallIssue,reportArgumentType]
    return take(build, x, axis, [int(position) for position in positions])


def _filled(build: GraphBuilder, like: SSAValue, axis: int, count: int, value: float) -> SSAValue:
    shape = list(shape_of(like))
    shape[axis] = count
    fill = np.broadcast_to(np.asarray(value).astype(numpy_dtype(element_of(like))), shape)
    return build.constant(fill, "padding")


@onnx_op("CenterCropPad")
def center_crop_pad(node: ImportNode) -> SSAValue:
    """The middle of each of `axes` in its new size, or the axis between zeros; of an odd number one more behind."""
    x = node.input(0)
    rank, sizes = len(shape_of(x)), node.constant_ints(1, "shape")
    axes = [node.wrap_axis(axis, rank) for axis in node.integers("axes", range(rank))]
    if len(sizes) != len(axes) or any(size < 0 for size in sizes):
        raise Malformed("`shape` has one size per axis", f"{sizes} for axes {axes}")
    for axis, size in zip(axes, sizes):
        given = shape_of(x)[axis]
        if size < given:
            x = node.build.slice_axis(x, axis, (given - size) // 2, size)
        elif size > given:
            before = (size - given) // 2
            x = _pad_axis(node, x, axis, before, size - given - before, "constant", 0)
    return x


def _split_blocks(node: ImportNode, shape: Shape) -> int:
    block = node.integer("blocksize")
    if len(shape) != 4 or block < 1:
        raise Malformed("the input has shape [n, c, h, w] and blocksize is >= 1", f"{list(shape)}, {block}")
    return block


@onnx_op("DepthToSpace")
def depth_to_space(node: ImportNode) -> SSAValue:
    """Channels to blocks of pixels; DCR: depth, column, row order, CRD: column, row, depth."""
    build, x = node.build, node.input(0)
    n, c, h, w = shape = shape_of(x)
    b = _split_blocks(node, shape)
    if c % (b * b):
        raise Malformed("blocksize^2 divides the channels", f"{c} channels, blocksize {b}")
    if node.text("mode", "DCR") == "DCR":
        y = build.transpose(build.reshape(x, (n, b, b, c // (b * b), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = build.transpose(build.reshape(x, (n, c // (b * b), b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return build.reshape(y, (n, c // (b * b), h * b, w * b))


@onnx_op("SpaceToDepth")
def space_to_depth(node: ImportNode) -> SSAValue:
    """Blocks of pixels to channels; modes as in DepthToSpace."""
    build, x = node.build, node.input(0)
    n, c, h, w = shape = shape_of(x)
    b = _split_blocks(node, shape)
    if h % b or w % b:
        raise Malformed("blocksize divides height and width", f"{h} x {w}, blocksize {b}")
    order = (0, 3, 5, 1, 2, 4) if node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    y = build.transpose(build.reshape(x, (n, c, h // b, b, w // b, b)), order)
    return build.reshape(y, (n, c * b * b, h // b, w // b))


@onnx_op("Trilu")
def triangle(node: ImportNode) -> SSAValue:
    """The upper or lower triangle of the last two axes, the rest 0."""
    x, build = node.input(0), node.build
    k = node.constant_ints(1, "k")[0] if node.has(1) else 0
    rows, columns = shape_of(x)[-2:]
    below = np.arange(columns)[None, :] - np.arange(rows)[:, None]
    keep = below >= k if node.integer("upper", 1) else below <= k
    return build.emit(graph.WhereOp(build.constant(keep, f"{node.label}.mask"), x, build.scalar(0, x)))
