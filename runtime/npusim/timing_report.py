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
    EngineTime,
    GroupTime,
    InstructionTime,
    TimelineEntry,
    TimingResult,
    busy_cycles,
    round_to_total,
)

Causes = defaultdict[str, float]


class Ledger:
    """Cycles as they are spent. What is the same at every execution is multiplied out only in the end.

    A cycle of a queued engine belongs to the instruction that it works on or, when it waits, that it waits to
    start; the cycles of the sequencer, and those after an engine's last instruction, belong to none.
    """

    def __init__(self, instructions: int) -> None:
        self.causes: list[Causes] = [defaultdict(float) for _ in range(instructions)]
        self.sequencer: Causes = defaultdict(float)
        self.idle: Causes = defaultdict(float)
        """Cycles after the last instruction, by engine."""
        self.executions = [0] * instructions
        self.first_start = [0.0] * instructions
        self.last_done = [0.0] * instructions
        self.executed = 0

    def book(self, index: int, cause: str, cycles: float) -> None:
        """`cycles` of the engine of instruction `index` go to `cause`."""
        self.causes[index][cause] += cycles

    def scalar(self, index: int, cycles: float) -> None:
        """The sequencer executed instruction `index`."""
        self.executions[index] += 1
        self.causes[index]["compute"] += cycles

    def finish(self, index: int, start: float, done: float) -> None:
        """A queued instruction started at `start` and completed at `done`."""
        if not self.executions[index]:
            self.first_start[index] = start
        self.executions[index] += 1
        self.last_done[index] = done

    def settle(self, costs: Sequence[Cost], statics: Sequence[StaticInstruction]) -> None:
        """Add the parts of the cost of every execution of queued instructions."""
        for static, cost, times, causes in zip(statics, costs, self.executions, self.causes):
            if times and static.engine is not Engine.SEQ:
                for cause, part in _COST_CAUSES.items():
                    if value := getattr(cost, part):
                        causes[cause] += times * value


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
    ledger.settle(costs, statics)
    pairs = list(zip(costs, ledger.executions))
    return TimingResult(
        cycles=cycles,
        clock_ghz=target.clock_ghz,
        engines=_engines(statics, ledger, cycles, total),
        dram_read=sum(times * cost.dram_read for cost, times in pairs),
        dram_written=sum(times * cost.dram_written for cost, times in pairs),
        groups=_groups(program.debug, statics, ledger),
        instructions=tuple(
            InstructionTime(times, _whole(causes)) for times, causes in zip(ledger.executions, ledger.causes)
        ),
        executed=ledger.executed,
        timeline=tuple(timeline),
    )


def _whole(causes: Causes) -> dict[str, int]:
    return {cause: round(value) for cause, value in causes.items() if round(value)}


def _engines(statics: Sequence[StaticInstruction], ledger: Ledger, cycles: int, total: float) -> dict[str, EngineTime]:
    sums: dict[str, Causes] = {label: defaultdict(float) for label in ENGINE_LABELS.values()}
    executed: defaultdict[str, int] = defaultdict(int)
    for static, times, causes in zip(statics, ledger.executions, ledger.causes):
        label = ENGINE_LABELS[static.engine]
        executed[label] += times
        for cause, value in causes.items():
            sums[label][cause] += value
    for cause, value in ledger.sequencer.items():
        sums["seq"][cause] += value
    engines: dict[str, EngineTime] = {}
    for label, causes in sums.items():
        causes["idle"] += ledger.idle[label] + cycles - total
        rounded = round_to_total(causes, cycles)
        engines[label] = EngineTime(busy_cycles(rounded), executed[label], rounded)
    return engines


def _groups(debug: Sequence[DebugEntry], statics: Sequence[StaticInstruction], ledger: Ledger) -> tuple[GroupTime, ...]:
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
        causes: defaultdict[str, Causes] = defaultdict(lambda: defaultdict(float))
        nodes: dict[str, None] = {}
        for index in members[group]:
            for cause, value in ledger.causes[index].items():
                causes[ENGINE_LABELS[statics[index].engine]][cause] += value
            nodes.update(dict.fromkeys(debug[index].nodes))
        name = debug[members[group][0]].group_name
        last = ceil(end - 1e-6)
        whole = {label: _whole(values) for label, values in causes.items()}
        result.append(GroupTime(group, name, tuple(nodes), int(start), last, last - ended, whole))
        ended = max(ended, last)
    return tuple(result)
