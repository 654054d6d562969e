"""Pooling: windows and whole images."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import wide_element
from npucc.frontend.layout import to_channels_first, to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.pool_positions import greatest_positions
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.frontend.windows import Window, spatial_rank, windows
from npucc.types import Array, element_of, numpy_dtype


def _pool_windows(node: ImportNode) -> list[Window]:
    """The windows of a pooling node."""
    shape = node.shape(0)
    spatial_rank(node, shape)
    return windows(node, shape[2:], node.integers("kernel_shape"))


def _window_reduce(
    node: ImportNode, x: SSAValue, fn: str, axes: list[Window], element: Attribute | None = None
) -> SSAValue:
    """Reduce windows of a channels-last tensor, two spatial axes at a time, a last odd one by itself.

    The result has the element type `element`, or that of x.
    """
    x, axes = _thinned(node, x, axes)
    if len(axes) == 1:
        return _reduce_pair(node, x, fn, (1, 2), (_WHOLE, axes[0]), element)
    for first in range(0, len(axes) - 1, 2):
        x = _reduce_pair(node, x, fn, (first + 1, first + 2), (axes[first], axes[first + 1]), element)
    return (
        x if len(axes) % 2 == 0 else _reduce_pair(node, x, fn, (len(axes) - 1, len(axes)), (_WHOLE, axes[-1]), element)
    )


def _thinned(node: ImportNode, x: SSAValue, axes: list[Window]) -> tuple[SSAValue, list[Window]]:
    """Without the positions that no window meets because stride and dilation have a common divisor."""
    thin: list[Window] = []
    for axis, window in enumerate(axes, 2 if len(axes) == 1 else 1):
        window, first, step = window.thinned()
        x = x if step == 1 else node.build.slice_axis(x, axis, first, window.input, step)
        thin.append(window)
    return x, thin


_WHOLE = Window(1, 1, 1, 1, 1, 0, 0, 0)
"""A window of one element on an axis that is not reduced."""


def _reduce_pair(
    node: ImportNode,
    x: SSAValue,
    fn: str,
    axes: tuple[int, int],
    pair: tuple[Window, Window],
    element: Attribute | None,
) -> SSAValue:
    a, b = pair
    pads = (a.before, b.before, a.after, b.after)
    sizes, strides, dilations = (a.size, b.size), (a.stride, b.stride), (a.dilation, b.dilation)
    return node.build.emit(graph.WindowReduceOp(x, fn, axes, sizes, strides, dilations, pads, element))


@onnx_op("MaxPool")
def max_pool(node: ImportNode) -> list[SSAValue]:
    """Greatest element of each window; padding never wins."""
    axes = _pool_windows(node)
    y = _window_reduce(node, to_channels_last(node.build, node.input(0)), "max", axes)
    y = to_channels_first(node.build, y, len(axes))
    return [y, greatest_positions(node, y, axes)] if node.uses_output(1) else [y]


@onnx_op("AveragePool")
def average_pool(node: ImportNode) -> SSAValue:
    """Sum of each window (f32 for narrower floats) divided by its number of elements."""
    axes, build = _pool_windows(node), node.build
    x = to_channels_last(build, node.input(0))
    y = _window_reduce(node, x, "sum", axes, wide_element(x))
    counts = [_counts(axis, bool(node.integer("count_include_pad"))) for axis in axes]
    dtype = numpy_dtype(element_of(y))
    if all(np.all(count == count[0]) for count in counts):
        y = build.divided(y, math.prod(int(count[0]) for count in counts))
    else:
        divisors = reduce(np.multiply.outer, counts)[..., None]
        if len(axes) == 1:
            divisors = divisors[None]
        y = build.div(y, build.constant(divisors.astype(dtype), f"{node.label}.counts"))
    return to_channels_first(build, build.cast(y, element_of(x)), len(axes))


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
    axes, build, p = _pool_windows(node), node.build, _exponent(node)
    x = to_channels_last(build, node.input(0))
    norm = lp_root(node, _window_reduce(node, lp_power(node, x, p), "sum", axes), p)
    return to_channels_first(build, build.cast(norm, element_of(x)), len(axes))


def _exponent(node: ImportNode) -> float:
    """An integer; opset 1 has real ones."""
    return node.number("p", 2.0) if node.opset < 2 else node.integer("p", 2)


def lp_power(node: ImportNode, x: SSAValue, p: float) -> SSAValue:
    """|x| ** p, in f32 for narrower floats: squares overflow them."""
    build = node.build
    x = build.widened(x)
    if p < 1:
        raise Malformed("`p` is at least 1", f"p = {p:g}")
    if p == 2:
        return build.mul(x, x)
    magnitude = build.emit(graph.AbsOp(x))
    return magnitude if p == 1 else build.emit(graph.PowOp(magnitude, build.scalar(p, x)))


def lp_root(node: ImportNode, x: SSAValue, p: float) -> SSAValue:
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
    p, axes, build = _exponent(node), _image_axes(node), node.build
    norm = lp_root(node, build.reduce(lp_power(node, node.input(0), p), "sum", axes), p)
    return build.cast(norm, element_of(node.input(0)))
