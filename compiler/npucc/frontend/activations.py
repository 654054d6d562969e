"""Activation functions of the recurrent ops, by their ONNX names."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported

Activation = Callable[[SSAValue], SSAValue]


def _activation(node: ImportNode, name: str, alpha: float | None, beta: float | None) -> Activation:
    """An activation function by its ONNX name (case does not matter)."""
    build = node.build
    match name.lower():
        case "sigmoid":
            return lambda x: build.emit(graph.SigmoidOp(x))
        case "tanh":
            return lambda x: build.emit(graph.TanhOp(x))
        case "relu":
            return lambda x: build.emit(graph.ReluOp(x))
        case "affine":
            return lambda x: build.shifted(
                build.scaled(x, 1.0 if alpha is None else alpha), 0.0 if beta is None else beta
            )
        case "leakyrelu":
            return lambda x: build.emit(graph.LeakyReluOp(x, 0.01 if alpha is None else alpha))
        case "elu":
            return lambda x: build.emit(graph.EluOp(x, 1.0 if alpha is None else alpha))
        case "hardsigmoid":
            slope, shift = 0.2 if alpha is None else alpha, 0.5 if beta is None else beta
            return lambda x: build.emit(graph.HardSigmoidOp(x, slope, shift))
        case "softplus":
            return lambda x: build.emit(graph.SoftplusOp(x))
        case "softsign":
            return lambda x: build.div(x, build.shifted(build.emit(graph.AbsOp(x)), 1.0))
        case "scaledtanh":
            inner, outer = 1.0 if beta is None else beta, 1.0 if alpha is None else alpha
            return lambda x: build.scaled(build.emit(graph.TanhOp(build.scaled(x, inner))), outer)
        case "thresholdedrelu":
            least = 1.0 if alpha is None else alpha
            return lambda x: _above(build, x, least)
        case _:
            known = "Sigmoid, Tanh, Relu, Affine, LeakyRelu, ThresholdedRelu, ScaledTanh, Elu, HardSigmoid, "
            known += "Softplus, Softsign"
            raise Unsupported(f"activations of a recurrence are {known}", f"`{name}`")


def _above(build: GraphBuilder, x: SSAValue, least: float) -> SSAValue:
    """x where it exceeds `least`, else 0."""
    return build.emit(graph.WhereOp(build.emit(graph.GreaterOp(x, build.scalar(least, x))), x, build.scalar(0.0, x)))


_TAKES = {"affine": 2, "leakyrelu": 1, "thresholdedrelu": 1, "elu": 1, "hardsigmoid": 2, "scaledtanh": 2}
"""How many of `activation_alpha` / `activation_beta` a function consumes: none, alpha, or alpha and beta."""


def activations(node: ImportNode, defaults: list[str], directions: int) -> list[Activation]:
    """All activation functions, direction by direction, with clipping before each."""
    names = defaults * directions  # RNN's schema has a default for two directions whatever the direction is
    if node.has_attribute("activations"):
        given = node.attribute("activations")
        names = [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in given]
    if len(names) != len(defaults) * directions:
        raise Malformed(f"there are {len(defaults) * directions} activations", f"{names}")
    alphas, betas = node.numbers("activation_alpha"), node.numbers("activation_beta")
    clip = node.number("clip") if node.has_attribute("clip") else None
    result: list[Activation] = []
    for position, name in enumerate(names):
        takes = _TAKES.get(name.lower(), 0)
        alpha = alphas.pop(0) if takes and alphas else None
        beta = betas.pop(0) if takes == 2 and betas else None
        # As in onnxruntime the cell of an LSTM (third function) is not clipped.
        limit = None if position % len(defaults) == 2 else clip
        result.append(_clipped(node, _activation(node, name, alpha, beta), limit))
    return result


def _clipped(node: ImportNode, function: Activation, clip: float | None) -> Activation:
    if clip is None:
        return function
    return lambda x: function(node.build.emit(graph.ClipOp(x, -clip, clip)))
