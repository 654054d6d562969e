"""MaxRoiPool: maxima over the bins of regions that the model computes, one region per step of a loop."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.lookups import gather
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.regions import Loop, Step, Yielded, loop
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, shape_of


@onnx_op("MaxRoiPool")
def max_roi_pool(node: ImportNode) -> SSAValue:
    """x [n, c, h, w], rois [r, 5] (image, x1, y1, x2, y2) -> [r, c, bins, bins]; 0 for bins without a pixel."""
    build, x, rois = node.build, node.input(0), node.input(1)
    bins = node.integers("pooled_shape")
    if len(shape_of(x)) != 4 or shape_of(rois)[1:] != (5,) or len(bins) != 2 or min(bins) < 1:
        found = f"x {list(shape_of(x))}, rois {list(shape_of(rois))}, pooled_shape {bins}"
        raise Malformed("images are [n, c, h, w], regions [r, 5], and there are two numbers of bins", found)
    regions, channels = shape_of(rois)[0], shape_of(x)[1]
    images = build.cast(build.reshape(build.slice_axis(rois, 1, 0, 1), (regions,)), element_type("i64"))
    rows, columns = (_bins(node, rois, axis, bins[axis], shape_of(x)[2 + axis]) for axis in (0, 1))
    lowest = build.scalar(-np.inf, x)

    def step(state: Step) -> Yielded:
        image, row, column = state.pieces
        pixels = gather(build, x, build.reshape(image, (1,)), 0)
        row = build.reshape(row, (bins[0], 1, shape_of(x)[2], 1))
        lines = build.reduce(build.emit(graph.WhereOp(row, pixels, lowest)), "max", [2])
        column = build.reshape(column, (bins[1], shape_of(x)[3]))
        best = build.reduce(build.emit(graph.WhereOp(column, lines, lowest)), "max", [3])
        return [], [build.transpose(build.reshape(best, (bins[0], channels, bins[1])), (1, 0, 2))]

    _, (maxima,) = loop(build, Loop([], [images, rows, columns], steps=regions), step)
    filled = [build.reduce(part, "max", [2]) for part in (rows, columns)]
    row, column = build.reshape(filled[0], (regions, 1, bins[0], 1)), build.reshape(filled[1], (regions, 1, 1, bins[1]))
    return build.emit(graph.WhereOp(build.emit(graph.AndOp(row, column)), maxima, build.scalar(0, x)))


def _bins(node: ImportNode, rois: SSAValue, axis: int, bins: int, size: int) -> SSAValue:
    """[r, bins, size] of bools: the rows (axis 0) or columns (1) of each bin, which may share a border."""
    build, regions = node.build, shape_of(rois)[0]
    scale = node.number("spatial_scale", 1.0)
    first, last = (_rounded(node, build.scaled(build.slice_axis(rois, 1, end - axis, 1), scale)) for end in (2, 4))
    extent = build.emit(graph.MaxOp(build.shifted(build.sub(last, first), 1), build.scalar(1, rois)))
    width = build.divided(extent, bins)
    numbers = build.constant(np.arange(bins + 1).astype(np.float32), f"{node.label}.bins")
    edges = build.mul(width, build.cast(numbers, element_of(rois)))
    low = build.emit(graph.FloorOp(build.slice_axis(edges, 1, 0, bins)))
    high = build.emit(graph.CeilOp(build.slice_axis(edges, 1, 1, bins)))
    low, high = (build.reshape(build.add(edge, first), (regions, bins, 1)) for edge in (low, high))
    positions = build.constant(np.arange(size).astype(np.float32), f"{node.label}.positions")
    positions = build.cast(positions, element_of(rois))
    below = build.emit(graph.LessOp(positions, high))
    return build.emit(graph.AndOp(build.emit(graph.LessOrEqualOp(low, positions)), below))


def _rounded(node: ImportNode, x: SSAValue) -> SSAValue:
    """To the nearest integer, halves away from 0."""
    build = node.build
    size = build.emit(graph.FloorOp(build.shifted(build.emit(graph.AbsOp(x)), 0.5)))
    return build.mul(build.emit(graph.SignOp(x)), size)
