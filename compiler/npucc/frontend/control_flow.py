"""If and Loop: a known branch is taken; else they become branches and loops of the graph.

What each step of a loop computes must have the shapes and types of the step before. Where it has not (a tensor that
grows), and where a body needs to know the number of the step, the loop is built from what is known of each step; where
that does not suffice either, a loop whose steps are known is unrolled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
from onnx import GraphProto
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.graph import IfOp, LoopOp
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.deferral import Defer
from npucc.frontend.node import Bounded, ImportNode, Output, Value
from npucc.frontend.placeholders import Unknown
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.regions import MAX_STEPS, Loop, Step, Yielded, branch, loop
from npucc.frontend.static_steps import static_steps
from npucc.frontend.subgraphs import (
    Outputs,
    RunBody,
    check_control,
    check_steps,
    given_input,
    in_graph,
    known_outputs,
    named,
    stack,
    subgraph,
    truth,
)
from npucc.types import element_type, shape_of


def how_it_runs(op: str, outputs: Sequence[Output | Unknown]) -> str:
    """What has become of a node, for the report."""
    values = [value.value if isinstance(value, Bounded) else value for value in outputs]
    owners = {type(value.owner) for value in values if isinstance(value, SSAValue)}
    if owners & {LoopOp, IfOp}:
        return "a branch of the sequencer" if op == "If" else "a loop of the sequencer"
    return "the branch is known at compile time" if op == "If" else "its steps one after the other"


def import_if(node: ImportNode, run: RunBody) -> Sequence[Output | Unknown]:
    """The branch that a known condition takes; else both, as a branch of the device."""
    condition = node.known(0)
    check_control(given_input(node, 0), bool, "the condition of an If")
    then, otherwise = subgraph(node, "then_branch"), subgraph(node, "else_branch")
    given = min(len(then.output), len(otherwise.output))
    if given < len(node.proto.output):
        raise Malformed("both branches give what the If gives", f"{given} of {len(node.proto.output)} outputs")
    if condition is not None:
        return run(then if bool(condition.reshape(-1)[0]) else otherwise, {})

    def values(body: GraphProto) -> list[SSAValue]:
        return [in_graph(node.build, value, body.name) for value in known_outputs(run(body, {}), body)]

    try:
        return list(branch(node.build, node.input(0), lambda: values(then), lambda: values(otherwise)))
    except (Unsupported, Malformed, VerifyException):
        # Perhaps only one branch fits the inputs: the one that is taken when the condition has been computed.
        node.constant(0, "cond")
        raise


def import_loop(
    node: ImportNode, run: RunBody, by_facts: Callable[[], Sequence[Output] | None]
) -> Sequence[Output | Unknown]:
    """Iterate while the condition holds and the trip count lasts.

    `by_facts` builds the loop from what is known of each step, if that suffices (see `rolled_loop`).
    """
    body = subgraph(node, "body")
    carried = [given_input(node, index) for index in range(2, len(node.inputs))]
    if len(body.input) != len(carried) + 2 or len(body.output) <= max(len(carried), len(node.proto.output)):
        found = f"{len(body.input)} inputs, {len(body.output)} outputs"
        raise Malformed("the body takes and gives what the loop carries", found)
    if node.has(0):
        check_control(given_input(node, 0), np.int64, "the trip count of a Loop")
    if node.has(1):
        check_control(given_input(node, 1), bool, "the condition of a Loop")
    start = node.known(1) if node.has(1) else np.asarray(True)
    stopped = start is not None and not bool(start.reshape(-1)[0])
    try:
        return _rolled_loop(node, body, run, carried, 0 if stopped else _limit(node))
    except (Unsupported, Defer):
        rolled = None if stopped else by_facts()
        if rolled is not None:
            return rolled
        limit = 0 if stopped else _limit(node)
        if not stopped and node.has(0) and node.known(0) is None:
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
        initial = [in_graph(build, v, f"{node.label}.initial") for v, real in zip(self.carried, self.varying) if real]
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
                heads.append(build.reshape(in_graph(build, condition, "going"), ()))
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
        outputs = self.run(self.body, named(self.body, [number, np.asarray(True), *given]))
        condition, *results = known_outputs(outputs, self.body)
        following: list[SSAValue] = []
        for index, (before, after) in enumerate(zip(self.carried, results)):
            if self.varying[index]:
                following.append(in_graph(build, after, self.body.output[index + 1].name))
            elif not _same(build, before, after):
                raise _Varies(index)
        rows = [in_graph(build, row, self.node.label) for row in results[count:]]
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
        check_steps(step + 1)
        arguments: list[Value] = [np.asarray(step, np.int64), np.asarray(True), *carried]
        condition, *results = known_outputs(run(body, named(body, arguments)), body)
        carried = results[: len(carried)]
        for pieces, value in zip(collected, results[len(carried) :]):
            pieces.append(value)
        if not truth(node, condition):
            break
    if collected and not collected[0]:
        raise Unsupported("a loop with scan outputs has at least one step", "0 steps")
    return [*carried, *(stack(node.build, node.label, pieces, 0) for pieces in collected)]
