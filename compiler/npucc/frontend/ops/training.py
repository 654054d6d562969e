"""Optimizer steps of the domain ai.onnx.preview.training: arithmetic on each tensor of a model.

The inputs are the learning rate R, the number T of updates so far (scalars), then all tensors X, their gradients G, and
one or two groups of states; the outputs are the new X and states, group by group.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_of

DOMAIN = "ai.onnx.preview.training"


def _groups(node: ImportNode, count: int) -> list[list[SSAValue]]:
    """Inputs behind R and T, as `count` groups of one length."""
    tensors = node.all_inputs()[2:]
    length, rest = divmod(len(tensors), count)
    if rest or not length:
        raise Malformed(f"behind R and T there are {count} tensors for each that is trained", f"{len(tensors)} tensors")
    return [tensors[index * length : (index + 1) * length] for index in range(count)]


def _scalar(node: ImportNode, index: int, like: SSAValue) -> SSAValue:
    """R or T as a scalar of the element type of `like`."""
    return node.build.cast(node.build.reshape(node.input(index), ()), element_of(like))


def _regularized(node: ImportNode, x: SSAValue, gradient: SSAValue) -> SSAValue:
    """norm_coefficient * X + G."""
    norm = node.number("norm_coefficient")
    return node.build.add(node.build.scaled(x, norm), gradient) if norm else gradient


def _since_first_update(node: ImportNode, then: SSAValue, otherwise: SSAValue) -> SSAValue:
    """`then` where T > 0, else `otherwise`; both scalars."""
    updates = node.build.cast(node.build.reshape(node.input(1), ()), element_of(then))
    started = node.build.emit(graph.GreaterOp(updates, node.build.scalar(0, updates)))
    return node.build.emit(graph.WhereOp(started, then, otherwise))


def _flat(columns: Sequence[Sequence[SSAValue]]) -> list[SSAValue]:
    """The new values of each tensor, group by group."""
    return [value for group in zip(*columns) for value in group]


@onnx_op("Adagrad", domain=DOMAIN)
def adagrad(node: ImportNode) -> list[SSAValue]:
    """H' = H + g^2; X' = X - R / (1 + T decay) g / (sqrt(H') + epsilon)."""
    build = node.build
    results: list[list[SSAValue]] = []
    for x, gradient, history in zip(*_groups(node, 3)):
        g = _regularized(node, x, gradient)
        decayed = build.shifted(build.scaled(_scalar(node, 1, x), node.number("decay_factor")), 1.0)
        rate = build.div(_scalar(node, 0, x), decayed)
        new = build.add(history, build.mul(g, g))
        scale = build.shifted(build.sqrt(new), node.number("epsilon"))
        results.append([build.sub(x, build.div(build.mul(rate, g), scale)), new])
    return _flat(results)


@onnx_op("Momentum", domain=DOMAIN)
def momentum(node: ImportNode) -> list[SSAValue]:
    """V' = alpha V + beta g (beta is 1 at first); X' = X - R V', or with Nesterov's X - R (g + alpha V')."""
    build, alpha = node.build, node.number("alpha")
    mode = node.text("mode")
    if mode not in ("standard", "nesterov"):
        raise Malformed("`mode` is standard or nesterov", mode)
    results: list[list[SSAValue]] = []
    for x, gradient, velocity in zip(*_groups(node, 3)):
        g = _regularized(node, x, gradient)
        beta = _since_first_update(node, build.scalar(node.number("beta"), x), build.scalar(1.0, x))
        new = build.add(build.scaled(velocity, alpha), build.mul(beta, g))
        step = new if mode == "standard" else build.add(g, build.scaled(new, alpha))
        results.append([build.sub(x, build.mul(_scalar(node, 0, x), step)), new])
    return _flat(results)


@onnx_op("Adam", domain=DOMAIN)
def adam(node: ImportNode) -> list[SSAValue]:
    """V' = alpha V + (1 - alpha) g; H' = beta H + (1 - beta) g^2; X' = (X - R' V' / (sqrt(H') + epsilon)) (1 - post).

    R' = R sqrt(1 - beta^T) / (1 - alpha^T) for T > 0, else R.
    """
    build, alpha, beta = node.build, node.number("alpha"), node.number("beta")
    results: list[list[SSAValue]] = []
    for x, gradient, velocity, history in zip(*_groups(node, 4)):
        g = _regularized(node, x, gradient)
        v = build.add(build.scaled(velocity, alpha), build.scaled(g, 1 - alpha))
        h = build.add(build.scaled(history, beta), build.scaled(build.mul(g, g), 1 - beta))
        step = build.div(v, build.shifted(build.sqrt(h), node.number("epsilon")))
        new = build.sub(x, build.mul(_adam_rate(node, x, alpha, beta), step))
        results.append([build.scaled(new, 1 - node.number("norm_coefficient_post")), v, h])
    return _flat(results)


def _adam_rate(node: ImportNode, x: SSAValue, alpha: float, beta: float) -> SSAValue:
    """The learning rate, corrected for states that begin at 0."""
    build, rate, updates = node.build, _scalar(node, 0, x), _scalar(node, 1, x)

    def missing(decay: float) -> SSAValue:
        """1 - decay^T."""
        power = build.emit(graph.PowOp(build.scalar(decay, x), updates))
        return build.sub(build.scalar(1.0, x), power)

    corrected = build.mul(rate, build.div(build.sqrt(missing(beta)), missing(alpha)))
    return _since_first_update(node, corrected, rate)
