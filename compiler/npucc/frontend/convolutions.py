"""Convolutions of any number of spatial axes, made of two-dimensional ones.

Images are channels-last, [n, spatial ..., c] (one spatial axis: [n, 1, l, c]); weights have ONNX's layout,
[co, ci / groups, kernel]. From three spatial axes on, the first is unrolled: the result is the sum over the kernel's
planes of convolutions of the planes that they meet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder, wide_element
from npucc.frontend.problems import Malformed
from npucc.frontend.windows import Window
from npucc.types import element_of, numpy_dtype, shape_of

Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]


def convolve(
    build: GraphBuilder,
    image: SSAValue,
    w: SSAValue,
    axes: Sequence[Window],
    groups: int,
    element: Attribute | None = None,
) -> SSAValue:
    """[n, spatial, ci] and [co, ci / groups, kernel] -> [n, outputs, co] of type `element` (that of image)."""
    if len(axes) > 2:
        return _over_planes(build, image, w, axes, groups, element)
    kernel = shape_of(w)
    if len(axes) == 1:
        w = build.reshape(w, (*kernel[:2], 1, kernel[2]))
    strides, dilations, pads = geometry(axes)
    if groups > 1 and groups == shape_of(image)[-1] == kernel[0]:
        filters = build.transpose(w, (2, 3, 0, 1))
        filters = build.reshape(filters, shape_of(filters)[:3])
        return build.emit(graph.DepthwiseConvOp(image, filters, strides, dilations, pads, element))
    filters = build.transpose(w, (2, 3, 1, 0))
    return build.emit(graph.ConvOp(image, filters, strides, dilations, pads, groups, element))


def _over_planes(
    build: GraphBuilder,
    image: SSAValue,
    w: SSAValue,
    axes: Sequence[Window],
    groups: int,
    element: Attribute | None,
) -> SSAValue:
    """The sum over the first kernel axis; the partial sums of f16 and bf16 are f32."""
    depth, kernel = axes[0], shape_of(w)
    volume = padded(build, image, 1, depth.before, depth.after)
    n, _, *plane = shape_of(volume)
    total: SSAValue | None = None
    for tap in range(depth.size):
        planes = build.slice_axis(volume, 1, tap * depth.dilation, depth.output, depth.stride)
        planes = build.reshape(planes, (n * depth.output, *plane))
        filters = build.reshape(build.slice_axis(w, 2, tap, 1), (*kernel[:2], *kernel[3:]))
        wide = element or (wide_element(image) if wide_element(image) != element_of(image) else None)
        part = convolve(build, planes, filters, axes[1:], groups, wide)
        total = part if total is None else build.add(total, part)
    if total is None:
        raise Malformed("the kernel has at least one plane", "none")
    result = build.reshape(total, (n, depth.output, *shape_of(total)[1:]))
    return build.cast(result, element or element_of(image))


def padded(build: GraphBuilder, x: SSAValue, axis: int, before: int, after: int) -> SSAValue:
    """x with zeros along one axis, `before` and `after` it."""
    pieces = [x]
    for position, count in ((0, before), (2, after)):
        if count:
            shape = (*shape_of(x)[:axis], count, *shape_of(x)[axis + 1 :])
            zeros = np.broadcast_to(np.zeros((), numpy_dtype(element_of(x))), shape)
            pieces.insert(position, build.constant(zeros, f"{build.node}.padding"))
    return build.concat(pieces, axis)


def geometry(axes: Sequence[Window]) -> Geometry:
    """(strides, dilations, pads [top, left, bottom, right]); one axis is the width of an image of height 1."""
    x = axes[-1]
    if len(axes) == 1:
        return (1, x.stride), (1, x.dilation), (0, x.before, 0, x.after)
    y = axes[0]
    return (y.stride, x.stride), (y.dilation, x.dilation), (y.before, x.before, y.after, x.after)
