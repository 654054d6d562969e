"""Loops whose body needs to know the step: rolled, with tables of what is known by step and buffers for what grows.

    carried value          in the loop
    known in every step    not carried: a table, scanned row by row
    of one shape           carried
    growing along an axis  a carried buffer of the greatest size; its size by step is a table (`Bounded`)

The facts come from `iteration_facts`; nodes that read a growing value follow the rules of `npucc.frontend.bounded`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import GraphProto
from xdsl.ir import SSAValue

from npucc.frontend import lookups
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.iteration_facts import MAX_ELEMENTS, Fact, ImportNodeInto, IterationFacts, find_facts, stacked
from npucc.frontend.node import Bounded, ByStep, ImportNode, Output
from npucc.frontend.placeholders import Scope, ScopeValue
from npucc.frontend.problems import Unsupported
from npucc.frontend.regions import Loop, NotUniform, Step, loop
from npucc.types import AnyTensor, Array, element_of, numpy_dtype, shape_of, tensor_of

MOST_STEPS = 4096
"""Most steps whose facts are sought."""

Settle = Callable[[str, ScopeValue], ScopeValue]
RunKnown = Callable[[Scope, Scope, Settle], Sequence[ScopeValue]]
"""Imports the body: arguments by name; values of the body that are known without looking at their nodes; what becomes
of a value, by its name, once it has been made. Gives the body's outputs."""


def facts_of_loop(
    node: ImportNode, body: GraphProto, outer: Scope, import_into: ImportNodeInto, scratch: GraphBuilder
) -> IterationFacts | None:
    """What is known of the steps of a Loop; None if its number of steps has no known limit."""
    trip = node.known(0) if node.has(0) else None
    limit = MOST_STEPS + 1 if trip is None else min(int(trip.reshape(-1)[0]), MOST_STEPS + 1)
    if node.has(0) and trip is None:
        return None
    facts = find_facts(body, _initial(node), outer, limit, import_into, node.build.known, scratch.block)
    return None if facts is None or not 0 < facts.steps <= MOST_STEPS else facts


def roll(node: ImportNode, body: GraphProto, facts: IterationFacts, run: RunKnown) -> list[Output]:
    """The loop with these facts. Unsupported where its body needs more."""
    known = node.known(1) if node.has(1) else np.asarray(True)
    condition = node.input(1) if known is None else None
    return RolledLoop(node.build, body, facts, _initial(node), condition, run).emit()


def _initial(node: ImportNode) -> list[SSAValue | Array]:
    """The initial carried values: small known ones as arrays."""
    values: list[SSAValue | Array] = []
    for index in range(2, len(node.inputs)):
        known = node.known(index)
        values.append(node.input(index) if known is None or known.size > MAX_ELEMENTS else known)
    return values


@dataclass(frozen=True)
class Growth:
    """`axis` has size `sizes[t]` when step t begins (and `sizes[steps]` at the end); `bound` is the greatest one."""

    axis: int
    sizes: Array

    @property
    def bound(self) -> int:
        """Size of the buffer."""
        return int(self.sizes.max())


@dataclass(frozen=True)
class Carried:
    """One carried value. `table` [steps + 1, ...] if it is known, `growth` if it grows, else it has one type."""

    initial: SSAValue | None
    type_: AnyTensor
    table: Array | None = None
    growth: Growth | None = None


@dataclass
class RolledLoop:
    """A Loop of ONNX with the facts of its steps. `condition`: the first one, if it is not known to hold."""

    build: GraphBuilder
    body: GraphProto
    facts: IterationFacts
    initial: Sequence[SSAValue | Array]
    condition: SSAValue | None
    run: RunKnown
    values: list[Carried] = field(default_factory=list[Carried])

    def emit(self) -> list[Output]:
        """The last carried values and the stacked ones. NotUniform where the body does not fit the facts."""
        self.values = [self._carried(index) for index in range(len(self.initial))]
        kept = [value for value in self.values if value.table is None]
        starts = [self._start(value) for value in kept]
        conditional = not self.facts.exact or self.condition is not None
        extra = self._control() if conditional else []
        wanted = Loop([*extra, *starts], steps=self.facts.steps, conditional=conditional)
        lasts, rows = loop(self.build, wanted, self._step)
        count = self.build.reshape(lasts[1], ()) if conditional else None
        ends = iter(lasts[len(extra) :])
        results = [self._end(value, next(ends) if value.table is None else None, count) for value in self.values]
        return [*results, *(self._stacked(row, count) for row in rows)]

    def _control(self) -> list[SSAValue]:
        """Condition and number of steps taken."""
        condition = self.condition
        if condition is None:
            condition = self.build.constant(np.asarray(True), "condition")
        return [self.build.reshape(condition, ()), self.build.constant(np.asarray(0, np.int64), "count")]

    def _carried(self, index: int) -> Carried:
        facts, initial = self.facts.carried[index], self.initial[index]
        steps = self.facts.steps
        table = stacked(facts, steps + 1)
        type_ = _type(facts[-1])
        if table is not None:
            return Carried(None, type_, table)
        value = initial if isinstance(initial, SSAValue) else self.build.constant(initial, f"initial{index}")
        shapes = [_type(fact).get_shape() for fact in facts]
        if len({len(shape) for shape in shapes}) > 1 or element_of(value) != type_.element_type:
            raise NotUniform("a loop carries on values of one type", f"{value.type}, then {type_}")
        axes = [axis for axis in range(len(shapes[0])) if len({shape[axis] for shape in shapes}) > 1]
        if not axes:
            return Carried(value, type_)
        if len(axes) > 1:
            raise NotUniform("a carried value changes its size along one axis", f"axes {axes} of {type_}")
        growth = Growth(axes[0], np.array([shape[axes[0]] for shape in shapes], np.int64))
        return Carried(value, type_, growth=growth)

    def _start(self, value: Carried) -> SSAValue:
        """What the loop starts with: a growing value at the beginning of its buffer."""
        if value.initial is None:
            raise TypeError("a known value is not carried")
        return value.initial if value.growth is None else self._padded(value.initial, value.growth)

    def _padded(self, x: SSAValue, growth: Growth) -> SSAValue:
        """x with `bound` elements along the axis: cut, or filled with zeros."""
        shape = list(shape_of(x))
        missing = growth.bound - shape[growth.axis]
        if missing <= 0:
            return self.build.slice_axis(x, growth.axis, 0, growth.bound)
        shape[growth.axis] = missing
        zeros = self.build.constant(np.zeros(shape, numpy_dtype(element_of(x))), "room")
        return self.build.concat([x, zeros], growth.axis)

    def _step(self, step: Step) -> tuple[list[SSAValue], list[SSAValue]]:
        conditional = not self.facts.exact or self.condition is not None
        states = iter(step.carried[2:] if conditional else step.carried)
        names = [value.name for value in self.body.input]
        known = self._known(step)
        scope: Scope = {names[0]: ByStep(np.arange(self.facts.steps, dtype=np.int64), step.row)}
        scope[names[1]] = np.asarray(True)
        for name, value in zip(names[2:], self.values):
            if value.table is not None:
                scope[name] = _by_step(value.table[: self.facts.steps], step)
            elif value.growth is not None:
                scope[name] = self._growing(next(states), value.growth, step)
            else:
                scope[name] = next(states)
        rows = dict[bytes, SSAValue]()

        def settle(name: str, value: ScopeValue) -> ScopeValue:
            return self._settled(name, value, rows, step) if isinstance(value, Bounded) else value

        going, *results = self.run(scope, known, settle)
        count = len(self.values)
        following = [self._next(value, result) for value, result in zip(self.values, results) if value.table is None]
        pieces = [self._plain(result) for result in results[count:]]
        if conditional:
            one = self.build.constant(np.asarray(1, np.int64), "one")
            following = [self.build.reshape(self._plain(going), ()), self.build.add(step.carried[1], one), *following]
        return following, pieces

    def _known(self, step: Step) -> Scope:
        """Values of the body that need no node."""
        tables = {name: self.facts.table(name) for name in self.facts.facts}
        return {name: _by_step(table, step) for name, table in tables.items() if table is not None}

    def _settled(self, name: str, value: Bounded, rows: dict[bytes, SSAValue], step: Step) -> Output:
        """A value whose size the facts know better than the operations that compute it: one value for equal sizes."""
        types = self.facts.facts.get(name, [])
        shapes = np.array([_type(fact).get_shape() for fact in types if fact is not None], np.int64)
        if len(shapes) != self.facts.steps or shapes.ndim != 2:
            return value
        buffer, extents = value.value, list[SSAValue | int]()
        for axis, sizes in enumerate(shapes.T):
            bound = int(sizes.max())
            buffer = self.build.slice_axis(buffer, axis, 0, min(bound, shape_of(buffer)[axis]))
            if (sizes == bound).all():
                extents.append(bound)
                continue
            key = sizes.tobytes()
            if key not in rows:
                rows[key] = step.row(np.ascontiguousarray(sizes))
            extents.append(rows[key])
        return Bounded(buffer, tuple(extents)) if any(isinstance(e, SSAValue) for e in extents) else buffer

    def _growing(self, buffer: SSAValue, growth: Growth, step: Step) -> Bounded:
        extents: list[SSAValue | int] = list(shape_of(buffer))
        extents[growth.axis] = step.row(growth.sizes[: self.facts.steps])
        return Bounded(buffer, tuple(extents))

    def _next(self, value: Carried, result: ScopeValue) -> SSAValue:
        if value.growth is None:
            return self._plain(result)
        if isinstance(result, Bounded):
            return self._padded(result.value, value.growth)
        return self._padded(self._plain(result), value.growth)

    def _plain(self, value: ScopeValue) -> SSAValue:
        if isinstance(value, ByStep):
            return value.value()
        if isinstance(value, SSAValue):
            return value
        if isinstance(value, np.ndarray | np.generic):
            return self.build.constant(np.asarray(value), "known")
        raise NotUniform("values of a loop's body have one shape", f"{type(value).__name__}")

    def _end(self, value: Carried, last: SSAValue | None, count: SSAValue | None) -> Output:
        """The value behind the loop, which has taken `count` steps (None: all of them)."""
        build, steps = self.build, self.facts.steps
        if value.table is not None:
            return value.table[steps] if count is None else self._at(value.table, count)
        if last is None:
            raise TypeError("a carried value has a result")
        if value.growth is None:
            return last
        if count is None:
            return build.slice_axis(last, value.growth.axis, 0, int(value.growth.sizes[steps]))
        extents: list[SSAValue | int] = list(shape_of(last))
        extents[value.growth.axis] = self._at(value.growth.sizes, count)
        return Bounded(last, tuple(extents))

    def _at(self, table: Array, place: SSAValue) -> SSAValue:
        """table[place]."""
        return lookups.gather(self.build, self.build.constant(table, "by_count"), place, 0)

    def _stacked(self, rows: SSAValue, count: SSAValue | None) -> Output:
        return rows if count is None else Bounded(rows, (count, *shape_of(rows)[1:]))


def _by_step(table: Array, step: Step) -> ScopeValue:
    """A value known by step; a plain one if it is the same in all of them."""
    first = table[0]
    same = all(row.tobytes() == first.tobytes() for row in table[1:])
    return first if same else ByStep(table, step.row)


def _type(fact: Fact) -> AnyTensor:
    if fact is None:
        raise Unsupported("a loop carries tensors", "a value of another kind")
    return tensor_of(fact) if isinstance(fact, np.ndarray) else fact
