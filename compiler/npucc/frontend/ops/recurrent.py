"""RNN, GRU and LSTM, unrolled over their (static) time steps.

The input products of all steps are one matrix product before the loop; each step adds its recurrent product. Gates are
laid out as in ONNX: LSTM i, o, f, c; GRU z, r, h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, numpy_dtype, shape_of

MAX_STEPS = 256
"""Most time steps of an unrolled recurrence (times directions)."""

Activation = Callable[[SSAValue], SSAValue]


@dataclass(frozen=True)
class Recurrence:
    """One direction of a recurrent node. Tensors: inputs [seq, batch, gates * hidden] (products with W, biases added),
    r [hidden, gates * hidden], the recurrent bias rb [gates * hidden] or None, peepholes [3, hidden] or None."""

    node: ImportNode
    hidden: int
    inputs: SSAValue
    r: SSAValue
    rb: SSAValue | None
    peepholes: SSAValue | None
    activations: list[Activation]

    @property
    def build(self) -> GraphBuilder:
        """The builder of the node."""
        return self.node.build

    def gate(self, gates: SSAValue, index: int) -> SSAValue:
        """Gate `index` of [batch, gates * hidden]."""
        return self.build.slice_axis(gates, 1, index * self.hidden, self.hidden)

    def step_input(self, step: int) -> SSAValue:
        """Input products of one step: [batch, gates * hidden]."""
        piece = self.build.slice_axis(self.inputs, 0, step, 1)
        return self.build.reshape(piece, shape_of(piece)[1:])


State = tuple[SSAValue, ...]
Cell = Callable[[Recurrence, int, State], State]


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
        case _:
            known = "Sigmoid, Tanh, Relu, Affine, LeakyRelu, Elu, HardSigmoid, Softplus"
            raise Unsupported(f"activations of a recurrence are {known}", f"`{name}`")


_TAKES = {"affine": 2, "leakyrelu": 1, "elu": 1, "hardsigmoid": 2}
"""How many of `activation_alpha` / `activation_beta` a function consumes: none, alpha, or alpha and beta."""


def _activations(node: ImportNode, defaults: list[str], directions: int) -> list[Activation]:
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


def _rnn_cell(r: Recurrence, step: int, state: State) -> State:
    """h = f(x W + h R + b)."""
    gates = r.build.add(r.step_input(step), _recurrent(r, state[0]))
    return (r.activations[0](gates),)


def _recurrent(r: Recurrence, h: SSAValue) -> SSAValue:
    """h R + rb."""
    product = r.build.matmul(h, r.r)
    return product if r.rb is None else r.build.add(product, r.rb)


def _gru_cell(r: Recurrence, step: int, state: State) -> State:
    """z, r = f(..); h~ = g(x + r * (h R + b)) or g(x + (r * h) R + b); h = (1 - z) h~ + z h."""
    build, (h,) = r.build, state
    x = r.step_input(step)
    f, g = r.activations
    width = 2 * r.hidden
    first = build.slice_axis(r.r, 1, 0, width)
    last = build.slice_axis(r.r, 1, width, r.hidden)
    bias = [None if r.rb is None else build.slice_axis(r.rb, 0, at, n) for at, n in ((0, width), (width, r.hidden))]
    gates = build.add(build.slice_axis(x, 1, 0, width), build.matmul(h, first))
    gates = f(gates if bias[0] is None else build.add(gates, bias[0]))
    update, reset = r.gate(gates, 0), r.gate(gates, 1)
    if r.node.integer("linear_before_reset"):
        inner = build.matmul(h, last)
        inner = build.mul(reset, inner if bias[1] is None else build.add(inner, bias[1]))
    else:
        inner = build.matmul(build.mul(reset, h), last)
        inner = inner if bias[1] is None else build.add(inner, bias[1])
    candidate = g(build.add(build.slice_axis(x, 1, width, r.hidden), inner))
    # (1 - z) h~ + z h, with one product less.
    return (build.add(candidate, build.mul(update, build.sub(h, candidate))),)


def _lstm_cell(r: Recurrence, step: int, state: State) -> State:
    """i, o, f, c~ from x W + h R + b (peepholes add p * c); c = f c + i c~; h = o g(c)."""
    build, (h, c) = r.build, state
    f, g, last = r.activations
    gates = build.add(r.step_input(step), _recurrent(r, h))

    def peep(gate: SSAValue, index: int, cell: SSAValue) -> SSAValue:
        if r.peepholes is None:
            return gate
        row = build.reshape(build.slice_axis(r.peepholes, 0, index, 1), (r.hidden,))
        return build.add(gate, build.mul(row, cell))

    enter = f(peep(r.gate(gates, 0), 0, c))
    if r.node.integer("input_forget"):
        forget = build.shifted(build.emit(graph.NegOp(enter)), 1.0)
    else:
        forget = f(peep(r.gate(gates, 2), 2, c))
    new = build.add(build.mul(forget, c), build.mul(enter, g(r.gate(gates, 3))))
    leave = f(peep(r.gate(gates, 1), 1, new))
    return build.mul(leave, last(new)), new


def _unroll(node: ImportNode, gates: int, cell: Cell, defaults: list[str], states: int) -> list[SSAValue]:
    """Y [seq, dirs, batch, hidden] (layout 1: [batch, seq, dirs, hidden]) and the last states [dirs, batch, hidden]."""
    build, x = node.build, node.input(0)
    batch_first = bool(node.integer("layout"))
    if any(len(node.shape(index)) != 3 for index in (0, 1, 2)):
        raise Malformed("X, W and R have rank 3", ", ".join(str(list(node.shape(index))) for index in (0, 1, 2)))
    x = build.transpose(x, (1, 0, 2)) if batch_first else x
    steps, batch, _ = shape_of(x)
    hidden, directions = shape_of(node.input(2))[2], shape_of(node.input(2))[0]
    order = node.text("direction", "forward")
    if directions != (2 if order == "bidirectional" else 1):
        raise Malformed("the weights have one entry per direction", f"{directions} for `{order}`")
    if steps * directions > MAX_STEPS:
        rule = f"a recurrence has at most {MAX_STEPS} time steps"
        raise Unsupported(
            rule, f"{steps * directions} steps", "run the model on shorter pieces, with its states as inputs"
        )
    _check_lengths(node, steps)
    functions = _activations(node, defaults, directions)
    outputs: list[list[SSAValue]] = []
    finals: list[State] = []
    for direction in range(directions):
        chosen = functions[direction * len(defaults) : (direction + 1) * len(defaults)]
        recurrence = _direction(node, x, direction, gates, hidden, chosen)
        state = tuple(_initial(node, index, direction, batch, hidden, batch_first) for index in (5, 6)[:states])
        backward = order == "reverse" or direction == 1
        found: dict[int, SSAValue] = {}
        for step in range(steps)[:: -1 if backward else 1]:
            state = cell(recurrence, step, state)
            found[step] = build.reshape(state[0], (1, 1, batch, hidden))
        outputs.append([found[step] for step in range(steps)])
        finals.append(state)
    return _collect(node, outputs, finals, (batch, hidden), batch_first)


def _collect(
    node: ImportNode,
    outputs: list[list[SSAValue]],
    finals: list[State],
    sizes: tuple[int, int],
    batch_first: bool,
) -> list[SSAValue]:
    """Join steps and directions; layout 1 has the batch in front."""
    build = node.build
    y = build.concat([build.concat(steps, 0) for steps in outputs], 1)
    lasts: list[SSAValue] = []
    for index in range(len(finals[0])):
        lasts.append(build.concat([build.reshape(state[index], (1, *sizes)) for state in finals], 0))
    if not batch_first:
        return [y, *lasts]
    return [build.transpose(y, (2, 0, 1, 3)), *(build.transpose(last, (1, 0, 2)) for last in lasts)]


def _check_lengths(node: ImportNode, steps: int) -> None:
    if node.has(4) and any(length != steps for length in node.constant_ints(4, "sequence_lens")):
        raise Unsupported("all sequences have the full length", f"sequence_lens for {steps} steps", "pad the sequences")


def _part(node: ImportNode, index: int, direction: int) -> SSAValue | None:
    """One direction of an optional parameter, without the axis of directions."""
    value = node.optional(index)
    if value is None:
        return None
    piece = node.build.slice_axis(value, 0, direction, 1)
    return node.build.reshape(piece, shape_of(piece)[1:])


def _direction(
    node: ImportNode, x: SSAValue, direction: int, gates: int, hidden: int, functions: list[Activation]
) -> Recurrence:
    """Weights of one direction, and the input products of all steps."""
    build = node.build
    w, r = _part(node, 1, direction), _part(node, 2, direction)
    if w is None or r is None or shape_of(r) != (gates * hidden, hidden) or shape_of(w)[0] != gates * hidden:
        raise Malformed(f"weights have {gates} gates of hidden_size rows", f"{node.shape(1)} and {node.shape(2)}")
    inputs = build.matmul(x, build.transpose(w, (1, 0)))
    bias = _part(node, 3, direction)
    recurrent_bias: SSAValue | None = None
    if bias is not None:
        inputs = build.add(inputs, build.slice_axis(bias, 0, 0, gates * hidden))
        recurrent_bias = build.slice_axis(bias, 0, gates * hidden, gates * hidden)
    peepholes = _part(node, 7, direction)
    if peepholes is not None:
        peepholes = build.reshape(peepholes, (3, hidden))
    return Recurrence(node, hidden, inputs, build.transpose(r, (1, 0)), recurrent_bias, peepholes, functions)


def _initial(node: ImportNode, index: int, direction: int, batch: int, hidden: int, batch_first: bool) -> SSAValue:
    """An initial state [batch, hidden]: given, or zero."""
    build = node.build
    value = node.optional(index)
    if value is None:
        zeros = np.broadcast_to(np.zeros((), numpy_dtype(element_of(node.input(0)))), (batch, hidden))
        return build.constant(zeros, f"{node.label}.initial")
    value = build.transpose(value, (1, 0, 2)) if batch_first else value
    return build.reshape(build.slice_axis(value, 0, direction, 1), (batch, hidden))


@onnx_op("RNN")
def rnn(node: ImportNode) -> list[SSAValue]:
    """Simple recurrence with one gate."""
    return _unroll(node, 1, _rnn_cell, ["Tanh"], 1)


@onnx_op("GRU")
def gru(node: ImportNode) -> list[SSAValue]:
    """Gated recurrent unit."""
    return _unroll(node, 3, _gru_cell, ["Sigmoid", "Tanh"], 1)


@onnx_op("LSTM")
def lstm(node: ImportNode) -> list[SSAValue]:
    """Long short-term memory."""
    return _unroll(node, 4, _lstm_cell, ["Sigmoid", "Tanh", "Tanh"], 2)
