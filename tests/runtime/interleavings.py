"""Ground truth for the hazard checker: every legal order of a small straight-line program.

An engine step is two events, start and end. An instruction reads at its start and writes at its end; it starts
when its predecessor in the queue has ended, the sequencer has issued it (after fences) and its semaphores
are there. The sequencer executes its own loads and stores: nothing behind one is issued before it has ended.
Nothing else orders events. States are explored exhaustively, values by random walks.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from npuisa.instructions import Engine, QSync, SFence
from npuisa.program import Program
from npusim.footprint import footprint_of
from npusim.sequence import decode

State = tuple[int, ...]
"""Per engine: number of events (starts and ends) that have happened."""


@dataclass(frozen=True)
class Step:
    """A queued instruction: its place in the program, bytes read and written, semaphores (with repeats)."""

    position: int
    reads: tuple[tuple[object, int], ...]
    writes: tuple[tuple[object, int], ...]
    waits: tuple[int, ...]
    posts: tuple[int, ...]
    fenced: int
    """Instructions before this program position must have ended."""
    scalars: int
    """So many of the sequencer's own accesses stand before it and must have ended."""


class Machine:
    """The queues of a straight-line program."""

    def __init__(self, program: Program) -> None:
        self.initial = list(program.semaphores)
        queues: defaultdict[Engine, list[Step]] = defaultdict(list)
        fenced = 0
        for position, static in enumerate(decode(program)):
            instruction = static.instruction
            if isinstance(instruction, SFence):
                fenced = position
            if static.engine is Engine.SEQ and not static.descriptors:
                continue
            reads: list[tuple[object, int]] = []
            writes: list[tuple[object, int]] = []
            for view, access in zip(static.descriptors, static.access):
                if view is None:
                    continue
                shape = footprint_of(view)
                places = [(view.space, view.base + s + i) for s in shape.starts().tolist() for i in range(shape.run)]
                (reads if access == "r" else writes).extend(places)
            times = instruction.count if isinstance(instruction, QSync) else 1
            semaphores = static.waits * times, static.posts * times
            scalars = len(queues[Engine.SEQ])
            step = Step(position, tuple(reads), tuple(writes), *semaphores, fenced, scalars)
            queues[static.engine].append(step)
        queues[Engine.SEQ]  # the sequencer has one even where it accesses nothing
        self.engines = list(queues)
        self.queues = [queues[engine] for engine in self.engines]
        self.scalar = self.engines.index(Engine.SEQ)

    @property
    def start(self) -> State:
        return (0,) * len(self.queues)

    def semaphores(self, state: State) -> list[int]:
        values = list(self.initial)
        for queue, events in zip(self.queues, state):
            for step in queue[: (events + 1) // 2]:
                for semaphore in step.waits:
                    values[semaphore] -= 1
            for step in queue[: events // 2]:
                for semaphore in step.posts:
                    values[semaphore] += 1
        return values

    def unfinished(self, state: State) -> Iterator[Step]:
        for queue, events in zip(self.queues, state):
            yield from queue[events // 2 :]

    def enabled(self, state: State) -> list[int]:
        """Engines whose next event may happen."""
        values = self.semaphores(state)
        first = min((step.position for step in self.unfinished(state)), default=1 << 30)
        return [engine for engine in range(len(state)) if self._may(engine, state, values, first)]

    def _may(self, engine: int, state: State, values: list[int], first: int) -> bool:
        events = state[engine]
        if events % 2:
            return True
        if events // 2 == len(self.queues[engine]):
            return False
        step = self.queues[engine][events // 2]
        if state[self.scalar] < 2 * step.scalars:
            return False
        return first >= step.fenced and all(values[s] >= step.waits.count(s) for s in step.waits)

    def advance(self, state: State, engine: int) -> State:
        return (*state[:engine], state[engine] + 1, *state[engine + 1 :])


def racing_pairs(machine: Machine) -> set[tuple[int, int]]:
    """Program positions (earlier, later) of conflicting instructions that some order does not serialise."""
    pairs: set[tuple[int, int]] = set()
    seen = {machine.start}
    todo = [machine.start]
    while todo:
        state = todo.pop()
        for engine in machine.enabled(state):
            if state[engine] % 2 == 0:
                step = machine.queues[engine][state[engine] // 2]
                for other in machine.unfinished(state):
                    if other.position < step.position and conflict(other, step):
                        pairs.add((other.position, step.position))
            following = machine.advance(state, engine)
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return pairs


def conflict(a: Step, b: Step) -> bool:
    written, touched = set(a.writes), set(b.reads) | set(b.writes)
    return bool(written & touched or set(a.reads) & set(b.writes))


def random_values(machine: Machine, rng: random.Random | None) -> object:
    """What every instruction read and what memory holds after a random order (None: program order)."""
    memory: dict[tuple[object, int], object] = {}
    read: dict[int, tuple[object, ...]] = {}
    state = machine.start
    while enabled := machine.enabled(state):
        if rng is None:
            engine = min(enabled, key=lambda engine: machine.queues[engine][state[engine] // 2].position)
        else:
            engine = rng.choice(enabled)
        step = machine.queues[engine][state[engine] // 2]
        if state[engine] % 2 == 0:
            read[step.position] = tuple(memory.get(place) for place in step.reads)
        else:
            # A fresh value per instruction and input: nothing that depends on order can cancel out.
            memory.update(dict.fromkeys(step.writes, (step.position, hash(read[step.position]))))
        state = machine.advance(state, engine)
    return memory, read
