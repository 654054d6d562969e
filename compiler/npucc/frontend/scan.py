"""Scan: a loop over the elements of tensors, of opset 8 (with a batch in front) and later."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto
from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode, Output, Value
from npucc.frontend.placeholders import Unknown
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.regions import Loop, NotUniform, Step, Yielded, loop
from npucc.frontend.subgraphs import (
    RunBody,
    check_steps,
    element,
    given_input,
    in_graph,
    known_outputs,
    named,
    stack,
    subgraph,
    value_shape,
)
from npucc.types import shape_of


def import_scan(node: ImportNode, run: RunBody) -> Sequence[Output | Unknown]:
    """One step per element of the scanned axes."""
    if node.opset < 9:
        return _batched_scan(node, run)
    body, scanned = subgraph(node, "body"), node.integer("num_scan_inputs")
    values = [given_input(node, index) for index in range(len(node.inputs))]
    states, inputs = values[: len(values) - scanned], values[len(values) - scanned :]
    axes = node.integers("scan_input_axes") or [0] * scanned
    backward = node.integers("scan_input_directions") or [0] * scanned
    if not inputs or len(axes) != scanned or len(backward) != scanned or len(body.input) != len(values):
        raise Malformed("Scan's attributes and body agree with its inputs", f"{len(values)} inputs, {scanned} scanned")
    axes = [node.wrap_axis(axis, len(value_shape(value))) for axis, value in zip(axes, inputs)]
    steps = _common_length([value_shape(value)[axis] for axis, value in zip(axes, inputs)])
    if len(body.output) < max(len(states), len(node.proto.output)):
        raise Malformed("the body of a Scan gives what it carries and stacks", f"{len(body.output)} outputs")
    count = len(body.output) - len(states)
    output_axes = node.integers("scan_output_axes") or [0] * count
    output_backward = node.integers("scan_output_directions") or [0] * count
    if len(output_axes) != count or len(output_backward) != count or not {*backward, *output_backward} <= {0, 1}:
        raise Malformed("Scan's output attributes agree with its body", f"{output_axes}, {output_backward}")
    fronted = [_to_front(node.build, in_graph(node.build, v, node.label), axis) for v, axis in zip(inputs, axes)]
    wanted = Loop(
        [in_graph(node.build, value, node.label) for value in states],
        fronted,
        steps,
        reversed_scanned=[index for index, flag in enumerate(backward) if flag],
        reversed_stacked=[index for index, flag in enumerate(output_backward) if flag],
    )

    def step(given: Step) -> Yielded:
        return _scan_step(node, body, run, [*given.carried, *given.pieces], len(states))

    try:
        carried, rows = loop(node.build, wanted, step)
    except NotUniform:
        raise
    except Unsupported:
        return _unrolled_scan(node, body, run, wanted, output_axes)
    return [*carried, *(_from_front(node, row, axis) for row, axis in zip(rows, output_axes))]


def _scan_step(
    node: ImportNode, body: GraphProto, run: RunBody, arguments: Sequence[Value], states: int
) -> tuple[list[SSAValue], list[SSAValue]]:
    outputs = known_outputs(run(body, named(body, arguments)), body)
    values = [in_graph(node.build, value, node.label) for value in outputs]
    return values[:states], values[states:]


def _common_length(lengths: Sequence[int]) -> int:
    if len(set(lengths)) != 1:
        raise Malformed("scanned inputs have one length", f"{sorted(set(lengths))}")
    return lengths[0]


def _to_front(build: GraphBuilder, value: SSAValue, axis: int) -> SSAValue:
    rank = len(shape_of(value))
    return build.transpose(value, [axis, *(a for a in range(rank) if a != axis)])


def _from_front(node: ImportNode, value: SSAValue, axis: int) -> SSAValue:
    rank = len(shape_of(value))
    place = node.wrap_axis(axis, rank)
    perm = list(range(1, rank))
    perm.insert(place, 0)
    return node.build.transpose(value, perm)


def _unrolled_scan(
    node: ImportNode, body: GraphProto, run: RunBody, wanted: Loop, axes: Sequence[int]
) -> list[Output | Unknown]:
    """Step after step, where the body has to know values that each step makes."""
    steps = wanted.steps or 0
    check_steps(steps)
    states: list[Value] = list(wanted.carried)
    collected: list[list[Value]] = [[] for _ in axes]
    for step in range(steps):
        pieces: list[Value] = []
        for index, value in enumerate(wanted.scanned):
            known = node.build.known(value)
            place = steps - 1 - step if index in wanted.reversed_scanned else step
            pieces.append(element(node.build, value if known is None else known, 0, place))
        results = known_outputs(run(body, named(body, [*states, *pieces])), body)
        states = results[: len(states)]
        for outputs, value in zip(collected, results[len(states) :]):
            outputs.append(value)
    if not steps:
        raise Unsupported("a scan that cannot be a loop has at least one step", "0 steps")
    results = list[Output | Unknown](states)
    for index, (pieces, axis) in enumerate(zip(collected, axes)):
        place = node.wrap_axis(axis, len(value_shape(pieces[0])) + 1)
        ordered = pieces[::-1] if index in wanted.reversed_stacked else pieces
        results.append(stack(node.build, node.label, ordered, place))
    return results


def _batched_scan(node: ImportNode, run: RunBody) -> list[Output | Unknown]:
    """Opset 8: input 0 are lengths, every other tensor has a batch in front, and the scanned axis behind it."""
    build, body, scanned = node.build, subgraph(node, "body"), node.integer("num_scan_inputs")
    if node.has(0):
        raise Unsupported("Scan of opset 8 has no sequence_lens", "sequence_lens", "export for opset 9 or later")
    values = [node.input(index) for index in range(1, len(node.inputs))]
    states = len(values) - scanned
    backward = node.integers("directions") or [0] * scanned
    if not 0 < scanned <= len(values) or len(backward) != scanned or len(body.input) != len(values):
        raise Malformed("Scan's attributes and body agree with its inputs", f"{len(values)} inputs, {scanned} scanned")
    steps = _common_length([shape_of(value)[1] for value in values[states:]])
    reverse = [index for index, flag in enumerate(backward) if flag]

    def sequence(given: Step) -> Yielded:
        inner = Loop(given.pieces[:states], given.pieces[states:], steps, reversed_scanned=reverse)
        last, rows = loop(build, inner, one_step)
        return [], [*last, *rows]

    def one_step(given: Step) -> Yielded:
        return _scan_step(node, body, run, [*given.carried, *given.pieces], states)

    _, rows = loop(build, Loop([], values, _common_length([shape_of(value)[0] for value in values])), sequence)
    return list(rows)
