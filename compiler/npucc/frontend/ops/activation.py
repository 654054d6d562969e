"""Activation functions."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, is_float, numpy_dtype, shape_of


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
    """max(x, 0) + min(0, alpha * (exp(x / alpha) - 1)); alpha * elu(x / alpha) where alpha > 0.

    ONNX's function body has that for every alpha; for negative ones onnxruntime and its evaluator follow the formula.
    """
    build, x, alpha = node.build, node.input(0), node.number("alpha", 1.0)
    if alpha > 0:
        return build.scaled(build.emit(graph.EluOp(build.divided(x, alpha), 1.0)), alpha)
    power = build.shifted(build.emit(graph.ExpOp(build.divided(x, alpha))), -1.0)
    below = build.emit(graph.MinOp(build.scaled(power, alpha), build.scalar(0.0, x)))
    return build.add(build.emit(graph.ReluOp(x)), below)


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
    """x + bias below -lambd, x - bias above lambd, else 0; integers compute in f64 and truncate."""
    build, element = node.build, element_of(node.input(0))
    x = node.input(0) if is_float(element) else build.cast(node.input(0), element_type("f64"))
    bias, limit = node.number("bias"), node.number("lambd", 0.5)
    below = build.emit(graph.LessOp(x, build.scalar(-limit, x)))
    above = build.emit(graph.GreaterOp(x, build.scalar(limit, x)))
    upper = build.emit(graph.WhereOp(above, build.shifted(x, -bias), build.scalar(0.0, x)))
    return build.cast(build.emit(graph.WhereOp(below, build.shifted(x, bias), upper)), element)


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
    return _clip(node, node.number("min", -math.inf), node.number("max", math.inf))


@onnx_op("Clip", since=11)
def clip_inputs(node: ImportNode) -> SSAValue:
    """From opset 11 on the bounds are optional inputs; bounds that are not constants become min and max."""
    bounds = [node.known(index) if node.has(index) else None for index in (1, 2)]
    if all(bounds[index - 1] is not None or not node.has(index) for index in (1, 2)):
        return _clip(node, *[None if bound is None else bound.reshape(-1)[0].item() for bound in bounds])
    x = node.input(0)
    low, high = node.optional(1), node.optional(2)
    x = x if low is None else node.build.emit(graph.MaxOp(x, low))
    return x if high is None else node.build.emit(graph.MinOp(x, high))


def _clip(node: ImportNode, low: float | None, high: float | None) -> SSAValue:
    """Bounds that exclude no value of the element type do nothing; low > high gives `high` everywhere."""
    x, build = node.input(0), node.build
    least, most = _limits(element_of(x))
    low = None if low is None or low <= least else low
    high = None if high is None or high >= most else high
    if low is None and high is None:
        return x
    if low == 0.0 and high is None:
        return build.emit(graph.ReluOp(x))
    if all(bound is None or bound == float(bound) for bound in (low, high)):
        return build.emit(graph.ClipOp(x, low, high))
    # A clip holds its bounds in f64, which has no room for these 64-bit integers.
    x = x if low is None else build.emit(graph.MaxOp(x, build.scalar(low, x)))
    return x if high is None else build.emit(graph.MinOp(x, build.scalar(high, x)))


def _limits(element: Attribute) -> tuple[float, float]:
    """Least and greatest value of a type: infinities for floats, whose largest finite number does bind."""
    if is_float(element):
        return -math.inf, math.inf
    info = np.iinfo(numpy_dtype(element))
    return int(info.min), int(info.max)
