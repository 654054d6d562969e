"""Loops and branches of the graph from Python functions that build their bodies.

    carried, stacked = loop(build, Loop([h0], [x], steps=16), lambda step: ([h := cell(step)], [h]))
    (z,) = branch(build, condition, lambda: [a], lambda: [b])
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from xdsl.ir import Attribute, Block, BlockArgument, SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.problems import Unsupported
from npucc.frontend.tensors import MAX_ELEMENTS
from npucc.types import Array, element_of_numpy, numpy_dtype, shape_of, tensor, type_of

MAX_STEPS = graph.MAX_STEPS
"""Most steps of a loop."""
UNROLLED_STEPS = 1
"""A loop of at most so many steps is unrolled."""


@dataclass(frozen=True)
class Loop:
    """What a loop starts with; the meaning of the fields is that of `graph.loop`."""

    carried: Sequence[SSAValue]
    scanned: Sequence[SSAValue] = ()
    steps: int | None = None
    trip: SSAValue | None = None
    conditional: bool = False
    reversed_scanned: Sequence[int] = ()
    reversed_stacked: Sequence[int] = ()


@dataclass(frozen=True)
class Step:
    """What a body gets: the number of the step (i64 scalar), the carried values, its elements of the scanned ones.

    `row(table)` is what a known table [steps, ...] holds for the step (for loops with `steps`).
    """

    number: SSAValue
    carried: list[SSAValue]
    pieces: list[SSAValue]
    row: Callable[[Array], SSAValue]


Yielded = tuple[Sequence[SSAValue], Sequence[SSAValue]]
"""The next carried values, and the elements of the stacked results."""


class NotUniform(Unsupported):
    """The steps of a loop, or the branches of an If, disagree in the shapes or types of their values."""


def loop(build: GraphBuilder, wanted: Loop, body: Callable[[Step], Yielded]) -> tuple[list[SSAValue], list[SSAValue]]:
    """Build a `graph.loop`, or a short one step after step; the last carried values and the stacked results.

    Values without elements are no values of the machine: they are constants inside and outside. NotUniform
    where `body` carries on a value of another type.
    """
    before = build.count
    made = _LoopBuilder(build, wanted)
    with _unless_refused(made.block):
        made.fill(body)
    if made.is_short():
        made.block.drop_all_references()
        build.count = before
        return unrolled(build, wanted, body)
    return made.finish()


def unrolled(
    build: GraphBuilder, wanted: Loop, body: Callable[[Step], Yielded]
) -> tuple[list[SSAValue], list[SSAValue]]:
    """The same with the ops of all steps one after the other, for a known number of steps (at least one)."""
    steps = wanted.steps or 0
    carried, rows = list(wanted.carried), list[list[SSAValue]]()
    for number in range(steps):
        pieces = [
            _element(build, value, steps - 1 - number if place in wanted.reversed_scanned else number)
            for place, value in enumerate(wanted.scanned)
        ]
        known = build.constant(np.asarray(number, np.int64), "number")

        def row(table: Array, number: int = number) -> SSAValue:
            return build.constant(table[number], f"{build.node}.row")

        following, stacked = body(Step(known, carried, pieces, row))
        carried = list(following)
        rows.append(list(stacked))
    results: list[SSAValue] = []
    for place in range(len(rows[0])):
        parts = [build.reshape(row[place], (1, *shape_of(row[place]))) for row in rows]
        results.append(build.concat(parts[::-1] if place in wanted.reversed_stacked else parts, 0))
    return carried, results


def _element(build: GraphBuilder, value: SSAValue, place: int) -> SSAValue:
    return build.reshape(build.slice_axis(value, 0, place, 1), shape_of(value)[1:])


def branch(
    build: GraphBuilder,
    condition: SSAValue,
    then: Callable[[], Sequence[SSAValue]],
    otherwise: Callable[[], Sequence[SSAValue]],
) -> list[SSAValue]:
    """Build a `graph.if`; NotUniform where the branches give values of different types."""
    blocks = [Block(), Block()]
    with _unless_refused(*blocks):
        for block, make in zip(blocks, (then, otherwise)):
            with _inside(build, block, 1):
                block.add_op(graph.YieldOp(*make()))
        types = [[value.type for value in _yield(block).operands] for block in blocks]
        if types[0] != types[1]:
            found = f"{_text(types[0])} and {_text(types[1])}"
            raise NotUniform("the branches give values of the same types", found)
    made = graph.with_nodes(graph.IfOp(build.reshape(condition, ()), *blocks), [build.node] if build.node else [])
    build.count += 1
    build.block.add_op(made)
    return [
        result if all(shape_of(result)) else _empty(build, shape_of(result), result) for result in made.results
    ]


@contextmanager
def _unless_refused(*blocks: Block) -> Generator[None]:
    """What is built meanwhile; after an error its ops are no longer users of the values around them."""
    try:
        yield
    except BaseException:
        for block in blocks:
            block.drop_all_references()
        raise


@contextmanager
def _inside(build: GraphBuilder, block: Block, executions: int) -> Generator[None]:
    """Ops go into `block` meanwhile."""
    outer = build.block, build.executions
    build.block, build.executions = block, build.executions * executions
    try:
        yield
    finally:
        build.block, build.executions = outer


def _yield(block: Block) -> graph.YieldOp:
    last = block.last_op
    if not isinstance(last, graph.YieldOp):
        raise TypeError("a region ends with graph.yield")
    return last


def _text(types: Sequence[object]) -> str:
    return ", ".join(str(each) for each in types)


def _empty(build: GraphBuilder, shape: tuple[int, ...], like: SSAValue) -> SSAValue:
    zeros = np.zeros(shape, numpy_dtype(type_of(like).element_type))
    return build.constant(zeros, f"{build.node}.empty")


@dataclass
class _LoopBuilder:
    build: GraphBuilder
    wanted: Loop
    block: Block = field(default_factory=Block)
    counter: SSAValue | None = None
    tables: list[tuple[BlockArgument, Array]] = field(default_factory=list[tuple[BlockArgument, Array]])
    following: Sequence[SSAValue] = ()
    stacked: Sequence[SSAValue] = ()

    def fill(self, body: Callable[[Step], Yielded]) -> None:
        """Build the body."""
        wanted, build = self.wanted, self.build
        carried = [self._argument(value) for value in wanted.carried]
        counter = None if wanted.steps is not None else self._add(tensor((), "i64"))
        pieces = [self._piece(value) for value in wanted.scanned]
        number = self._row(np.arange(wanted.steps or 0, dtype=np.int64)) if counter is None else counter
        step = Step(number, carried, pieces, self._row)
        with _inside(build, self.block, self._least_steps()):
            self.following, self.stacked = body(step)
            self._check(self.following)
            if counter is not None:
                counter = build.add(number, build.constant(np.asarray(1, np.int64), "one"))
        self.counter = counter

    def is_short(self) -> bool:
        """Whether the ops of all steps one after the other are the better program (see docs/design.md, section 11)."""
        wanted = self.wanted
        is_static = wanted.steps is not None and wanted.trip is None and not wanted.conditional
        return is_static and 0 < (wanted.steps or 0) <= UNROLLED_STEPS

    def _least_steps(self) -> int:
        """Of a loop that may stop early one step counts as the model's work: a bound must not be too high."""
        wanted = self.wanted
        static = wanted.trip is None and not wanted.conditional
        return max(wanted.steps or 1, 1) if static else 1

    def _row(self, table: Array) -> SSAValue:
        """A table is scanned like any other value, and dropped again if nobody reads it."""
        if not all(table.shape[1:]):
            return self.build.constant(np.zeros(table.shape[1:], table.dtype), f"{self.build.node}.empty")
        argument = self._add(tensor(table.shape[1:], element_of_numpy(table.dtype)))
        self.tables.append((argument, table))
        return argument

    def _add(self, type_: Attribute) -> BlockArgument:
        return self.block.insert_arg(type_, len(self.block.args))

    def _argument(self, value: SSAValue) -> SSAValue:
        return self._add(value.type) if all(shape_of(value)) else value

    def _piece(self, value: SSAValue) -> SSAValue:
        shape = shape_of(value)[1:]
        if not all(shape):
            return _empty(self.build, shape, value)
        return self._add(tensor(shape, type_of(value).element_type))

    def _check(self, following: Sequence[SSAValue]) -> None:
        before, after = ([value.type for value in values] for values in (self.wanted.carried, following))
        if before != after:
            raise NotUniform("a loop carries on values of one type", f"{_text(before)}, then {_text(after)}")

    def finish(self) -> tuple[list[SSAValue], list[SSAValue]]:
        """The op, and its results."""
        wanted, build = self.wanted, self.build
        following, stacked, counter = self.following, self.stacked, self.counter
        kept = [i for i, value in enumerate(wanted.carried) if all(shape_of(value))]
        shapes = [((wanted.steps or 0), *shape_of(value)) for value in stacked]
        for shape in shapes:
            if np.prod(shape, dtype=np.float64) > MAX_ELEMENTS:
                raise Unsupported(f"a tensor has at most {MAX_ELEMENTS} elements", f"a result of shape {list(shape)}")
        if wanted.steps == 0:
            return list(wanted.carried), [_empty(build, shape, value) for shape, value in zip(shapes, stacked)]
        full = [i for i, shape in enumerate(shapes) if all(shape)]
        operands, yielded = [wanted.carried[i] for i in kept], [following[i] for i in kept]
        if counter is not None:
            operands.append(build.constant(np.asarray(0, np.int64), "zero"))
            yielded.append(counter)
        scanned = [(i, value) for i, value in enumerate(wanted.scanned) if all(shape_of(value))]
        pieces = [value for _, value in scanned]
        self.block.add_op(graph.YieldOp(*yielded, *(stacked[i] for i in full)))
        for argument, table in self.tables:
            if argument.first_use:
                pieces.append(build.constant(table, f"{build.node}.by_step"))
            else:
                self.block.erase_arg(argument)
        made = graph.LoopOp(
            operands,
            pieces,
            self.block,
            steps=wanted.steps,
            trip=None if wanted.trip is None else build.reshape(wanted.trip, ()),
            conditional=wanted.conditional,
            reversed_scanned=[place for place, (i, _) in enumerate(scanned) if i in wanted.reversed_scanned],
            reversed_stacked=[place for place, i in enumerate(full) if i in wanted.reversed_stacked],
        )
        build.count += 1
        build.block.add_op(graph.with_nodes(made, [build.node] if build.node else []))
        carried = list(wanted.carried)
        for index, result in zip(kept, made.results):
            carried[index] = result
        found = [_empty(build, shape, value) for shape, value in zip(shapes, stacked) if not all(shape)]
        results = iter(made.stacked_results)
        empties = iter(found)
        return carried, [next(results) if all(shape) else next(empties) for shape in shapes]
