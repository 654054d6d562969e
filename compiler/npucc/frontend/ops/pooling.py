"""Pooling: windows and whole images."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.layout import to_channels_first, to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.windows import Window, spatial_rank, windows
from npucc.types import Array, element_of, numpy_dtype


def _pool_windows(node: ImportNode) -> list[Window]:
    """The windows of a pooling node."""
    shape = node.shape(0)
    spatial_rank(node, shape)
    return windows(node, shape[2:], node.integers("kernel_shape"))


def _window_reduce(node: ImportNode, x: SSAValue, fn: str, axes: list[Window]) -> SSAValue:
    """Reduce windows of a channels-last image of one or two spatial axes."""
    pair = axes if len(axes) == 2 else [Window(1, 1, 1, 1, 1, 0, 0, 0), axes[0]]
    y, x_axis = pair
    pads = (y.before, x_axis.before, y.after, x_axis.after)
    return node.build.emit(
        graph.WindowReduceOp(
            x,
            fn,
            (1, 2),
            (y.size, x_axis.size),
            (y.stride, x_axis.stride),
            (y.dilation, x_axis.dilation),
            pads,
        )
    )


@onnx_op("MaxPool")
def max_pool(node: ImportNode) -> SSAValue:
    """Greatest element of each window; padding never wins."""
    if node.uses_output(1):
        raise Unsupported("MaxPool has one output", "the output `Indices` is used", "remove the use of the indices")
    axes = _pool_windows(node)
    y = _window_reduce(node, to_channels_last(node.build, node.input(0)), "max", axes)
    return to_channels_first(node.build, y, len(axes))


@onnx_op("AveragePool")
def average_pool(node: ImportNode) -> SSAValue:
    """Sum of each window times the reciprocal of its number of elements."""
    axes, build = _pool_windows(node), node.build
    y = _window_reduce(node, to_channels_last(build, node.input(0)), "sum", axes)
    counts = [_counts(axis, bool(node.integer("count_include_pad"))) for axis in axes]
    dtype = numpy_dtype(element_of(y))
    if all(np.all(count == count[0]) for count in counts):
        y = build.scaled(y, 1.0 / math.prod(int(count[0]) for count in counts))
    else:
        rows = counts[0] if len(counts) == 2 else np.ones(1)
        factors = 1.0 / (rows[:, None, None] * counts[-1][None, :, None])
        y = build.mul(y, build.constant(factors.astype(dtype), f"{node.label}.reciprocal_counts"))
    return to_channels_first(build, y, len(axes))


def _counts(axis: Window, with_padding: bool) -> Array:
    """Elements that each window of one axis averages: inside the input, or inside the declared padding too."""
    first = np.arange(axis.output) * axis.stride - axis.before
    positions = first[:, None] + np.arange(axis.size)[None, :] * axis.dilation
    low, high = (-axis.before, axis.input + axis.declared_after) if with_padding else (0, axis.input)
    counts = ((positions >= low) & (positions < high)).sum(axis=1)
    if not counts.all():
        raise Malformed("every window holds an element", f"a window of {axis.size} lies in the padding")
    return counts


@onnx_op("LpPool")
def lp_pool(node: ImportNode) -> SSAValue:
    """(sum |x| ** p) ** (1 / p) of each window."""
    axes, build, p = _pool_windows(node), node.build, node.integer("p", 2)
    powers = lp_power(node, to_channels_last(build, node.input(0)), p)
    return to_channels_first(build, lp_root(node, _window_reduce(node, powers, "sum", axes), p), len(axes))


def lp_power(node: ImportNode, x: SSAValue, p: int) -> SSAValue:
    """|x| ** p."""
    build = node.build
    if p < 1:
        raise Malformed("`p` is at least 1", f"p = {p}")
    if p == 2:
        return build.mul(x, x)
    magnitude = build.emit(graph.AbsOp(x))
    return magnitude if p == 1 else build.emit(graph.PowOp(magnitude, build.scalar(p, x)))


def lp_root(node: ImportNode, x: SSAValue, p: int) -> SSAValue:
    """x ** (1 / p)."""
    if p == 1:
        return x
    return node.build.sqrt(x) if p == 2 else node.build.emit(graph.PowOp(x, node.build.scalar(1.0 / p, x)))


def _image_axes(node: ImportNode) -> list[int]:
    """All axes behind [n, c]."""
    rank = len(node.shape(0))
    if rank < 3:
        raise Malformed(f"{node.op_type} has an input of shape [n, c, spatial ...]", f"shape {list(node.shape(0))}")
    return list(range(2, rank))


@onnx_op("GlobalAveragePool")
def global_average_pool(node: ImportNode) -> SSAValue:
    """Mean over all spatial axes."""
    return node.build.mean(node.input(0), _image_axes(node))


@onnx_op("GlobalMaxPool")
def global_max_pool(node: ImportNode) -> SSAValue:
    """Maximum over all spatial axes."""
    return node.build.reduce(node.input(0), "max", _image_axes(node))


@onnx_op("GlobalLpPool")
def global_lp_pool(node: ImportNode) -> SSAValue:
    """(sum |x| ** p) ** (1 / p) over all spatial axes."""
    p, axes = node.integer("p", 2), _image_axes(node)
    return lp_root(node, node.build.reduce(lp_power(node, node.input(0), p), "sum", axes), p)
