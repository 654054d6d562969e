"""Ops that ONNX tried until opset 8 and took back, but that converters of that time wrote into models.

Their meaning is onnxruntime's, which still runs them (`contrib_ops` of its CPU provider).
"""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, numpy_dtype


@onnx_op("Affine")
def affine(node: ImportNode) -> SSAValue:
    """alpha * x + beta."""
    return node.build.shifted(node.build.scaled(node.input(0), node.number("alpha", 1.0)), node.number("beta"))


@onnx_op("Scale")
def scale(node: ImportNode) -> SSAValue:
    """x * scale."""
    return node.build.scaled(node.input(0), node.number("scale", 1.0))


@onnx_op("ImageScaler")
def image_scaler(node: ImportNode) -> SSAValue:
    """x [n, c, h, w] * scale + bias per channel."""
    build, shape, bias = node.build, node.shape(0), node.numbers("bias")
    if len(shape) != 4 or len(bias) != shape[1]:
        raise Malformed("the image is [n, c, h, w] and `bias` has one value per channel", f"{list(shape)}, {len(bias)}")
    x = build.scaled(node.input(0), node.number("scale", 1.0))
    vector = np.array(bias).astype(numpy_dtype(element_of(x))).reshape(-1, 1, 1)
    return build.add(x, build.constant(vector, f"{node.label}.bias"))


@onnx_op("Crop")
def crop(node: ImportNode) -> SSAValue:
    """x [n, c, h, w] without `border` [left, top, right, bottom]; with `scale` [height, width], of that size."""
    shape, border, size = node.shape(0), node.integers("border"), node.integers("scale")
    if len(shape) != 4 or len(border) != 4 or len(size) not in (0, 2):
        raise Malformed(
            "the image has four axes, `border` four values, `scale` two", f"{list(shape)}, {border}, {size}"
        )
    left, top, right, bottom = border
    height, width = size or (shape[2] - top - bottom, shape[3] - left - right)
    if min(left, top) < 0 or min(height, width) < 1 or top + height > shape[2] or left + width > shape[3]:
        raise Malformed("what is cropped lies within the image", f"{list(shape)}, {border}, {size}")
    return node.build.slice(node.input(0), (0, 0, top, left), (1, 1, 1, 1), (*shape[:2], height, width))


@onnx_op("ParametricSoftplus")
def parametric_softplus(node: ImportNode) -> SSAValue:
    """alpha * log(1 + exp(beta * x))."""
    build = node.build
    inner = build.emit(graph.SoftplusOp(build.scaled(node.input(0), node.number("beta", 1.0))))
    return build.scaled(inner, node.number("alpha", 1.0))


@onnx_op("ScaledTanh")
def scaled_tanh(node: ImportNode) -> SSAValue:
    """alpha * tanh(beta * x)."""
    build = node.build
    inner = build.emit(graph.TanhOp(build.scaled(node.input(0), node.number("beta", 1.0))))
    return build.scaled(inner, node.number("alpha", 1.0))


@onnx_op("DynamicSlice")
def dynamic_slice(node: ImportNode) -> SSAValue:
    """x from `starts` to `ends` along `axes` (all inputs), clamped to the tensor."""
    shape = node.shape(0)
    starts, ends = node.constant_ints(1, "starts"), node.constant_ints(2, "ends")
    axes = node.constant_ints(3, "axes") if node.has(3) else list(range(len(starts)))
    if not len(starts) == len(ends) == len(axes):
        raise Malformed("starts, ends and axes have one length", f"{starts}, {ends}, {axes}")
    first, sizes = [0] * len(shape), list(shape)
    for start, end, axis in zip(starts, ends, axes):
        axis = node.wrap_axis(axis, len(shape))
        low, high, _ = slice(start, end).indices(shape[axis])
        first[axis], sizes[axis] = low, max(high - low, 0)
    return node.build.slice(node.input(0), first, [1] * len(shape), sizes)
