"""How the books of a timing run become a `TimingResult`, or an error when the engines wait for each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import Engine, SLd
from npuisa.program import DebugEntry, Program
from npuisa.target import Target

from npusim.costs import ENGINE_LABELS
from npusim.engine_state import Causes, EngineState, Work
from npusim.faults import place
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

DEADLOCK = error_code("NPU-E0422", ExitCode.BAD_INPUT, "Engines wait for semaphores that nobody will post")

_COST_CAUSES = {
    "compute": "useful",
    "padding": "padding",
    "weight_load": "weight_load",
    "fill_drain": "fill_drain",
    "bank_conflict": "bank_conflict",
}


@dataclass(frozen=True, slots=True)
class Books:
    """What a simulation has written down.

    `statics` and `work` belong together; `changed` holds further entries of the same instructions with descriptors
    that `d.set` had changed. A cycle of a queued engine belongs to the instruction that it works on or, when it waits,
    that it waits to start. The cycles that the sequencer `waited`, by cause, and those after an engine's last
    instruction (`idle`, by engine) belong to none. `total` is the (fractional) cycle in which the program has ended.
    """

    statics: Sequence[StaticInstruction]
    work: Sequence[Work]
    changed: Sequence[Work]
    waited: Causes
    idle: Mapping[str, float]
    total: float
    timeline: Sequence[TimelineEntry]
    notes: tuple[str, ...]


def build_result(program: Program, target: Target, books: Books) -> TimingResult:
    """Round and sum up."""
    cycles = ceil(books.total - 1e-6)
    statics, work = books.statics, books.work
    everything = [*work, *books.changed]
    _add_costs([*statics, *(statics[item.index] for item in books.changed)], everything)
    read = sum(item.executions * item.cost.dram_read for item in everything)
    written = sum(item.executions * item.cost.dram_written for item in everything)
    _fold(work, books.changed)
    issuing = sum(item.executions for static, item in zip(statics, work) if static.engine is not Engine.SEQ)
    sequencer = Counter(books.waited) + Counter({"compute": issuing})
    return TimingResult(
        cycles=cycles,
        clock_ghz=target.clock_ghz,
        engines=_engines(statics, work, sequencer, books.idle, cycles, books.total),
        dram_read=read,
        dram_written=written,
        groups=_groups(program.debug, statics, work),
        instructions=tuple(InstructionTime(item.executions, _whole(item.causes)) for item in work),
        executed=sum(item.executions for item in work),
        timeline=tuple(books.timeline),
        notes=books.notes,
    )


def assumed_note(program: Program, loads: int) -> str:
    """Says that the cycles rest on values that the program names, not on data."""
    places = sum(isinstance(item, SLd) for item in program.instructions)
    return (
        f"timed without data: {loads} loads of the sequencer ({places} s.ld) gave the values that the program "
        "assumes for them; branches and loops that depend on them may go another way on data"
    )


def _fold(work: Sequence[Work], changed: Sequence[Work]) -> None:
    """Enter executions with changed descriptors in the books of their instruction."""
    for item in changed:
        own = work[item.index]
        for cause, value in item.causes.items():
            own.causes[cause] += value
        own.first_start = item.first_start if not own.executions else min(own.first_start, item.first_start)
        own.last_done = max(own.last_done, item.last_done)
        own.executions += item.executions


def _add_costs(statics: Sequence[StaticInstruction], work: Sequence[Work]) -> None:
    """The parts of the cost that are the same at every execution of a queued instruction."""
    for static, item in zip(statics, work):
        if item.executions and static.engine is not Engine.SEQ:
            for cause, part in _COST_CAUSES.items():
                if value := getattr(item.cost, part):
                    item.causes[cause] += item.executions * value


def _whole(causes: Causes) -> dict[str, int]:
    return {cause: round(value) for cause, value in causes.items() if round(value)}


def _engines(
    statics: Sequence[StaticInstruction],
    work: Sequence[Work],
    sequencer: Mapping[str, float],
    idle: Mapping[str, float],
    cycles: int,
    total: float,
) -> dict[str, EngineTime]:
    sums: dict[str, Causes] = {label: defaultdict(float) for label in ENGINE_LABELS.values()}
    executed: defaultdict[str, int] = defaultdict(int)
    for static, item in zip(statics, work):
        label = ENGINE_LABELS[static.engine]
        executed[label] += item.executions
        for cause, value in item.causes.items():
            sums[label][cause] += value
    for cause, value in sequencer.items():
        sums["seq"][cause] += value
    engines: dict[str, EngineTime] = {}
    for label, causes in sums.items():
        causes["idle"] += idle.get(label, 0.0) + cycles - total
        rounded = round_to_total(causes, cycles)
        engines[label] = EngineTime(busy_cycles(rounded), executed[label], rounded)
    return engines


def _groups(
    debug: Sequence[DebugEntry], statics: Sequence[StaticInstruction], work: Sequence[Work]
) -> tuple[GroupTime, ...]:
    """Groups in the order in which they end; see `GroupTime` for how they share the total."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, entry in enumerate(debug):
        if work[index].executions and statics[index].engine is not Engine.SEQ:
            members[entry.group].append(index)
    spans = {
        group: (min(work[i].first_start for i in rows), max(work[i].last_done for i in rows))
        for group, rows in members.items()
    }
    result: list[GroupTime] = []
    ended = 0
    for group, (start, end) in sorted(spans.items(), key=lambda item: (item[1][1], item[0])):
        causes: defaultdict[str, Causes] = defaultdict(lambda: defaultdict(float))
        nodes: dict[str, None] = {}
        for index in members[group]:
            for cause, value in work[index].causes.items():
                causes[ENGINE_LABELS[statics[index].engine]][cause] += value
            nodes.update(dict.fromkeys(debug[index].nodes))
        name = debug[members[group][0]].group_name
        last = ceil(end - 1e-6)
        whole = {label: _whole(values) for label, values in causes.items()}
        result.append(GroupTime(group, name, tuple(nodes), int(start), last, last - ended, whole))
        ended = max(ended, last)
    return tuple(result)


def deadlock(program: Program, engines: Sequence[EngineState], semaphores: Sequence[int]) -> NpuError:
    """The error of engines that wait for each other, with what each of them lacks."""
    names = program.semaphore_names
    problems: list[NpuError] = []
    for state in engines:
        if state.queue:
            work = state.queue[0][0]
            missing = [
                names[semaphore] if semaphore < len(names) else str(semaphore)
                for semaphore, need in work.needs
                if semaphores[semaphore] < need
            ]
            where = place(program, work.index)
            problems.append(NpuError(DEADLOCK, f"{state.label} waits", where, f"semaphore {', '.join(missing)}"))
    remedy = "every wait needs a post before it in program order and a consumer of its own"
    return NpuError(DEADLOCK, "the engines wait for each other", remedy=remedy, problems=problems)
