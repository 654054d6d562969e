"""Regions and kernels whose positions the model computes: RoiAlign and DeformConv, both by bilinear sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder, wide_element
from npucc.frontend.interpolation import Tap, channels_last_table, rows_of, spread, weighted_rows, within
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.frontend.selection import take
from npucc.frontend.windows import explicit_pads, per_axis
from npucc.types import Array, element_of, element_type, numpy_dtype, shape_of

I64 = element_type("i64")


@dataclass(frozen=True)
class _Samples:
    """Sampling positions of one axis of all regions: [regions, bins x samples]."""

    low: SSAValue
    high: SSAValue
    fraction: SSAValue
    inside: SSAValue


@onnx_op("RoiAlign")
def roi_align(node: ImportNode) -> SSAValue:
    """Mean (or greatest weighted neighbour) of samples in each bin of each region.

    `sampling_ratio` 0 asks for about a sample per pixel: regions of one such number are pooled together.
    """
    build, rois, ratio = node.build, build_rois(node), node.integer("sampling_ratio")
    batches = build.cast(node.input(2), I64)
    bins = node.integer("output_height", 1), node.integer("output_width", 1)
    if len(node.shape(0)) != 4 or node.text("mode", "avg") not in ("avg", "max") or min(bins) < 1:
        raise Malformed("RoiAlign has images [n, c, h, w] and takes averages or maxima", f"{list(node.shape(0))}")
    if ratio > 0:
        return _pooled(node, rois, batches, bins, (ratio, ratio))
    wanted = _samples_per_bin(node, bins)
    parts: list[SSAValue] = []
    order: list[int] = []
    for grid in sorted(set(wanted)) or [(1, 1)]:
        members = [index for index, found in enumerate(wanted) if found == grid]
        chosen = take(build, rois, 0, members), take(build, batches, 0, members)
        parts.append(_pooled(node, *chosen, bins, grid))
        order += members
    return take(build, build.concat(parts, 0), 0, [order.index(index) for index in range(len(order))])


def _pooled(
    node: ImportNode, rois: SSAValue, batches: SSAValue, bins: tuple[int, int], grids: tuple[int, int]
) -> SSAValue:
    """[regions, channels, bins] with `grids` samples per bin."""
    build, x, mode = node.build, node.input(0), node.text("mode", "avg")
    shape, count = shape_of(x), shape_of(rois)[0]
    if min(grids) < 1:  # an empty region
        return build.expand(build.scalar(0, x), (count, shape[1], *bins))
    ys, xs = (_axis_samples(node, rois, axis, bins[axis], grids[axis], shape[2 + axis]) for axis in (0, 1))
    places = (count, bins[0] * grids[0], bins[1] * grids[1])
    table = build.reshape(channels_last_table(build, x), (1, shape[0] * shape[2] * shape[3], shape[1]))
    first = build.reshape(build.mul(batches, build.scalar_of(shape[2] * shape[3], I64)), (count, 1, 1))
    taps = _corners(build, (ys, xs), places, (shape[2], shape[3]), first, shape[0])
    if mode == "avg":
        sampled = weighted_rows(build, table, taps)
    else:  # ONNX takes the greatest of the weighted neighbours, not of their sums
        parts = [weighted_rows(build, table, [tap]) for tap in taps]
        sampled = reduce(lambda a, b: build.emit(graph.MaxOp(a, b)), parts)
    y = build.reshape(sampled, (count, bins[0], grids[0], bins[1], grids[1], shape[1]))
    y = build.reduce(y, "sum" if mode == "avg" else "max", [2, 4])
    if mode == "avg":
        y = build.divided(y, float(grids[0] * grids[1]))
    y = build.transpose(build.reshape(y, (count, *bins, shape[1])), (0, 3, 1, 2))
    return build.cast(y, element_of(x))


def build_rois(node: ImportNode) -> SSAValue:
    """The regions [regions, x1 y1 x2 y2], in f32 for narrower floats."""
    rois = node.build.widened(node.input(1))
    if len(shape_of(rois)) != 2 or shape_of(rois)[1] != 4 or node.shape(2) != shape_of(rois)[:1]:
        raise Malformed("regions have four coordinates and a batch index each", f"{list(shape_of(rois))}")
    return rois


def _half_pixel(node: ImportNode) -> bool:
    default = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    return node.text("coordinate_transformation_mode", default) == "half_pixel"


def _samples_per_bin(node: ImportNode, bins: tuple[int, int]) -> list[tuple[int, int]]:
    """As many samples per bin as the region has pixels, rounded up: the regions must be known."""
    rois = node.constant(1, "rois").astype(np.float32)
    corners = rois * np.float32(node.number("spatial_scale", 1.0))
    extents = corners[:, [3, 2]] - corners[:, [1, 0]]
    extents = extents if _half_pixel(node) else np.maximum(extents, 1.0)
    return [(int(h), int(w)) for h, w in np.ceil(extents / np.asarray(bins)).astype(np.int64)]


def _axis_samples(node: ImportNode, rois: SSAValue, axis: int, bins: int, grid: int, size: int) -> _Samples:
    build = node.build
    scale, half = node.number("spatial_scale", 1.0), _half_pixel(node)
    start, end = (
        build.shifted(build.scaled(build.slice_axis(rois, 1, column, 1), scale), -0.5 if half else 0.0)
        for column in (1 - axis, 3 - axis)
    )
    extent = build.sub(end, start)
    if not half:
        extent = build.emit(graph.MaxOp(extent, build.scalar(1.0, extent)))
    dtype = numpy_dtype(element_of(rois))
    steps = (np.arange(bins)[:, None] + (np.arange(grid)[None, :] + 0.5) / grid).reshape(1, -1) / bins
    position = build.add(start, build.mul(extent, build.constant(steps.astype(dtype), f"{node.label}.steps{axis}")))
    inside = within(build, position, -1.0, float(size))
    position = build.emit(graph.ClipOp(position, 0.0, float(size - 1)))
    low = build.emit(graph.FloorOp(position))
    high = build.emit(graph.ClipOp(build.shifted(low, 1.0), 0.0, float(size - 1)))
    return _Samples(low, high, build.sub(position, low), inside)


def _corners(
    build: GraphBuilder,
    samples: tuple[_Samples, _Samples],
    places: tuple[int, int, int],
    sizes: tuple[int, int],
    first: SSAValue,
    images: int,
) -> list[Tap]:
    """The four neighbours of every sample [regions, rows, columns]; `first` is the first row of the region's image."""
    (ys, xs), (count, rows, columns) = samples, places
    vertical = [build.reshape(value, (count, rows, 1)) for value in (ys.low, ys.high, ys.fraction, ys.inside)]
    horizontal = [build.reshape(value, (count, 1, columns)) for value in (xs.low, xs.high, xs.fraction, xs.inside)]
    outside = build.scalar_of(images * sizes[0] * sizes[1], I64)
    inside = build.emit(graph.AndOp(vertical[3], horizontal[3]))
    taps: list[Tap] = []
    for i in (0, 1):
        for j in (0, 1):
            row = build.add(build.cast(rows_of(build, [vertical[i], horizontal[j]], sizes), I64), first)
            row = build.emit(graph.WhereOp(inside, row, outside))
            weight = build.mul(_share(build, vertical[2], i), _share(build, horizontal[2], j))
            taps.append((spread(build, row, places), spread(build, weight, places)))
    return taps


def _share(build: GraphBuilder, fraction: SSAValue, upper: int) -> SSAValue:
    """Weight of the lower or upper neighbour."""
    return fraction if upper else build.sub(build.scalar(1.0, fraction), fraction)


@onnx_op("DeformConv", since=19)
def deform_conv(node: ImportNode) -> SSAValue:
    """A convolution whose kernel elements are moved by computed offsets (and scaled by a mask), per offset group.

    Samples [groups, n x pixels, channels of the group x kernel] times weights [groups, ..., outputs of the group].
    """
    build, x, w = node.build, node.input(0), node.input(1)
    (n, channels, *spatial), (outputs, depth, *kernel) = shape_of(x), shape_of(w)
    offset = node.shape(2)
    groups, offset_groups = node.integer("group", 1), node.integer("offset_group", 1)
    taps, pixels = math.prod(kernel), math.prod(offset[2:])
    rank = len(spatial)
    fits = offset[:2] == (n, offset_groups * taps * rank) and len(offset) == rank + 2 and depth * groups == channels
    if rank < 1 or len(kernel) != rank or not fits or channels % offset_groups or outputs % groups:
        raise Malformed("offsets fit the kernel and the groups", f"{list(offset)}, x {list(shape_of(x))}")
    samples = _deformed(node, x, (n, offset_groups, taps, pixels))
    per_group = build.reshape(samples, (n, offset_groups, taps, pixels, channels // offset_groups))
    rows = build.transpose(per_group, (0, 3, 1, 4, 2))
    rows = build.transpose(build.reshape(rows, (n * pixels, groups, depth * taps)), (1, 0, 2))
    weights = build.reshape(w, (groups, outputs // groups, depth * taps))
    y = build.matmul(build.cast(rows, element_of(x)), build.transpose(weights, (0, 2, 1)))
    y = build.reshape(y, (groups, n, pixels, outputs // groups))
    y = build.reshape(build.transpose(y, (1, 0, 3, 2)), (n, outputs, *offset[2:]))
    bias = node.optional(3)
    return y if bias is None else build.add(y, build.reshape(bias, (1, outputs, *[1] * rank)))


def _deformed(node: ImportNode, x: SSAValue, places: tuple[int, int, int, int]) -> SSAValue:
    """Samples [n x offset groups, kernel elements x pixels, channels]."""
    build, (n, offset_groups, taps, pixels) = node.build, places
    _, channels, *spatial = shape_of(x)
    rank, count = len(spatial), taps * pixels
    offset = build.widened(build.reshape(node.input(2), (n * offset_groups, taps, rank, pixels)))
    regular = _regular_positions(node, spatial, numpy_dtype(element_of(offset)))
    table = build.reshape(x, (n * offset_groups, channels // offset_groups, *spatial))
    axes: list[tuple[list[SSAValue], SSAValue]] = []
    for axis in range(rank):
        moved = build.reshape(build.slice_axis(offset, 2, axis, 1), (n * offset_groups, taps, pixels))
        position = build.add(moved, build.constant(regular[axis], f"{node.label}.positions{axis}"))
        position = build.reshape(position, (n * offset_groups, count, 1))
        low = build.emit(graph.FloorOp(position))
        axes.append(([low, build.shifted(low, 1.0)], build.sub(position, low)))
    mask = node.optional(4)
    scale = None if mask is None else build.widened(build.reshape(mask, (n * offset_groups, count, 1)))
    corners: list[Tap] = []
    for corner in np.ndindex(*(2,) * rank):
        row = rows_of(build, [axes[axis][0][side] for axis, side in enumerate(corner)], spatial)
        weight = scale
        for axis, side in enumerate(corner):
            share = _share(build, axes[axis][1], side)
            weight = share if weight is None else build.mul(weight, share)
        corners.append((row, None if weight is None else build.cast(weight, wide_element(x))))
    return weighted_rows(build, channels_last_table(build, table), corners)


def _regular_positions(node: ImportNode, spatial: list[int], dtype: np.dtype) -> list[Array]:
    """Per axis the undeformed position of every kernel element and pixel [kernel elements, pixels]."""
    rank = len(spatial)
    kernel, output = shape_of(node.input(1))[2:], node.shape(2)[2:]
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    before, after = explicit_pads(node, rank)
    for axis, size in enumerate(spatial):
        room = size + before[axis] + after[axis] - (kernel[axis] - 1) * dilations[axis] - 1
        if room < 0 or output[axis] != room // strides[axis] + 1:
            raise Malformed("the offsets have the size of the result", f"axis {axis}: {output[axis]}")
    elements, places = np.indices(kernel).reshape(rank, -1, 1), np.indices(output).reshape(rank, 1, -1)
    return [
        (places[axis] * strides[axis] - before[axis] + elements[axis] * dilations[axis]).astype(dtype)
        for axis in range(rank)
    ]
