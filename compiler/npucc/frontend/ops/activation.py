"""Activation functions."""

from __future__ import annotations

import math

import numpy as np
from ml_dtypes import finfo
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, is_float, numpy_dtype, shape_of


@onnx_op("LeakyRelu")
def leaky_relu(node: ImportNode) -> SSAValue:
    """x, or alpha * x below 0."""
    return node.build.emit(graph.LeakyReluOp(node.input(0), node.number("alpha", 0.01)))


@onnx_op("Elu")
def elu(node: ImportNode) -> SSAValue:
    """x, or alpha * (exp x - 1) below 0."""
    return node.build.emit(graph.EluOp(node.input(0), node.number("alpha", 1.0)))


@onnx_op("Selu")
def selu(node: ImportNode) -> SSAValue:
    """gamma * elu(x)."""
    inner = node.build.emit(graph.EluOp(node.input(0), node.number("alpha", 1.67326319)))
    return node.build.scaled(inner, node.number("gamma", 1.05070098))


@onnx_op("Celu")
def celu(node: ImportNode) -> SSAValue:
    """max(x, 0) + min(0, alpha * (exp(x / alpha) - 1)) = alpha * elu(x / alpha)."""
    alpha = node.number("alpha", 1.0)
    inner = node.build.emit(graph.EluOp(node.build.scaled(node.input(0), 1.0 / alpha), 1.0))
    return node.build.scaled(inner, alpha)


@onnx_op("HardSigmoid")
def hard_sigmoid(node: ImportNode) -> SSAValue:
    """alpha * x + beta, clipped to [0, 1]."""
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    return node.build.emit(graph.HardSigmoidOp(node.input(0), alpha, beta))


@onnx_op("HardSwish")
def hard_swish(node: ImportNode) -> SSAValue:
    """x * hard_sigmoid(x) with slope 1/6."""
    x = node.input(0)
    return node.build.mul(x, node.build.emit(graph.HardSigmoidOp(x, 1.0 / 6.0, 0.5)))


@onnx_op("Swish")
def swish(node: ImportNode) -> SSAValue:
    """x * sigmoid(alpha * x)."""
    x = node.input(0)
    gate = node.build.emit(graph.SigmoidOp(node.build.scaled(x, node.number("alpha", 1.0))))
    return node.build.mul(x, gate)


@onnx_op("Mish")
def mish(node: ImportNode) -> SSAValue:
    """x * tanh(softplus(x))."""
    x = node.input(0)
    return node.build.mul(x, node.build.emit(graph.TanhOp(node.build.emit(graph.SoftplusOp(x)))))


@onnx_op("Softsign")
def softsign(node: ImportNode) -> SSAValue:
    """x / (1 + |x|)."""
    x, build = node.input(0), node.build
    return build.div(x, build.shifted(build.emit(graph.AbsOp(x)), 1.0))


@onnx_op("ThresholdedRelu")
def thresholded_relu(node: ImportNode) -> SSAValue:
    """x above alpha, else 0."""
    x, build = node.input(0), node.build
    above = build.emit(graph.GreaterOp(x, build.scalar(node.number("alpha", 1.0), x)))
    return build.emit(graph.WhereOp(above, x, build.scalar(0.0, x)))


@onnx_op("Shrink")
def shrink(node: ImportNode) -> SSAValue:
    """x + bias below -lambd, x - bias above lambd, else 0."""
    x, build = node.input(0), node.build
    bias, limit = node.number("bias"), node.number("lambd", 0.5)
    below = build.emit(graph.LessOp(x, build.scalar(-limit, x)))
    above = build.emit(graph.GreaterOp(x, build.scalar(limit, x)))
    upper = build.emit(graph.WhereOp(above, build.shifted(x, -bias), build.scalar(0.0, x)))
    return build.emit(graph.WhereOp(below, build.shifted(x, bias), upper))


@onnx_op("Gelu")
def gelu(node: ImportNode) -> SSAValue:
    """x * Phi(x), exactly or with the tanh approximation."""
    x, build = node.input(0), node.build
    if node.text("approximate", "none") == "tanh":
        cube = build.mul(build.mul(x, x), x)
        argument = build.scaled(build.add(x, build.scaled(cube, 0.044715)), math.sqrt(2.0 / math.pi))
        curve = build.emit(graph.TanhOp(argument))
    else:
        curve = build.emit(graph.ErfOp(build.scaled(x, math.sqrt(0.5))))
    return build.scaled(build.mul(x, build.shifted(curve, 1.0)), 0.5)


@onnx_op("PRelu")
def parametric_relu(node: ImportNode) -> SSAValue:
    """max(x, 0) + slope * min(x, 0). Before opset 7 a slope of shape [C] belongs to axis 1."""
    x, slope, build = node.input(0), node.input(1), node.build
    shape = shape_of(x)
    if node.opset < 7 and len(shape_of(slope)) == 1 and len(shape) > 2:
        slope = build.reshape(slope, (*shape_of(slope), *[1] * (len(shape) - 2)))
    zero = build.scalar(0.0, x)
    negative = build.emit(graph.LessOp(x, zero))
    return build.emit(graph.WhereOp(negative, build.mul(slope, x), x))


@onnx_op("Clip")
def clip_attributes(node: ImportNode) -> SSAValue:
    """Before opset 11 the bounds are attributes."""
    low = node.number("min") if node.has_attribute("min") else None
    high = node.number("max") if node.has_attribute("max") else None
    return _clip(node, low, high)


@onnx_op("Clip", since=11)
def clip_inputs(node: ImportNode) -> SSAValue:
    """From opset 11 on the bounds are optional inputs; bounds that are not constants become min and max."""
    bounds = [node.known(index) if node.has(index) else None for index in (1, 2)]
    if all(bounds[index - 1] is not None or not node.has(index) for index in (1, 2)):
        return _clip(node, *[None if bound is None else float(bound.reshape(-1)[0]) for bound in bounds])
    x = node.input(0)
    low, high = node.optional(1), node.optional(2)
    x = x if low is None else node.build.emit(graph.MaxOp(x, low))
    return x if high is None else node.build.emit(graph.MinOp(x, high))


def _clip(node: ImportNode, low: float | None, high: float | None) -> SSAValue:
    """Bounds at (or beyond) the limits of the element type do nothing; low > high gives `high` everywhere."""
    x = node.input(0)
    element = element_of(x)
    dtype = numpy_dtype(element)
    limits = _limits(dtype) if is_float(element) else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low = None if low is None or low <= limits[0] else low
    high = None if high is None or high >= limits[1] else high
    if low is None and high is None:
        return x
    if low == 0.0 and high is None:
        return node.build.emit(graph.ReluOp(x))
    return node.build.emit(graph.ClipOp(x, low, high))


def _limits(dtype: np.dtype) -> tuple[float, float]:
    """Least and greatest finite float; exporters write them for 'no bound'."""
    info = finfo(dtype)
    return float(info.min), float(info.max)
