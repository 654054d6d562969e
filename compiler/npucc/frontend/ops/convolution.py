"""Conv and ConvTranspose, as channels-last convolutions between transposes (a pass cancels the transposes)."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.layout import to_channels_first, to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.frontend.transposed_phases import transposed_convolution
from npucc.frontend.windows import Window, explicit_pads, per_axis, same_pads, spatial_rank, windows
from npucc.types import element_of, numpy_dtype, shape_of


@onnx_op("Conv")
def conv(node: ImportNode) -> SSAValue:
    """x [n, ci, spatial], w [co, ci / group, kernel], bias [co]."""
    x, w, build = node.input(0), node.input(1), node.build
    shape, kernel = shape_of(x), shape_of(w)
    rank, groups = spatial_rank(node, shape, most=3), node.integer("group", 1)
    check_channels(kernel, rank, shape[1], groups)
    axes = windows(node, shape[2:], list(kernel[2:]))
    if node.integers("kernel_shape") not in ([], list(kernel[2:])):
        raise Malformed("`kernel_shape` is the shape of the weights", f"{node.integers('kernel_shape')}, {kernel[2:]}")
    bias = node.optional(2)
    if rank == 3:
        y = _conv_of_volumes(node, x, w, axes, groups)
        return to_channels_first(build, y if bias is None else build.add(y, bias), rank)
    if rank == 1:
        w = build.reshape(w, (*kernel[:2], 1, kernel[2]))
    strides, dilations, pads = geometry(axes)
    image = to_channels_last(build, x)
    if groups > 1 and groups == shape[1] == kernel[0]:
        filters = build.transpose(w, (2, 3, 0, 1))
        filters = build.reshape(filters, shape_of(filters)[:3])
        y = build.emit(graph.DepthwiseConvOp(image, filters, strides, dilations, pads))
    else:
        y = build.emit(graph.ConvOp(image, build.transpose(w, (2, 3, 1, 0)), strides, dilations, pads, groups))
    return to_channels_first(build, y if bias is None else build.add(y, bias), rank)


def _conv_of_volumes(node: ImportNode, x: SSAValue, w: SSAValue, axes: list[Window], groups: int) -> SSAValue:
    """[n, d, h, w, c]: the sum over the kernel's planes of two-dimensional convolutions of the planes they meet."""
    build, depth = node.build, axes[0]
    volume = to_channels_last(build, x)
    n, _, height, width, channels = shape_of(volume)
    sides: list[SSAValue] = []
    for count in (depth.before, depth.after):
        zeros = np.broadcast_to(np.zeros((), numpy_dtype(element_of(x))), (n, count, height, width, channels))
        sides.append(build.constant(zeros, f"{node.label}.padding"))
    volume = build.concat([sides[0], volume, sides[1]], 1)
    total: SSAValue | None = None
    for tap in range(depth.size):
        planes = build.slice_axis(volume, 1, tap * depth.dilation, depth.output, depth.stride)
        planes = build.reshape(planes, (n * depth.output, height, width, channels))
        kernel = build.slice_axis(w, 2, tap, 1)
        kernel = build.transpose(build.reshape(kernel, (*shape_of(w)[:2], *shape_of(w)[3:])), (2, 3, 1, 0))
        y = build.emit(graph.ConvOp(planes, kernel, *geometry(axes[1:]), groups))
        total = y if total is None else build.add(total, y)
    if total is None:
        raise Malformed("the kernel has at least one plane", "none")
    return build.reshape(total, (n, depth.output, *shape_of(total)[1:]))


def check_channels(kernel: tuple[int, ...], rank: int, channels: int, groups: int) -> None:
    """Weights [co, ci / groups, kernel] agree with `channels` = ci."""
    if len(kernel) != rank + 2:
        raise Malformed(f"the weights have rank {rank + 2}", f"shape {list(kernel)}")
    if groups < 1 or kernel[1] * groups != channels or kernel[0] % groups:
        found = f"{channels} channels, weights {list(kernel)}, group {groups}"
        raise Malformed("channels = weights' axis 1 x group, and group divides axis 0", found)


Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]


def geometry(axes: list[Window]) -> Geometry:
    """(strides, dilations, pads [top, left, bottom, right]); one axis is the width of an image of height 1."""
    x = axes[-1]
    if len(axes) == 1:
        return (1, x.stride), (1, x.dilation), (0, x.before, 0, x.after)
    y = axes[0]
    return (y.stride, x.stride), (y.dilation, x.dilation), (y.before, x.before, y.after, x.after)


@onnx_op("ConvTranspose")
def conv_transpose(node: ImportNode) -> SSAValue:
    """x [n, ci, spatial], w [ci, co / group, kernel]: ordinary convolutions, one per phase modulo the stride."""
    x, build = node.input(0), node.build
    w = node.constant(1, "W")
    shape, groups = shape_of(x), node.integer("group", 1)
    rank = spatial_rank(node, shape)
    if w.ndim != rank + 2 or w.shape[0] != shape[1] or groups < 1 or shape[1] % groups:
        found = f"{list(w.shape)} for {shape[1]} channels, group {groups}"
        raise Malformed("weights are [ci, co / group, kernel]", found)
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    extents = tuple((size - 1) * dilation + 1 for size, dilation in zip(w.shape[2:], dilations))
    starts, sizes = output_region(node, shape[2:], extents, strides)
    if rank == 1:
        w, strides, dilations = w[:, :, None], [1, *strides], [1, *dilations]
        starts, sizes = [0, *starts], [1, *sizes]
    image = to_channels_last(build, x)
    positions = [-(-(start + size) // stride) for start, size, stride in zip(starts, sizes, strides)]
    y = transposed_convolution(build, image, w, strides, dilations, positions, groups, node.label)
    y = build.slice(y, (0, *starts, 0), (1, 1, 1, 1), (shape[0], *sizes, groups * w.shape[1]))
    bias = node.optional(2)
    return to_channels_first(build, y if bias is None else build.add(y, bias), rank)


def output_region(
    node: ImportNode, spatial: tuple[int, ...], kernel: tuple[int, ...], strides: list[int]
) -> tuple[list[int], list[int]]:
    """Where the result lies in the unpadded output, and its size, per axis."""
    rank = len(spatial)
    extra = node.integers("output_padding") or [0] * rank
    full = [(size - 1) * s + k + e for size, s, k, e in zip(spatial, strides, kernel, extra)]
    mode, shape = node.text("auto_pad", "NOTSET"), node.integers("output_shape")[-rank:]
    if not shape and mode.startswith("SAME"):
        shape = [size * s for size, s in zip(spatial, strides)]
    if shape:
        starts = [same_pads(max(f - s, 0), mode == "SAME_UPPER")[0] for f, s in zip(full, shape)]
        return starts, shape
    before, after = ([0] * rank, [0] * rank) if mode == "VALID" else explicit_pads(node, rank)
    sizes = [f - low - high for f, low, high in zip(full, before, after)]
    if min(sizes) < 1:
        raise Malformed("the result has at least one element per axis", f"sizes {sizes}")
    return before, sizes
