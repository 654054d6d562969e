"""If, Loop and Scan: a known branch is taken; else they become branches and loops of the graph.

What each step of a loop computes must have the shapes and types of the step before. Where it has not (a tensor that
grows), and where a body needs to know the number of the step, a loop whose steps are known is unrolled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TypeVar

import numpy as np
import onnx
from onnx import GraphProto
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException

from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import Bounded, ImportNode, Output, Value
from npucc.frontend.placeholders import Unknown
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.regions import MAX_STEPS, Loop, NotUniform, Step, Yielded, branch, loop
from npucc.frontend.static_steps import static_steps
from npucc.types import Array, element_type, shape_of

MAX_UNROLLED_STEPS = 1024
"""Most steps of one unrolled loop."""

Outputs = list[Value | Unknown]
RunBody = Callable[[GraphProto, Mapping[str, Value]], Outputs]
"""Imports a subgraph with its inputs bound to values; gives its outputs."""
T = TypeVar("T")


def import_if(node: ImportNode, run: RunBody) -> Sequence[Output | Unknown]:
    """The branch that a known condition takes; else both, as a branch of the device."""
    condition = node.known(0)
    then, otherwise = _body(node, "then_branch"), _body(node, "else_branch")
    if condition is not None:
        return run(then if bool(condition.reshape(-1)[0]) else otherwise, {})

    def values(body: GraphProto) -> list[SSAValue]:
        return [_in_graph(node.build, value, body.name) for value in _known_outputs(run(body, {}), body)]

    try:
        return list(branch(node.build, node.input(0), lambda: values(then), lambda: values(otherwise)))
    except (Unsupported, Malformed, VerifyException):
        # Perhaps only one branch fits the inputs: the one that is taken when the condition has been computed.
        node.constant(0, "cond")
        raise


def import_loop(node: ImportNode, run: RunBody) -> Sequence[Output | Unknown]:
    """Iterate while the condition holds and the trip count lasts."""
    body = _body(node, "body")
    carried = [_given(node, index) for index in range(2, len(node.inputs))]
    if len(body.input) != len(carried) + 2 or len(body.output) <= len(carried):
        raise Malformed("the body takes and gives what the loop carries", f"{len(body.input)} inputs")
    start = node.known(1) if node.has(1) else np.asarray(True)
    try:
        if start is not None and not bool(start.reshape(-1)[0]):
            return _rolled_loop(node, body, run, carried, 0)
        return _rolled_loop(node, body, run, carried, _limit(node))
    except Unsupported:
        limit = _limit(node)
        if node.has(0) and node.known(0) is None:
            node.constant(0, "M")
        if start is None:
            node.constant(1, "cond")
        return _unrolled_loop(node, body, run, carried, limit)


def _limit(node: ImportNode) -> int | None:
    """The trip count, if it is known and no mere "without limit"."""
    known = node.known(0) if node.has(0) else None
    limit = None if known is None else max(int(known.reshape(-1)[0]), 0)
    return limit if limit is None or limit <= MAX_STEPS else None


def _rolled_loop(
    node: ImportNode, body: GraphProto, run: RunBody, carried: list[Value], limit: int | None
) -> list[Output | Unknown]:
    """As a loop of the graph. Carried values that are known and never change stay known in the body."""
    build = node.build
    varying = [isinstance(value, SSAValue) for value in carried]
    while True:
        attempt = _LoopBody(node, body, run, carried, list(varying))
        try:
            found = attempt.build_loop(limit)
        except _Varies as changed:
            varying[changed.index] = True
        except Unsupported:
            if all(varying):
                raise
            varying = [True] * len(varying)
        else:
            return found
        build.count += 1  # attempts are work, too: a body that is refused again and again ends at the limit


class _Varies(Exception):
    """A known carried value is another one after a step."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index


class _LoopBody:
    """One attempt to build a Loop; `varying` says which values are really carried."""

    def __init__(
        self, node: ImportNode, body: GraphProto, run: RunBody, carried: Sequence[Value], varying: list[bool]
    ) -> None:
        self.node, self.body, self.run = node, body, run
        self.carried = carried
        self.varying = varying
        self.fixed_condition = False
        """Whether the condition has been found to be known in every step: the number of steps says it all."""

    def build_loop(self, limit: int | None) -> list[Output | Unknown]:
        """Outputs of the node."""
        node, build = self.node, self.node.build
        initial = [_in_graph(build, v, f"{node.label}.initial") for v, real in zip(self.carried, self.varying) if real]
        trip = node.input(0) if node.has(0) and node.known(0) is None and limit != 0 else None
        if trip is not None:
            trip = build.reshape(build.cast(trip, element_type("i64")), ())
        stacked = len(self.body.output) - 1 - len(self.carried)
        start = node.input(1) if node.has(1) and node.known(1) is None else None
        conditional = start is not None
        while True:
            try:
                return self._attempt(initial, limit, trip, stacked, start, conditional)
            except _NeedsCondition as needed:
                if needed.steps is not None:
                    limit = needed.steps if limit is None else min(limit, needed.steps)
                conditional = needed.steps is None
                self.fixed_condition = needed.steps is not None

    def _attempt(
        self,
        initial: list[SSAValue],
        limit: int | None,
        trip: SSAValue | None,
        stacked: int,
        start: SSAValue | None,
        conditional: bool,
    ) -> list[Output | Unknown]:
        build = self.node.build
        static = limit is not None and trip is None and not conditional
        if stacked and limit is None:
            rule, found = "a loop with scan outputs has a greatest number of steps", "no constant trip count"
            raise Unsupported(rule, found, "give the Loop a trip count")
        first: list[SSAValue] = []
        if conditional:
            known = build.constant(np.asarray(True), "going") if start is None else build.reshape(start, ())
            first.append(known)
        counted = stacked > 0 and not static
        if counted:
            first.append(build.constant(np.asarray(0, np.int64), "count"))
        wanted = Loop([*first, *initial], (), limit, trip, conditional)

        def step(given: Step) -> Yielded:
            values = self._step(given.number, given.carried[len(first) :])
            condition, following, rows = values
            heads: list[SSAValue] = []
            if conditional:
                heads.append(build.reshape(_in_graph(build, condition, "going"), ()))
            elif not self.fixed_condition:
                self._check_condition(condition, given, initial, len(first), following, limit)
            if counted:
                heads.append(build.shifted(given.carried[len(heads)], 1))
            return [*heads, *following], rows

        last, rows = loop(build, wanted, step)
        results = iter(last[len(first) :])
        outputs: list[Output | Unknown] = [
            next(results) if real else value for value, real in zip(self.carried, self.varying)
        ]
        if not counted:
            return [*outputs, *rows]
        number = last[int(conditional)]
        return [*outputs, *(Bounded(row, (number, *shape_of(row)[1:])) for row in rows)]

    def _step(self, number: SSAValue, carried: list[SSAValue]) -> tuple[Value, list[SSAValue], list[SSAValue]]:
        """Condition, next values of what is really carried, rows of the scan outputs."""
        build, count = self.node.build, len(self.carried)
        values = iter(carried)
        given = [next(values) if real else value for value, real in zip(self.carried, self.varying)]
        # In a step that runs, the condition is true.
        outputs = self.run(self.body, _named(self.body, [number, np.asarray(True), *given]))
        condition, *results = _known_outputs(outputs, self.body)
        following: list[SSAValue] = []
        for index, (before, after) in enumerate(zip(self.carried, results)):
            if self.varying[index]:
                following.append(_in_graph(build, after, self.body.output[index + 1].name))
            elif not _same(build, before, after):
                raise _Varies(index)
        rows = [_in_graph(build, row, self.node.label) for row in results[count:]]
        return condition, following, rows

    def _check_condition(
        self,
        condition: Value,
        step: Step,
        initial: Sequence[SSAValue],
        offset: int,
        following: Sequence[SSAValue],
        limit: int | None,
    ) -> None:
        """A condition that is true costs nothing; one that depends on constants and counters alone gives the number
        of steps; else the loop is conditional."""
        known = condition if not isinstance(condition, SSAValue) else self.node.build.known(condition)
        if known is not None:
            if not bool(known.reshape(-1)[0]):
                raise _NeedsCondition(1)
            return
        if isinstance(condition, SSAValue):
            counters = {
                argument: (self.node.build.known(start), after)
                for argument, start, after in zip(step.carried[offset:], initial, following)
            }
            raise _NeedsCondition(static_steps(condition, step.number, counters, self.node.build.known, limit))


class _NeedsCondition(Exception):
    """The condition has to be asked in every step; or, where `steps` is given, is true just so often."""

    def __init__(self, steps: int | None) -> None:
        super().__init__()
        self.steps = steps


def _same(build: GraphBuilder, before: Value, after: Value) -> bool:
    known = build.known(after) if isinstance(after, SSAValue) else after
    if known is None or isinstance(before, SSAValue):
        return before is after
    return known.dtype == before.dtype and np.array_equal(known, before)


def _unrolled_loop(
    node: ImportNode, body: GraphProto, run: RunBody, carried: list[Value], limit: int | None
) -> Outputs:
    """Step after step; the condition must be known in every one."""
    collected: list[list[Value]] = [[] for _ in body.output[len(carried) + 1 :]]
    for step in count():
        if limit is not None and step >= limit:
            break
        _check_steps(step + 1)
        arguments: list[Value] = [np.asarray(step, np.int64), np.asarray(True), *carried]
        condition, *results = _known_outputs(run(body, _named(body, arguments)), body)
        carried = results[: len(carried)]
        for pieces, value in zip(collected, results[len(carried) :]):
            pieces.append(value)
        if not _truth(node, condition):
            break
    if collected and not collected[0]:
        raise Unsupported("a loop with scan outputs has at least one step", "0 steps")
    return [*carried, *(stack(node.build, node.label, pieces, 0) for pieces in collected)]


def import_scan(node: ImportNode, run: RunBody) -> Sequence[Output | Unknown]:
    """One step per element of the scanned axes."""
    if node.opset < 9:
        return _batched_scan(node, run)
    body, scanned = _body(node, "body"), node.integer("num_scan_inputs")
    values = [_given(node, index) for index in range(len(node.inputs))]
    states, inputs = values[: len(values) - scanned], values[len(values) - scanned :]
    axes = node.integers("scan_input_axes") or [0] * scanned
    backward = node.integers("scan_input_directions") or [0] * scanned
    if not inputs or len(axes) != scanned or len(backward) != scanned or len(body.input) != len(values):
        raise Malformed("Scan's attributes and body agree with its inputs", f"{len(values)} inputs, {scanned} scanned")
    axes = [node.wrap_axis(axis, len(_shape(value))) for axis, value in zip(axes, inputs)]
    steps = _common_length([_shape(value)[axis] for axis, value in zip(axes, inputs)])
    count = len(body.output) - len(states)
    output_axes = node.integers("scan_output_axes") or [0] * count
    output_backward = node.integers("scan_output_directions") or [0] * count
    if len(output_axes) != count or len(output_backward) != count:
        raise Malformed("Scan's output attributes agree with its body", f"{output_axes}, {output_backward}")
    fronted = [_to_front(node.build, _in_graph(node.build, v, node.label), axis) for v, axis in zip(inputs, axes)]
    wanted = Loop(
        [_in_graph(node.build, value, node.label) for value in states],
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
    outputs = _known_outputs(run(body, _named(body, arguments)), body)
    values = [_in_graph(node.build, value, node.label) for value in outputs]
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
    _check_steps(steps)
    states: list[Value] = list(wanted.carried)
    collected: list[list[Value]] = [[] for _ in axes]
    for step in range(steps):
        pieces: list[Value] = []
        for index, value in enumerate(wanted.scanned):
            known = node.build.known(value)
            place = steps - 1 - step if index in wanted.reversed_scanned else step
            pieces.append(element(node.build, value if known is None else known, 0, place))
        results = _known_outputs(run(body, _named(body, [*states, *pieces])), body)
        states = results[: len(states)]
        for outputs, value in zip(collected, results[len(states) :]):
            outputs.append(value)
    if not steps:
        raise Unsupported("a scan that cannot be a loop has at least one step", "0 steps")
    results = list[Output | Unknown](states)
    for index, (pieces, axis) in enumerate(zip(collected, axes)):
        place = node.wrap_axis(axis, len(_shape(pieces[0])) + 1)
        ordered = pieces[::-1] if index in wanted.reversed_stacked else pieces
        results.append(stack(node.build, node.label, ordered, place))
    return results


def _batched_scan(node: ImportNode, run: RunBody) -> list[Output | Unknown]:
    """Opset 8: input 0 are lengths, every other tensor has a batch in front, and the scanned axis behind it."""
    build, body, scanned = node.build, _body(node, "body"), node.integer("num_scan_inputs")
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


def _in_graph(build: GraphBuilder, value: Value, name: str) -> SSAValue:
    return value if isinstance(value, SSAValue) else build.constant(value, name)


def _shape(value: Value) -> tuple[int, ...]:
    return shape_of(value) if isinstance(value, SSAValue) else value.shape


def _check_steps(steps: int) -> None:
    if steps > MAX_UNROLLED_STEPS:
        raise Unsupported(f"an unrolled loop has at most {MAX_UNROLLED_STEPS} steps", f"{steps} steps")


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
