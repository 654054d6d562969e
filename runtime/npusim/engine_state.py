"""What the cycle model keeps per instruction and per engine, and the sequencer's stalls."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from npuisa.errors import NpuError
from npuisa.instructions import Engine, Operand, QSync
from npuisa.program import Program
from npuisa.target import Target

from npusim.bandwidth import Share
from npusim.cost import Cost, Traffic
from npusim.costs import instruction_cost
from npusim.faults import place
from npusim.register_steps import share_register_values
from npusim.sequence import Issued, StaticInstruction
from npusim.timing_result import TimelineEntry

Causes = defaultdict[str, float]

ALONE = Share(1.0, 1.0)
"""Share of an instruction that nobody slows down; compared by identity."""


@dataclass(slots=True, eq=False)
class Work:
    """A static instruction, prepared for fast execution."""

    index: int
    cost: Cost
    needs: tuple[tuple[int, int], ...]
    """Semaphores it takes, each once, with how much of it."""
    posts: tuple[int, ...]
    times: int
    """How often each semaphore is posted."""
    occupancy: float
    fill: float
    latency: float
    traffic: Traffic
    dram: float
    """DRAM bytes per cycle at full speed."""
    sram: float
    """SRAM lines per cycle at full speed."""
    shares: bool
    """Uses a memory that it may have to share."""
    drains: bool
    """Starts only when the engine's last result is complete, whatever it was."""
    streams: bool
    """Keeps the array streaming, so that a following stationary load is hidden."""
    transparent: bool
    """q.sync: neither starts nor ends a stream, and leaves a channel's direction alone."""
    key: int
    """Tells instructions apart in sums of at most one key per engine."""
    causes: Causes
    """Cycles booked so far, by cause."""
    executions: int = 0
    first_start: float = 0.0
    last_done: float = 0.0


@dataclass(slots=True, eq=False)
class Credit:
    """A post that has not been taken in full: its cycle, the number of the engine, and how much is left."""

    posted: float
    poster: int
    left: int


@dataclass(slots=True, eq=False)
class EngineState:
    """An engine: its queue of (work, issue, cycle from which the engine sees it) and what it runs."""

    label: str
    number: int
    """That of its `Engine`."""
    queue: deque[tuple[Work, Issued, float]]
    running: Work | None = None
    issued: Issued | None = None
    start: float = 0.0
    free_at: float = 0.0
    """End of the last occupancy."""
    last: Work | None = None
    """Instruction that left it last."""
    done_at: float = 0.0
    """Completion of the last result."""
    stream_until: float = -1.0
    traffic: Traffic = Traffic.NONE
    remaining: float = 0.0
    since: float = 0.0
    share: Share = ALONE
    version: int = 0
    lost_dram: float = 0.0
    lost_sram: float = 0.0
    ready: float = 0.0
    """Cycle of the last post that the instruction last started had to wait for."""
    blamed: str = ""
    """Cause that names the engine which made that post."""
    dram_rates: list[tuple[float, float]] = field(default_factory=list)
    waiting: list[list[EngineState]] = field(default_factory=list)
    """The lists of waiting engines (one per semaphore) that hold this one."""
    posting: deque[Work] = field(default_factory=deque)
    """Instructions that have left the engine and complete later, in order."""

    def settle(self, now: float) -> float:
        """Bring the progress of the running instruction up to `now`; the cycles that it still needs alone."""
        elapsed, share = now - self.since, self.share
        if elapsed > 0.0:
            remaining = self.remaining - elapsed * share.speed
            self.remaining = remaining if remaining > 0.0 else 0.0
            self.since = now
            if share is not ALONE:
                self.lost_dram += elapsed * (1.0 - share.dram_speed)
                self.lost_sram += elapsed * (share.dram_speed - share.speed)
        return self.remaining


def prepare_costs(program: Program, target: Target, statics: list[StaticInstruction]) -> list[Cost]:
    """Cost of every instruction of the program; NpuError lists all that the target cannot execute."""
    costs: list[Cost] = []
    problems: list[NpuError] = []
    for static in statics:
        try:
            costs.append(instruction_cost(static.instruction, program, target))
        except NpuError as error:
            error.where = error.where or place(program, static.index)
            problems.append(error)
    if problems:
        first = problems[0]
        raise NpuError(first.entry, f"{target.name} cannot execute the program", problems=problems)
    return costs


def changed_cost(static: StaticInstruction, program: Program, target: Target) -> Cost:
    """Cost of an instruction whose descriptors are no longer those of the program."""
    descriptors = list(program.descriptors)
    for name, view in zip(static.fields, static.descriptors):
        if view is not None:
            operand: Operand = getattr(static.instruction, name)
            descriptors[operand.desc] = view
    now = replace(program, descriptors=descriptors)
    share_register_values(program, now)
    return instruction_cost(static.instruction, now, target)


_KEY_BITS = 32
"""Of the number of an instruction in a set of active ones: more than any program has, changed ones included."""


def prepare_work(static: StaticInstruction, cost: Cost, number: int) -> Work:
    """What the event loop asks of an instruction; no other one has the same `number`.

    Its demand on the SRAM is counted in bank cycles (lines), not in payload: strided accesses saturate banks too.
    """
    occupancy = cost.occupancy
    moving = max(occupancy, 1e-9)
    dram = cost.dram_bytes / moving if cost.traffic in (Traffic.LOAD, Traffic.STORE, Traffic.DRAM) else 0.0
    sram = cost.sram_lines / moving
    sync = isinstance(static.instruction, QSync)
    times = static.instruction.count if isinstance(static.instruction, QSync) else 1
    waits = static.waits
    return Work(
        index=static.index,
        cost=cost,
        needs=tuple((semaphore, times * waits.count(semaphore)) for semaphore in dict.fromkeys(waits)),
        posts=static.posts,
        times=times,
        occupancy=occupancy,
        fill=cost.fill,
        latency=cost.latency,
        traffic=cost.traffic,
        dram=dram,
        sram=sram,
        shares=bool(dram or sram),
        drains=cost.traffic is Traffic.DRAM,
        streams=static.engine is Engine.MX and not sync,
        transparent=sync,
        key=(number + 1) << (static.engine * _KEY_BITS),
        causes=defaultdict(float),
    )


class StallLog:
    """Periods in which the sequencer issued nothing, by cause, in order of time."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._causes: list[str] = []

    def add(self, cause: str, start: float, end: float) -> None:
        """The sequencer waited from `start` to `end`."""
        if end > start:
            self._starts.append(start)
            self._ends.append(end)
            self._causes.append(cause)

    def within(self, begin: float, end: float) -> Iterator[tuple[str, float]]:
        """(cause, cycles) of the stalls between `begin` and `end`."""
        for row in range(bisect_right(self._ends, begin), len(self._ends)):
            if self._starts[row] >= end:
                return
            yield self._causes[row], min(end, self._ends[row]) - max(begin, self._starts[row])


def book_tail(state: EngineState, cycles: float) -> None:
    """The engine had nothing to do but complete its last result."""
    assert state.last is not None
    state.last.causes["fill_drain" if state.label == "mx" else "dram_latency"] += cycles


def timeline_entry(state: EngineState, work: Work) -> TimelineEntry:
    """The execution that just ended on `state`."""
    assert state.issued is not None
    return TimelineEntry(
        work.index,
        Engine(state.number),
        state.start,
        state.free_at,
        state.done_at,
        state.issued.offsets,
        state.issued.accumulate,
        work.cost.dram_read,
        work.cost.dram_written,
        tuple(state.dram_rates) if work.dram else (),
    )
