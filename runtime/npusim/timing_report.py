"""Bookkeeping of a timing run, and how it becomes a `TimingResult`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import ceil

from npuisa.instructions import Engine
from npuisa.program import DebugEntry, Program
from npuisa.target import Target

from npusim.cost import Cost
from npusim.costs import ENGINE_LABELS
from npusim.sequence import StaticInstruction
from npusim.timing_result import (
    BUSY_CAUSES,
    EngineTime,
    GroupTime,
    InstructionTime,
    TimelineEntry,
    TimingResult,
    round_to_total,
)


class Ledger:
    """Cycles as they are spent. What is the same at every execution is multiplied out only in the end."""

    def __init__(self, instructions: int) -> None:
        self.causes: dict[str, defaultdict[str, float]] = {
            label: defaultdict(float) for label in ENGINE_LABELS.values()
        }
        self.executions = [0] * instructions
        self.busy = [0.0] * instructions
        self.waiting = [0.0] * instructions
        self.first_start = [0.0] * instructions
        self.last_done = [0.0] * instructions
        self.executed = 0

    def book(self, label: str, cause: str, cycles: float) -> None:
        """`cycles` of engine `label` go to `cause`."""
        self.causes[label][cause] += cycles

    def count(self, index: int, cycles: float) -> None:
        """The sequencer executed instruction `index`."""
        self.executions[index] += 1
        self.busy[index] += cycles
        self.causes["seq"]["compute"] += cycles

    def finish(self, index: int, start: float, free: float, done: float) -> None:
        """A queued instruction ran from `start` to `free` and completed at `done`."""
        if not self.executions[index]:
            self.first_start[index] = start
        self.executions[index] += 1
        self.busy[index] += free - start
        self.last_done[index] = done


_COST_CAUSES = {
    "compute": "useful",
    "padding": "padding",
    "weight_load": "weight_load",
    "fill_drain": "fill_drain",
    "bank_conflict": "bank_conflict",
}


def build_result(
    program: Program,
    target: Target,
    statics: Sequence[StaticInstruction],
    costs: Sequence[Cost],
    ledger: Ledger,
    total: float,
    timeline: Sequence[TimelineEntry],
) -> TimingResult:
    """Round and sum up; `total` is the (fractional) cycle in which the program has ended."""
    cycles = ceil(total - 1e-6)
    for label in ledger.causes:
        ledger.book(label, "idle", cycles - total)
    executed: defaultdict[str, int] = defaultdict(int)
    read = written = 0
    for static, cost, times in zip(statics, costs, ledger.executions):
        label = ENGINE_LABELS[static.engine]
        executed[label] += times
        read += times * cost.dram_read
        written += times * cost.dram_written
        if times and static.engine is not Engine.SEQ:
            for cause, part in _COST_CAUSES.items():
                ledger.causes[label][cause] += times * getattr(cost, part)
    engines: dict[str, EngineTime] = {}
    for label, causes in ledger.causes.items():
        rounded = round_to_total(causes, cycles)
        busy = sum(rounded.get(cause, 0) for cause in BUSY_CAUSES)
        engines[label] = EngineTime(busy, executed[label], rounded)
    per_instruction = tuple(
        InstructionTime(times, round(busy), round(waiting))
        for times, busy, waiting in zip(ledger.executions, ledger.busy, ledger.waiting)
    )
    groups = _groups(program.debug, statics, ledger)
    return TimingResult(
        cycles,
        target.clock_ghz,
        engines,
        read,
        written,
        groups,
        per_instruction,
        ledger.executed,
        tuple(timeline),
    )


def _groups(
    debug: Sequence[DebugEntry], statics: Sequence[StaticInstruction], ledger: Ledger
) -> tuple[GroupTime, ...]:
    """Groups in the order in which they end; see `GroupTime` for how they share the total."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, entry in enumerate(debug):
        if ledger.executions[index] and statics[index].engine is not Engine.SEQ:
            members[entry.group].append(index)
    spans = {
        group: (min(ledger.first_start[i] for i in rows), max(ledger.last_done[i] for i in rows))
        for group, rows in members.items()
    }
    result: list[GroupTime] = []
    ended = 0
    for group, (start, end) in sorted(spans.items(), key=lambda item: (item[1][1], item[0])):
        busy: defaultdict[str, float] = defaultdict(float)
        nodes: dict[str, None] = {}
        for index in members[group]:
            busy[ENGINE_LABELS[statics[index].engine]] += ledger.busy[index]
            nodes.update(dict.fromkeys(debug[index].nodes))
        name = debug[members[group][0]].group_name
        last = ceil(end - 1e-6)
        whole = {label: round(value) for label, value in busy.items()}
        result.append(GroupTime(group, name, tuple(nodes), int(start), last, last - ended, whole))
        ended = max(ended, last)
    return tuple(result)
