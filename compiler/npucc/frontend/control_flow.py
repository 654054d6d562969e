"""If, Loop and Scan: a known branch is taken, a loop with a known number of steps is unrolled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import GraphProto
from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode, Value
from npucc.frontend.placeholders import Unknown
from npucc.frontend.problems import Malformed, Unsupported
from npucc.types import Array, shape_of

MAX_STEPS = 1024
"""Most iterations of one unrolled loop."""

Outputs = list[Value | Unknown]
RunBody = Callable[[GraphProto, Mapping[str, Value]], Outputs]
"""Imports a subgraph with its inputs bound to values; gives its outputs."""


def import_if(node: ImportNode, run: RunBody) -> Outputs:
    """The branch that a known condition takes."""
    condition = bool(np.asarray(node.constant(0, "cond")).reshape(-1)[0])
    return run(_body(node, "then_branch" if condition else "else_branch"), {})


def import_loop(node: ImportNode, run: RunBody) -> Outputs:
    """Iterate while the condition holds and the trip count lasts; both must be known in every step."""
    body = _body(node, "body")
    limit = int(node.constant(0, "M").reshape(-1)[0]) if node.has(0) else None
    going = bool(node.constant(1, "cond").reshape(-1)[0]) if node.has(1) else True
    carried = [_given(node, index) for index in range(2, len(node.inputs))]
    if len(body.input) != len(carried) + 2 or len(body.output) <= len(carried):
        raise Malformed("the body takes and gives what the loop carries", f"{len(body.input)} inputs")
    collected: list[list[Value]] = [[] for _ in body.output[len(carried) + 1 :]]
    step = 0
    while going and (limit is None or step < limit):
        _check_steps(step + 1)
        arguments: list[Value] = [np.asarray(step, np.int64), np.asarray(True), *carried]
        condition, *results = _known_outputs(run(body, _named(body, arguments)), body)
        going = _truth(node, condition)
        carried = results[: len(carried)]
        for pieces, value in zip(collected, results[len(carried) :]):
            pieces.append(value)
        step += 1
    if not step and collected:
        raise Unsupported("a loop with scan outputs has at least one step", "0 steps")
    return [*carried, *(stack(node.build, node.label, pieces, 0) for pieces in collected)]


def import_scan(node: ImportNode, run: RunBody) -> Outputs:
    """One step per element of the scanned axes (opset 9 and later)."""
    if node.opset < 9:
        raise Unsupported("Scan is of opset 9 or later", f"opset {node.opset}", "export for opset 9 or later")
    body, scanned = _body(node, "body"), node.integer("num_scan_inputs")
    values = [_given(node, index) for index in range(len(node.inputs))]
    states, inputs = values[: len(values) - scanned], values[len(values) - scanned :]
    axes = node.integers("scan_input_axes") or [0] * scanned
    backward = node.integers("scan_input_directions") or [0] * scanned
    if not inputs or len(axes) != scanned or len(backward) != scanned or len(body.input) != len(values):
        raise Malformed("Scan's attributes and body agree with its inputs", f"{len(values)} inputs, {scanned} scanned")
    axes = [node.wrap_axis(axis, len(_shape(value))) for axis, value in zip(axes, inputs)]
    lengths = {_shape(value)[axis] for axis, value in zip(axes, inputs)}
    if len(lengths) != 1:
        raise Malformed("scanned inputs have one length", f"{sorted(lengths)}")
    steps = lengths.pop()
    _check_steps(steps)
    collected: list[list[Value]] = [[] for _ in body.output[len(states) :]]
    for step in range(steps):
        positions = [steps - 1 - step if reverse else step for reverse in backward]
        pieces = [element(node.build, *entry) for entry in zip(inputs, axes, positions)]
        results = _known_outputs(run(body, _named(body, [*states, *pieces])), body)
        states = results[: len(states)]
        for outputs, value in zip(collected, results[len(states) :]):
            outputs.append(value)
    return [*states, *_scan_outputs(node, collected)]


def _scan_outputs(node: ImportNode, collected: list[list[Value]]) -> list[Value]:
    count = len(collected)
    axes = node.integers("scan_output_axes") or [0] * count
    backward = node.integers("scan_output_directions") or [0] * count
    if len(axes) != count or len(backward) != count or not all(collected):
        raise Malformed("Scan's output attributes agree with its body", f"{axes}, {backward}, {count} outputs")
    result: list[Value] = []
    for pieces, axis, reverse in zip(collected, axes, backward):
        wrapped = node.wrap_axis(axis, len(_shape(pieces[0])) + 1)
        result.append(stack(node.build, node.label, pieces[::-1] if reverse else pieces, wrapped))
    return result


def _body(node: ImportNode, name: str) -> GraphProto:
    graph = node.attribute(name)
    if not isinstance(graph, onnx.GraphProto):
        raise Malformed(f"{node.op_type} has a graph `{name}`", "no such attribute")
    return graph


def _named(body: GraphProto, values: Sequence[Value]) -> dict[str, Value]:
    return {entry.name: value for entry, value in zip(body.input, values)}


def _given(node: ImportNode, index: int) -> Value:
    known = node.known(index)
    return node.input(index) if known is None else known


def _shape(value: Value) -> tuple[int, ...]:
    return shape_of(value) if isinstance(value, SSAValue) else value.shape


def _check_steps(steps: int) -> None:
    if steps > MAX_STEPS:
        raise Unsupported(f"an unrolled loop has at most {MAX_STEPS} steps", f"{steps} steps")


def _known_outputs(outputs: Outputs, body: GraphProto) -> list[Value]:
    values = [value for value in outputs if not isinstance(value, Unknown)]
    if len(values) != len(body.output):
        raise Malformed("the body defines its outputs", f"{len(values)} of {len(body.output)}")
    return values


def _truth(node: ImportNode, condition: Value) -> bool:
    known = node.build.known(condition) if isinstance(condition, SSAValue) else condition
    if known is None:
        rule = "the number of steps of a loop is known when the model is compiled"
        raise Unsupported(rule, "a condition computed from the model's inputs", "use a fixed number of steps")
    return bool(known.reshape(-1)[0])


def element(build: GraphBuilder, value: Value, axis: int, position: int) -> Value:
    """One element of an axis, without the axis."""
    if not isinstance(value, SSAValue):
        return value.take(position, axis)
    shape = shape_of(value)
    return build.reshape(build.slice_axis(value, axis, position, 1), (*shape[:axis], *shape[axis + 1 :]))


def stack(build: GraphBuilder, name: str, pieces: Sequence[Value], axis: int) -> Value:
    """Join values along a new axis; an array if all are known."""
    arrays: list[Array] = [piece for piece in pieces if not isinstance(piece, SSAValue)]
    if len(arrays) == len(pieces):
        return np.stack(arrays, axis)
    shape = _shape(pieces[0])
    spread = (*shape[:axis], 1, *shape[axis:])
    values = [piece if isinstance(piece, SSAValue) else build.constant(piece, name) for piece in pieces]
    return build.concat([build.reshape(value, spread) for value in values], axis)
