"""RNN, GRU and LSTM: loops over the time steps.

The input products of all steps are one matrix product before the loop; each step adds its recurrent product. Gates are
laid out as in ONNX: LSTM i, o, f, c; GRU z, r, h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.activations import Activation, activations
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.regions import Loop, Step, loop
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, numpy_dtype, shape_of


@dataclass(frozen=True)
class Recurrence:
    """One direction of a recurrent node. Tensors: inputs [seq, batch, gates * hidden] (products with W, biases added),
    r [hidden, gates * hidden], inner_bias [hidden] (GRU: what is added before the reset gate) or None, peepholes
    [3, hidden] or None."""

    node: ImportNode
    hidden: int
    inputs: SSAValue
    r: SSAValue
    inner_bias: SSAValue | None
    peepholes: SSAValue | None
    activations: list[Activation]
    product: Callable[[SSAValue], SSAValue] | None = None
    """h [batch, hidden] -> [batch, gates * hidden], where it is no plain product with r."""

    @property
    def build(self) -> GraphBuilder:
        """The builder of the node."""
        return self.node.build

    def recurrent(self, h: SSAValue) -> SSAValue:
        """The recurrent product of a state."""
        return self.build.matmul(h, self.r) if self.product is None else self.product(h)

    def gate(self, gates: SSAValue, index: int) -> SSAValue:
        """Gate `index` of [batch, gates * hidden]."""
        return self.build.slice_axis(gates, 1, index * self.hidden, self.hidden)


State = tuple[SSAValue, ...]
Cell = Callable[[Recurrence, SSAValue, State], State]
"""The next state from the input products of a step [batch, gates * hidden] and the present state."""
Directed = Callable[[ImportNode, SSAValue, int, int, int, list[Activation]], Recurrence]
"""One direction, from the node, its input [seq, batch, features], the direction, gates, hidden size and activations."""


def _rnn_cell(r: Recurrence, x: SSAValue, state: State) -> State:
    """h = f(x W + h R + b)."""
    return (r.activations[0](r.build.add(x, r.build.matmul(state[0], r.r))),)


def _gru_cell(r: Recurrence, x: SSAValue, state: State) -> State:
    """z, r = f(..); h~ = g(x + r * (h R + b)) or g(x + (r * h) R + b); h = (1 - z) h~ + z h."""
    build, (h,) = r.build, state
    f, g = r.activations
    width = 2 * r.hidden
    first = build.slice_axis(r.r, 1, 0, width)
    last = build.slice_axis(r.r, 1, width, r.hidden)
    gates = f(build.add(build.slice_axis(x, 1, 0, width), build.matmul(h, first)))
    update, reset = r.gate(gates, 0), r.gate(gates, 1)
    if r.node.integer("linear_before_reset"):
        inner = build.matmul(h, last)
        inner = build.mul(reset, inner if r.inner_bias is None else build.add(inner, r.inner_bias))
    else:
        inner = build.matmul(build.mul(reset, h), last)
    candidate = g(build.add(build.slice_axis(x, 1, width, r.hidden), inner))
    # (1 - z) h~ + z h, with one product less.
    return (build.add(candidate, build.mul(update, build.sub(h, candidate))),)


def lstm_cell(r: Recurrence, x: SSAValue, state: State) -> State:
    """i, o, f, c~ from x W + h R + b (peepholes add p * c); c = f c + i c~; h = o g(c)."""
    build, (h, c) = r.build, state
    f, g, last = r.activations
    gates = build.add(x, r.recurrent(h))

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


def recur(
    node: ImportNode,
    gates: int,
    cell: Cell,
    defaults: list[str],
    states: int,
    directed: Directed | None = None,
) -> list[SSAValue]:
    """Y [seq, dirs, batch, hidden] (layout 1: [batch, seq, dirs, hidden]) and the last states [dirs, batch, hidden].

    `directed` makes the weights and input products of a direction (default: those of ONNX's own ops).
    """
    build, x = node.build, node.input(0)
    batch_first = bool(node.integer("layout"))
    if any(len(node.shape(index)) != 3 for index in (0, 1, 2)):
        raise Malformed("X, W and R have rank 3", ", ".join(str(list(node.shape(index))) for index in (0, 1, 2)))
    x = build.transpose(x, (1, 0, 2)) if batch_first else x
    _, batch, _ = shape_of(x)
    directions, hidden = shape_of(node.input(2))[0], min(shape_of(node.input(2))[1:])
    order = node.text("direction", "forward")
    if directions != (2 if order == "bidirectional" else 1):
        raise Malformed("the weights have one entry per direction", f"{directions} for `{order}`")
    functions = activations(node, defaults, directions)
    present = _present(node, shape_of(x)[0], batch)
    outputs: list[SSAValue] = []
    finals: list[State] = []
    for direction in range(directions):
        chosen = functions[direction * len(defaults) : (direction + 1) * len(defaults)]
        recurrence = (directed or _direction)(node, x, direction, gates, hidden, chosen)
        state = tuple(_initial(node, index, direction, batch, hidden, batch_first) for index in (5, 6)[:states])
        backward = order == "reverse" or direction == 1
        last, steps = _run(recurrence, cell, state, present, backward)
        outputs.append(steps)
        finals.append(last)
    return _collect(node, outputs, finals, batch_first)


def _run(r: Recurrence, cell: Cell, initial: State, present: SSAValue | None, backward: bool) -> tuple[State, SSAValue]:
    """The last state, and h of every step [seq, batch, hidden].

    `present` [seq, batch, 1] says which sequences have an element at that place. Behind its end a sequence keeps its
    state and gives zeros; run backward, its state stays the initial one until its last element comes.
    """
    build = r.build
    scanned = [r.inputs] if present is None else [r.inputs, present]
    places = range(len(scanned)) if backward else ()
    wanted = Loop(initial, scanned, shape_of(r.inputs)[0], reversed_scanned=places, reversed_stacked=places[:1])

    def body(step: Step) -> tuple[State, State]:
        old = tuple(step.carried)
        new = cell(r, step.pieces[0], old)
        if present is None:
            return new, new[:1]
        here = step.pieces[1]
        kept = tuple(build.emit(graph.WhereOp(here, after, before)) for after, before in zip(new, old))
        return kept, (build.emit(graph.WhereOp(here, new[0], build.scalar(0.0, new[0]))),)

    last, (steps,) = loop(build, wanted, body)
    return tuple(last), steps


def _present(node: ImportNode, steps: int, batch: int) -> SSAValue | None:
    """Which sequences of the batch have an element at each place, [seq, batch, 1]; None where all have."""
    known = node.known(4) if node.has(4) else None
    if not node.has(4) or (known is not None and bool((known >= steps).all())):
        return None
    build, lengths = node.build, node.input(4)
    if shape_of(lengths) != (batch,):
        raise Malformed("sequence_lens has one length per sequence", f"{list(shape_of(lengths))} for {batch}")
    dtype = numpy_dtype(element_of(lengths))
    places = build.constant(np.arange(steps, dtype=dtype).reshape(steps, 1, 1), f"{node.label}.places")
    if known is not None:
        mask = np.arange(steps).reshape(steps, 1, 1) < known.reshape(1, batch, 1)
        return build.constant(mask, f"{node.label}.present")
    return build.emit(graph.LessOp(places, build.reshape(lengths, (1, batch, 1))))


def _collect(node: ImportNode, outputs: list[SSAValue], finals: list[State], batch_first: bool) -> list[SSAValue]:
    """Join the directions; layout 1 has the batch in front."""
    build = node.build
    length, *sizes = shape_of(outputs[0])
    y = build.concat([build.reshape(steps, (length, 1, *sizes)) for steps in outputs], 1)
    lasts: list[SSAValue] = []
    for index in range(len(finals[0])):
        lasts.append(build.concat([build.reshape(state[index], (1, *sizes)) for state in finals], 0))
    if not batch_first:
        return [y, *lasts]
    return [build.transpose(y, (2, 0, 1, 3)), *(build.transpose(last, (1, 0, 2)) for last in lasts)]


def part(node: ImportNode, index: int, direction: int) -> SSAValue | None:
    """One direction of an optional parameter, without the axis of directions."""
    value = node.optional(index)
    if value is None:
        return None
    piece = node.build.slice_axis(value, 0, direction, 1)
    return node.build.reshape(piece, shape_of(piece)[1:])


def _direction(
    node: ImportNode, x: SSAValue, direction: int, gates: int, hidden: int, functions: list[Activation]
) -> Recurrence:
    """Weights of one direction, and the input products of all steps: one product of [seq * batch, features]."""
    build = node.build
    w, r = part(node, 1, direction), part(node, 2, direction)
    if w is None or r is None or shape_of(r) != (gates * hidden, hidden) or shape_of(w)[0] != gates * hidden:
        raise Malformed(f"weights have {gates} gates of hidden_size rows", f"{node.shape(1)} and {node.shape(2)}")
    steps, batch, features = shape_of(x)
    inputs = build.matmul(build.reshape(x, (steps * batch, features)), build.transpose(w, (1, 0)))
    bias = part(node, 3, direction)
    inner: SSAValue | None = None
    if bias is not None:
        inputs = build.add(inputs, build.slice_axis(bias, 0, 0, gates * hidden))
        second = build.slice_axis(bias, 0, gates * hidden, gates * hidden)
        if node.op_type == "GRU" and node.integer("linear_before_reset"):
            # The last gate's is multiplied by the reset gate.
            width = (gates - 1) * hidden
            inner = build.slice_axis(second, 0, width, hidden)
            zeros = build.constant(np.zeros(hidden, numpy_dtype(element_of(second))), f"{node.label}.zeros")
            second = build.concat([build.slice_axis(second, 0, 0, width), zeros], 0)
        inputs = build.add(inputs, second)
    peepholes = peepholes_of(node, direction, hidden)
    inputs = build.reshape(inputs, (steps, batch, gates * hidden))
    return Recurrence(node, hidden, inputs, build.transpose(r, (1, 0)), inner, peepholes, functions)


def peepholes_of(node: ImportNode, direction: int, hidden: int) -> SSAValue | None:
    """[3, hidden] of one direction: input, output, forget gate."""
    peepholes = part(node, 7, direction)
    return None if peepholes is None else node.build.reshape(peepholes, (3, hidden))


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
    return recur(node, 1, _rnn_cell, ["Tanh"], 1)


@onnx_op("GRU")
def gru(node: ImportNode) -> list[SSAValue]:
    """Gated recurrent unit."""
    return recur(node, 3, _gru_cell, ["Sigmoid", "Tanh"], 1)


@onnx_op("LSTM")
def lstm(node: ImportNode) -> list[SSAValue]:
    """Long short-term memory."""
    return recur(node, 4, lstm_cell, ["Sigmoid", "Tanh", "Tanh"], 2)
