"""Control flow and recurrence: bodies are drawn with the ops of the other modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import model_ops
import model_ops_movement
import numpy as np
import onnx
from model_graph import Array, Graph, Rejected, tensor_info
from onnx import helper, numpy_helper

_IN_BODIES = ("unary", "binary", "where", "variadic", "clip", "with_alpha", "reduce", "matmul", "transpose", "softmax",
              "concat", "gather", "cast", "slice_", "cumsum")  # fmt: skip
_BODY_OPS = model_ops.FAMILIES | model_ops_movement.FAMILIES


class Body(Graph):
    """A graph inside a node: new tensors are its initializers, and it reads those around it."""

    def feed(self, value: Array) -> str:
        """An initializer: a body has no inputs of its own."""
        return self.constant(value)

    @staticmethod
    def inside(g: Graph, arguments: Mapping[str, Array], nodes: int) -> Body:
        """A body with these arguments that sees a few tensors of `g` and has some nodes."""
        body = Body(g.choices, g.opset)
        body._count = 1000 * (g._count + 1) + g.integer(0, 9) * 100
        if g.coin():
            body.values |= dict(list(g.values.items())[-2:])
        body.values |= arguments
        for _ in range(3 * nodes):
            if len(body.nodes) < nodes:
                try:
                    _BODY_OPS[g.choose(_IN_BODIES)](body)
                except Rejected:
                    continue
        return body

    def like(self, value: Array) -> str:
        """A tensor of the type and shape of `value`, computed in the body if there is one."""
        for name in reversed(self.results):
            if self.values[name].dtype == value.dtype and self.values[name].shape == value.shape:
                return name
        raise Rejected

    def made(self, name: str, arguments: Mapping[str, Array], outputs: Sequence[str]) -> onnx.GraphProto:
        """The body as a graph; an output that is no result of a node goes through an Identity."""
        ends: list[str] = []
        for output in outputs:
            if output not in self.results or output in ends:
                (output,) = self.add("Identity", [output])
            ends.append(output)
        return helper.make_graph(
            self.nodes,
            name,
            [tensor_info(*item) for item in arguments.items()],
            [tensor_info(end, self.values[end]) for end in ends],
            [numpy_helper.from_array(value, key) for key, value in self.constants.items()],
        )


def branch(g: Graph) -> None:
    """If: the branches agree in type and shape."""
    condition = g.pick(["bool"], dims=())
    then = Body.inside(g, {}, g.integer(1, 3))
    if not then.results:
        raise Rejected
    result = then.values[then.results[-1]]
    otherwise = Body.inside(g, {}, 0)
    other = otherwise.feed(g.numbers(result.dtype, result.shape))
    graphs = then.made("then", {}, [then.results[-1]]), otherwise.made("else", {}, [other])
    g.add("If", [condition], then_branch=graphs[0], else_branch=graphs[1])


def loop(g: Graph) -> None:
    """Loop with one carried tensor, perhaps a condition, perhaps a scan output."""
    carried = g.pick(["float32", "int64", "int32", "float16", "bool"], lambda v: v.ndim < 4)
    value, stem = g.values[carried], f"b{g._count}"
    arguments = {f"{stem}i": np.array(0, np.int64), f"{stem}c": np.array(True), f"{stem}v": value}
    body = Body.inside(g, arguments, g.integer(1, 3))
    outputs = [_condition(g, body, stem), body.like(value)]
    scanned = int(bool(body.results) and g.coin())
    outputs += [g.choose(body.results)] * scanned
    trip = g.feed(np.array(g.choose([3, 1, 2, 0]), np.int64))
    given = g.feed(np.array(True)) if g.coin() else ""
    g.add("Loop", [trip, given, carried], 1 + scanned, body=body.made("body", arguments, outputs))


def _condition(g: Graph, body: Body, stem: str) -> str:
    if g.coin():
        return f"{stem}c"
    (found,) = body.add("Less", [f"{stem}i", body.constant(np.array(g.integer(0, 2), np.int64))])
    return found


def scan(g: Graph) -> None:
    """Scan with one state and one scanned input, in either direction."""
    if g.opset < 9:
        raise Rejected
    x = g.pick(["float32", "int64", "int32"], lambda v: v.ndim >= 1 and v.shape[0] > 0)
    rows = g.values[x]
    state = g.pick([rows.dtype.name], dims=rows.shape[1:])
    stem = f"b{g._count}"
    arguments = {f"{stem}s": g.values[state], f"{stem}x": rows[0]}
    body = Body.inside(g, arguments, g.integer(0, 2))
    total = body.add(g.choose(["Add", "Max", "Mul"]), list(arguments))[0]
    outputs = [total, g.choose(body.results)]
    g.add("Scan", [state, x], 2, body=body.made("body", arguments, outputs), num_scan_inputs=1,
          scan_input_directions=g.choose([None, [1]]), scan_output_directions=g.choose([None, [1]]))  # fmt: skip


def recurrent(g: Graph) -> None:
    """RNN, GRU and LSTM, one direction as the reference evaluator has it."""
    op, gates = g.choose([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
    steps, batch, size, hidden = g.choose([3, 1, 2]), g.choose([1, 2]), g.choose([2, 1, 3]), g.choose([3, 1, 2])
    names = ["float32"]
    operands = [
        g.pick(names, dims=(steps, batch, size)),
        g.pick(names, dims=(1, gates * hidden, size)),
        g.pick(names, dims=(1, gates * hidden, hidden)),
    ]
    if g.coin():
        operands.append(g.pick(names, dims=(1, 2 * gates * hidden)))
    attributes = {"linear_before_reset": g.choose([None, 1])} if op == "GRU" else {}
    g.add(op, operands, 2, hidden_size=hidden, **attributes)


FAMILIES: dict[str, Callable[[Graph], None]] = {
    function.__name__: function for function in (branch, loop, scan, recurrent)
}
