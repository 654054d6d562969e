"""The hazard checker against brute force on 200 compiled programs, each with one synchronisation fault planted.

Brute force: for every executed instruction, hold it back as long as any legal order allows (everything else that
queues and semaphores permit runs first), execute the values in that order and compare the outputs with program
order. Engines are in order and each semaphore has one waiting engine, so running ahead never disables a step:
whatever can overtake an instruction in some order overtakes it in this one.
"""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from npucc.context import NpuContext
from npucc.dialects import graph
from npucc.emit import emit_program
from npucc.passes.registry import make_pass
from npuisa.errors import NpuError
from npuisa.instructions import Engine, Instruction, QSync
from npuisa.program import Program
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.hazards import check_hazards
from npusim.sequence import Issued, decode, dynamic_stream

PROGRAMS = 200
PASSES = (
    "graph-fuse",
    "graph-insert-copies",
    "graph-schedule",
    "convert-graph-to-tile",
    "tile-plan-memory",
    "tile-insert-semaphores",
    "convert-tile-to-npu",
)


def small_machine(rng: random.Random) -> Target:
    """Memories so small that a few-kilobyte model needs loops, several buffers and reused addresses."""
    base = Target.load("edge-4t")
    sram = base.sram.model_copy(update={"bytes": rng.choice([6_144, 12_288, 32_768])})
    accumulator = base.accumulator.model_copy(update={"bytes": rng.choice([1_024, 4_096])})
    return base.model_copy(update={"sram": sram, "accumulator": accumulator})


def random_model(builder: type, seed: int) -> Any:
    """Two to four layers: convolutions, dense layers, pooling, residual adds, concatenations."""
    rng = random.Random(seed)
    size, channels = rng.randint(4, 9), rng.choice([3, 8, 12])
    b = builder([(1, size, size, channels)], seed)
    value = b.block.args[0]
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(["conv", "depthwise", "pool", "residual", "concat", "map"])
        channels = value.type.get_shape()[3]
        if kind == "conv":
            value = b.insert(graph.ConvOp(value, b.constant(3, 3, channels, 8), (1, 1), (1, 1), (1, 1, 1, 1)))
            value = b.insert(graph.ReluOp(b.insert(graph.AddOp(value, b.constant(8)))))
        elif kind == "depthwise":
            weights = b.constant(3, 3, channels)
            value = b.insert(graph.DepthwiseConvOp(value, weights, (1, 1), (1, 1), (1, 1, 1, 1)))
        elif kind == "pool":
            value = b.insert(graph.WindowReduceOp(value, "max", (1, 2), (2, 2), (1, 1), (1, 1), (0, 0, 1, 1)))
        elif kind == "residual":
            inner = b.insert(graph.ConvOp(value, b.constant(1, 1, channels, channels)))
            value = b.insert(graph.AddOp(inner, value))
        elif kind == "concat":
            inner = b.insert(graph.ConvOp(value, b.constant(1, 1, channels, 4)))
            value = b.insert(graph.ConcatOp([inner, value], 3))
        else:
            value = b.insert(graph.TanhOp(b.insert(graph.MulOp(value, value))))
    return b, b.module(value)


def compiled(builder: type, seed: int) -> tuple[Program, Target, dict[str, Any]]:
    """A program for a random model on a random small machine."""
    built, module = random_model(builder, seed)
    context = NpuContext()
    context.constants, context.target = built.constants, small_machine(random.Random(seed))
    for name in PASSES:
        make_pass(name).apply(context, module)
    inputs = {f"x{i}": array for i, array in enumerate(built.inputs)}
    return emit_program(module, built.constants), context.target, inputs


def plant(program: Program, rng: random.Random) -> Program | None:
    """The program with one wait or post removed, one count lowered, or one credit too many."""
    places = [
        (i, kind) for i, each in enumerate(program.instructions) for kind in ("waits", "posts") if getattr(each, kind)
    ]
    credits = [i for i, value in enumerate(program.semaphores) if value]
    if not places:
        return None
    if credits and rng.random() < 0.15:
        values = list(program.semaphores)
        values[rng.choice(credits)] += 1
        return dataclasses.replace(program, semaphores=values)
    index, kind = rng.choice(places)
    instructions = list(program.instructions)
    instructions[index] = _weakened(instructions[index], kind, rng)
    return dataclasses.replace(program, instructions=instructions)


def _weakened(instruction: Instruction, kind: str, rng: random.Random) -> Instruction:
    if isinstance(instruction, QSync) and instruction.count > 1:
        return dataclasses.replace(instruction, count=instruction.count - 1)
    kept = list(getattr(instruction, kind))
    kept.pop(rng.randrange(len(kept)))
    return dataclasses.replace(instruction, **{kind: tuple(kept)})


@dataclass(frozen=True)
class Step:
    """One executed instruction of a queue: bytes it touches per memory, and its semaphores."""

    issued: Issued
    ranges: tuple[tuple[Any, int, int, bool], ...]
    waits: tuple[int, ...]
    posts: tuple[int, ...]
    epoch: int
    """Instructions of earlier epochs must have ended (fences)."""


class Orders:
    """Legal orders of a program's executed instructions."""

    def __init__(self, program: Program) -> None:
        self.initial = list(program.semaphores) + [0] * (64 - len(program.semaphores))
        self.steps: list[Step] = []
        self.queues: dict[Engine, list[int]] = defaultdict(list)
        statics = decode(program)
        for issued in dynamic_stream(program, statics):
            static = statics[issued.pc]
            if static.engine is Engine.SEQ:
                continue
            times = static.instruction.count if isinstance(static.instruction, QSync) else 1
            ranges = [
                (view.space, *view.byte_range(offset), "w" in access)
                for view, offset, access in zip(static.descriptors, issued.offsets, static.access)
                if view is not None
            ]
            self.queues[static.engine].append(len(self.steps))
            self.steps.append(Step(issued, tuple(ranges), static.waits * times, static.posts * times, 0))

    def delaying(self, held: int) -> list[int] | None:
        """The order in which instruction `held` runs last of all that may precede it; None if it deadlocks."""
        values = list(self.initial)
        heads = dict.fromkeys(self.queues, 0)
        order: list[int] = []
        while len(order) < len(self.steps):
            ready = [engine for engine in self.queues if self._ready(engine, heads, values)]
            free = [engine for engine in ready if self.queues[engine][heads[engine]] != held]
            if not ready:
                return None
            engine = min(free or ready, key=lambda e: self.queues[e][heads[e]])
            step = self.queues[engine][heads[engine]]
            heads[engine] += 1
            for semaphore in self.steps[step].waits:
                values[semaphore] -= 1
            for semaphore in self.steps[step].posts:
                values[semaphore] += 1
            order.append(step)
        return order

    def _ready(self, engine: Engine, heads: dict[Engine, int], values: list[int]) -> bool:
        if heads[engine] == len(self.queues[engine]):
            return False
        waits = self.steps[self.queues[engine][heads[engine]]].waits
        return all(values[semaphore] >= waits.count(semaphore) for semaphore in waits)

    def overtaken(self, order: list[int], held: int) -> bool:
        """Whether an instruction that touches the same bytes ran before `held` although it stands behind it."""
        before = order[: order.index(held)]
        return any(later > held and _touch(self.steps[later], self.steps[held]) for later in before)


def _touch(a: Step, b: Step) -> bool:
    return any(
        space == other and low < end and start < high and (write or writes)
        for space, low, high, write in a.ranges
        for other, start, end, writes in b.ranges
    )


def values_in(order: list[int] | None, orders: Orders, simulator: FunctionalSimulator, inputs: Any) -> list[Any]:
    """Outputs when the instructions execute in `order` (None: program order)."""
    simulator.memory.reset()
    for port in simulator.program.inputs:
        simulator.memory.write_input(port, inputs[port.name])
    with np.errstate(all="ignore"):
        for index in order if order is not None else range(len(orders.steps)):
            issued = orders.steps[index].issued
            step = simulator._steps[issued.pc]  # pyright: ignore[reportPrivateUsage]
            if step is not None:
                step.run(issued.accumulate, *step.binder.arrays(issued.offsets))
    return [simulator.memory.port(port).copy() for port in simulator.program.outputs]


def order_matters(program: Program, target: Target, inputs: Any) -> bool:
    """Brute force: whether some legal order blocks or changes an output."""
    orders = Orders(program)
    simulator = FunctionalSimulator(program, target)
    expected = values_in(None, orders, simulator, inputs)
    for held in range(len(orders.steps)):
        order = orders.delaying(held)
        if order is None:
            return True
        if orders.overtaken(order, held):
            got = values_in(order, orders, simulator, inputs)
            if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, got)):
                return True
    return False


@pytest.mark.parametrize("block", range(8))
def test_every_planted_fault_is_found(block: int, graph_builder: type, record_property: Any) -> None:
    """No misses; faults that change no value in any order and are reported all the same are counted."""
    planted = harmful = false_alarms = 0
    for seed in range(block, PROGRAMS, 8):
        program, target, inputs = compiled(graph_builder, seed)
        assert check_hazards(program, target) == [], f"seed {seed}: a compiled program has a hazard"
        faulty = plant(program, random.Random(1000 + seed))
        if faulty is None:
            continue
        planted += 1
        reported = bool(check_hazards(faulty, target))
        matters = order_matters(faulty, target, inputs)
        assert reported or not matters, f"seed {seed}: a fault that changes a value is not reported"
        harmful += matters
        false_alarms += reported and not matters
    record_property("planted", planted)
    record_property("harmful", harmful)
    record_property("false_alarms", false_alarms)
    assert harmful > 0


def test_a_deadlock_counts(graph_builder: type) -> None:
    """A removed post that blocks program order is an error of the simulator and a hazard of the checker."""
    program, target, inputs = compiled(graph_builder, 1)
    posts = [i for i, each in enumerate(program.instructions) if each.posts]
    instructions = list(program.instructions)
    instructions[posts[0]] = dataclasses.replace(instructions[posts[0]], posts=())
    faulty = dataclasses.replace(program, instructions=instructions)
    assert check_hazards(faulty, target)
    with pytest.raises(NpuError, match="program order blocks"):
        FunctionalSimulator(faulty, target).run(inputs)
