"""com.microsoft: activations with and without a bias, as onnxruntime's fusions make them."""

from __future__ import annotations

import math

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.compose import call
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import shape_of

MICROSOFT = "com.microsoft"


def _with_bias(node: ImportNode) -> SSAValue:
    """Input 0 plus the optional vector of input 1 along the last axis."""
    bias = node.optional(1)
    return node.input(0) if bias is None else node.build.add(node.input(0), bias)


@onnx_op("Gelu", domain=MICROSOFT)
def gelu(node: ImportNode) -> SSAValue:
    """x * Phi(x)."""
    return call(node, "Gelu", node.input(0))


@onnx_op("BiasGelu", domain=MICROSOFT)
def bias_gelu(node: ImportNode) -> SSAValue:
    """gelu(x + bias)."""
    return call(node, "Gelu", _with_bias(node))


@onnx_op("FastGelu", domain=MICROSOFT)
def fast_gelu(node: ImportNode) -> SSAValue:
    """The tanh approximation of gelu(x + bias)."""
    return call(node, "Gelu", _with_bias(node), approximate="tanh")


@onnx_op("QuickGelu", domain=MICROSOFT)
def quick_gelu(node: ImportNode) -> SSAValue:
    """x * sigmoid(alpha * x)."""
    return call(node, "Swish", node.input(0), alpha=node.number("alpha", 1.702))


@onnx_op("ScaledSiLU", domain=MICROSOFT)
def scaled_silu(node: ImportNode) -> SSAValue:
    """scale * x * sigmoid(x); the scale is `alpha` or a run-time scalar."""
    silu, scale = call(node, "Swish", node.input(0)), node.optional(1)
    if scale is None:
        return node.build.scaled(silu, node.number("alpha", 1.0))
    return node.build.mul(silu, node.build.reshape(scale, ()))


@onnx_op("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu(node: ImportNode) -> SSAValue:
    """Halves a, b of x + bias along the last axis: a * gelu(b)."""
    x, build = _with_bias(node), node.build
    axis = len(shape_of(x)) - 1
    if shape_of(x)[axis] % 2:
        raise Malformed("the last axis has two halves", f"shape {list(shape_of(x))}")
    half = shape_of(x)[axis] // 2
    left, right = (build.slice_axis(x, axis, start, half) for start in (0, half))
    return build.mul(left, call(node, "Gelu", right))


@onnx_op("BiasAdd", domain=MICROSOFT)
def bias_add(node: ImportNode) -> SSAValue:
    """x + bias + skip."""
    return node.build.add(_with_bias(node), node.input(2))


@onnx_op("BiasSoftmax", domain=MICROSOFT)
def bias_softmax(node: ImportNode) -> SSAValue:
    """softmax(x + bias) over the axes from `axis` on.

    Inner broadcast: the bias lacks (or has 1 in) axes right before `axis`, which NumPy's rules give once its shape
    has the data's rank; outer broadcast: it lacks leading axes.
    """
    build, x, bias = node.build, node.input(0), node.input(1)
    shape, given = shape_of(x), shape_of(bias)
    axis = node.axis("axis", len(shape), 1)
    if node.integer("is_inner_broadcast", 0) and len(given) < len(shape):
        missing = len(shape) - len(given)
        bias = build.reshape(bias, (*given[: axis - missing], *[1] * missing, *given[axis - missing :]))
    total = build.add(x, bias)
    flat = build.reshape(total, (*shape[:axis], math.prod(shape[axis:])))
    return build.reshape(call(node, "Softmax", flat, axis=-1), shape)


def fused_activation(node: ImportNode, x: SSAValue, name: str, parameters: list[float]) -> SSAValue:
    """The activation of a fused node by its ONNX name; `parameters` in the order alpha, beta (clip: min, max)."""
    build = node.build

    def parameter(index: int, default: float) -> float:
        return parameters[index] if index < len(parameters) else default

    match name:
        case "":
            return x
        case "Relu" | "Sigmoid" | "Tanh" | "Softplus" | "Softsign":
            return call(node, name, x)
        case "LeakyRelu":
            return build.emit(graph.LeakyReluOp(x, parameter(0, 0.01)))
        case "Elu":
            return build.emit(graph.EluOp(x, parameter(0, 1.0)))
        case "ThresholdedRelu":
            return call(node, name, x, alpha=parameter(0, 1.0))
        case "HardSigmoid":
            return build.emit(graph.HardSigmoidOp(x, parameter(0, 0.2), parameter(1, 0.5)))
        case "Clip":
            return build.emit(graph.ClipOp(x, parameter(0, -math.inf), parameter(1, math.inf)))
        case _:
            raise Unsupported("the fused activation is one of onnxruntime's", f"`{name}`")
