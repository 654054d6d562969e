"""Hazard checker: proves that overlapping the engines cannot change a value.

Program order is the meaning of a program. Two accesses to the same byte, one of them a write, by different
engines must be ordered by queues, semaphores or fences (`ordering.py`); where they are not, some legal
execution gives another value. Bytes are exact: interleaved views of one buffer that share no byte do not
clash. On the way the checker finds what program order itself does wrong: reads of bytes that nothing has
written, accesses outside of memory, semaphores that block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from npuisa.descriptor import Descriptor, Space
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import Engine, OutStore, SemInit, VMap, VNorm
from npuisa.program import Program, Region, RegionKind
from npuisa.target import Target
from npuisa.validate import MAX_SEMAPHORE_VALUE

from npusim.access_log import AccessLog, Conflict
from npusim.accumulator_types import AccumulatorTypes
from npusim.costs import ENGINE_LABELS
from npusim.faults import place
from npusim.footprint import Footprint, footprint_of, overlap
from npusim.initialised import WrittenBytes
from npusim.ordering import ENGINES, Clock, Execution, Ordering, credits_per_step, order
from npusim.scalar_memory import AssumedLoads, Loaded, ReplayedLoads
from npusim.sequence import StaticInstruction, decode, dynamic_stream

HAZARDOUS = error_code("NPU-E0430", ExitCode.BAD_INPUT, "Overlapping the engines could change a value")

_PRUNE_EVERY = 256
_IN_PLACE = (VMap, OutStore, VNorm)
"""Instructions that may write the very elements they read: they work element by element or row by row."""


class HazardKind(StrEnum):
    """What is wrong; the value is the title."""

    RACE = "unordered accesses"
    UNINITIALISED = "read of bytes that nothing has written"
    OUT_OF_BOUNDS = "access outside of memory"
    READ_ONLY = "write to an input or a constant"
    SELF_OVERLAP = "instruction overwrites its own source"
    BLOCKED = "program order blocks"
    CONTENDED = "engines compete for a semaphore"
    OVERFLOW = "semaphore overflows"
    UNSETTLED = "semaphore preset while in use"
    MISALIGNED = "address not aligned to the element size"
    RETYPED = "accumulator read as another type"


@dataclass(frozen=True, slots=True)
class Party:
    """One of the accesses of a hazard. `execution`: the how-manieth instruction of `engine` (from 1)."""

    index: int
    engine: str
    execution: int
    descriptor: str
    access: str
    where: str


@dataclass(frozen=True, slots=True)
class Hazard:
    """A defect of a program, reported once per pair of instructions; bytes `[low, high)` of `space`."""

    kind: HazardKind
    message: str
    parties: tuple[Party, ...] = ()
    space: Space | None = None
    low: int = 0
    high: int = 0

    def __str__(self) -> str:
        lines = [f"{self.kind.value}: {self.message}"]
        if self.space is not None:
            lines.append(f"  bytes {self.low} to {self.high} of {self.space.name.lower()}")
        for party in self.parties:
            what = f"{party.access} {party.descriptor}" if party.descriptor else "waits"
            lines.append(f"  {party.engine} #{party.execution} {what}: {party.where}")
        return "\n".join(lines)


def check_hazards(
    program: Program, target: Target, *, limit: int = 100, loads: Sequence[Loaded] | None = None
) -> list[Hazard]:
    """All hazards of `program`, the first `limit` of them, in program order; empty: the overlap is safe.

    What the sequencer loads decides which instructions execute: `loads` is the record of a run
    (`FunctionalSimulator.loads`), and what is proved holds for executions with the same loads. Without it the loads
    are assumed as the program says.
    """
    statics = decode(program)
    memory = AssumedLoads(program) if loads is None else ReplayedLoads(program, loads)
    ordering = order(program, statics, dynamic_stream(program, statics, memory=memory))
    return _Checker(program, target, statics, ordering, limit).run()


def require_no_hazards(program: Program, target: Target, loads: Sequence[Loaded] | None = None) -> None:
    """Raise NpuError that lists every hazard of `program`, if there is one; `loads` as in `check_hazards`."""
    problems = [
        NpuError(HAZARDOUS, hazard.kind.value, hazard.parties[0].where if hazard.parties else "", str(hazard))
        for hazard in check_hazards(program, target, loads=loads)
    ]
    if problems:
        message = f"{len(problems)} hazards in the program"
        remedy = "order the accesses with semaphores; a compiled program has none: report it"
        raise NpuError(HAZARDOUS, message, program.target, remedy=remedy, problems=problems)


@dataclass(frozen=True, slots=True)
class _Access:
    """An operand of one execution: absolute base and where its bytes are."""

    view: Descriptor
    shape: Footprint
    base: int
    reads: bool
    writes: bool


class _Checker:
    def __init__(
        self,
        program: Program,
        target: Target,
        statics: list[StaticInstruction],
        ordering: Ordering,
        limit: int,
    ) -> None:
        self.program, self.statics, self.ordering, self.limit = program, statics, ordering, limit
        self.sizes = {Space.SRAM: target.sram.bytes, Space.ACC: target.accumulator.bytes, Space.L2: 0}
        self.logs = {space: AccessLog() for space in Space}
        self.types = AccumulatorTypes(target.accumulator.bytes)
        self.queue_depth = target.sequencer.queue_depth
        self.chip = {space: WrittenBytes(0, self.sizes[space]) for space in (Space.SRAM, Space.ACC)}
        self.dram = {
            region.name: WrittenBytes(region.base, region.size)
            for region in program.regions
            if region.kind in (RegionKind.OUTPUT, RegionKind.SCRATCH)
        }
        self.places: dict[tuple[int, int, int], Region | Space | None] = {}
        self.by_engine: list[list[Execution]] = [[] for _ in range(ENGINES)]
        self.found: dict[tuple[object, ...], Hazard] = {}

    def run(self) -> list[Hazard]:
        """Walk the executions in program order."""
        for execution in self.ordering.executions:
            self.by_engine[execution.engine].append(execution)
        self._semaphores()
        for count, execution in enumerate(self.ordering.executions):
            if len(self.found) >= self.limit:
                break
            if count % _PRUNE_EVERY == _PRUNE_EVERY - 1:
                self._prune(execution)
            self._execution(execution)
        return list(self.found.values())

    # --- semaphores ---------------------------------------------------------------------------------------

    def _semaphores(self) -> None:
        if self.ordering.blocked is not None:
            record, semaphore = self.ordering.blocked
            static = self.statics[record[0]]
            party = Party(
                static.index, ENGINE_LABELS[static.engine], 0, "", "", place(self.program, static.index)
            )
            message = f"nothing before it posts semaphore {self._name(semaphore)} often enough"
            self._add((HazardKind.BLOCKED,), Hazard(HazardKind.BLOCKED, message, (party,)))
        for (first, second, semaphore), pair in self.ordering.contended.items():
            message = (
                f"{self._name(semaphore)}: either of two waits may take the credit; use one semaphore each"
            )
            parties = tuple(self._party(execution, "", "") for execution in pair)
            key = HazardKind.CONTENDED, first, second, semaphore
            self._add(key, Hazard(HazardKind.CONTENDED, message, parties))
        for (preset, user), execution in self.ordering.unsettled.items():
            name = self._name(self._preset_semaphore(preset))
            message = f"{name} is preset by {place(self.program, preset)}, with no s.fence behind what uses it"
            party = self._party(execution, "", "")
            self._add((HazardKind.UNSETTLED, preset, user), Hazard(HazardKind.UNSETTLED, message, (party,)))
        for semaphore, late in enumerate(self._late_credits()):
            peak = self.ordering.peak[semaphore] + late
            if peak > MAX_SEMAPHORE_VALUE:
                message = f"{self._name(semaphore)} can reach {peak}, the counter holds {MAX_SEMAPHORE_VALUE}"
                self._add((HazardKind.OVERFLOW, semaphore), Hazard(HazardKind.OVERFLOW, message))

    def _preset_semaphore(self, index: int) -> int:
        instruction = self.statics[index].instruction
        assert isinstance(instruction, SemInit)
        return instruction.sem

    def _late_credits(self) -> list[int]:
        """Per semaphore, how far its value may exceed that of program order.

        Whatever has been posted was issued; of the waits issued by then, each waiting engine has at most those in
        its full queue still to take, and the one it holds.
        """
        most: list[dict[int, int]] = [{} for _ in self.program.semaphores]
        for static in self.statics:
            for semaphore in static.waits:
                credits = credits_per_step(static) * static.waits.count(semaphore)
                most[semaphore][static.engine] = max(credits, most[semaphore].get(static.engine, 0))
        return [sum(credits.values()) * (self.queue_depth + 1) for credits in most]

    def _name(self, semaphore: int) -> str:
        names = self.program.semaphore_names
        return names[semaphore] if semaphore < len(names) else str(semaphore)

    # --- accesses -----------------------------------------------------------------------------------------

    def _execution(self, execution: Execution) -> None:
        """Check all operands before any of them counts as accessed: an instruction cannot race with itself."""
        accesses = list(self._accesses(execution))
        written = [self._written(execution, access) for access in accesses]
        for access, flags in zip(accesses, written):
            if flags is not None:
                if access.reads and self._initialised(execution, access, flags) and access.view.space is Space.ACC:
                    self._type(execution, access)
                self._races(execution, access)
        for access, flags in zip(accesses, written):
            if flags is not None:
                self._record(execution, access)
                if access.writes:
                    flags.write(access.shape, access.base)
                if access.writes and access.view.space is Space.ACC:
                    self.types.write(access.shape, access.base, access.view.dtype)
        self._self_overlap(execution, accesses)

    def _written(self, execution: Execution, access: _Access) -> WrittenBytes | None:
        """Flags of the memory that the access goes to; None where nothing can be written."""
        where = self._inside(execution, access)
        if where is None:
            return None
        return self.dram.get(where.name) if isinstance(where, Region) else self.chip.get(where)

    def _accesses(self, execution: Execution) -> Iterator[_Access]:
        index, offsets, accumulate, changed = execution.issued
        static = changed or self.statics[index]
        for view, offset, kind in zip(static.descriptors, offsets, static.access):
            if view is None or not view.elements:
                continue
            reads = kind in ("r", "rmw") or (kind == "rw" and accumulate)
            yield _Access(view, footprint_of(view), view.base + offset, reads, kind != "r")

    def _inside(self, execution: Execution, access: _Access) -> Region | Space | None:
        """Region (DRAM) or memory that holds the access; None, and a hazard, when there is none."""
        low, high = access.base + access.shape.low, access.base + access.shape.high
        space = access.view.space
        key = int(space), low, high
        if key not in self.places:
            self.places[key] = self._holder(space, low, high)
        holder = self.places[key]
        if access.base % access.view.dtype.bytes:
            message = f"{access.view.name} lies at {access.base:#x}, its elements have {access.view.dtype.bytes} bytes"
            self._report(HazardKind.MISALIGNED, message, execution, access, low, high)
        if holder is None:
            limit = "a DRAM region" if space is Space.DRAM else f"{self.sizes[space]} bytes"
            message = f"{access.view.name} does not lie in {limit}"
            self._report(HazardKind.OUT_OF_BOUNDS, message, execution, access, low, high)
        elif access.writes and isinstance(holder, Region) and holder.name not in self.dram:
            message = f"{access.view.name} writes region {holder.name}"
            self._report(HazardKind.READ_ONLY, message, execution, access, low, high)
        return holder

    def _holder(self, space: Space, low: int, high: int) -> Region | Space | None:
        if space is not Space.DRAM:
            return space if low >= 0 and high <= self.sizes[space] else None
        for region in self.program.regions:
            if region.base <= low and high <= region.base + region.size:
                return region
        return None

    def _initialised(self, execution: Execution, access: _Access, written: WrittenBytes) -> bool:
        """Whether all bytes have been written; a hazard when not."""
        missing = written.missing(access.shape, access.base)
        if missing:
            low, high = access.base + access.shape.low, access.base + access.shape.high
            verb = "accumulates onto" if access.writes else "reads"
            message = f"{access.view.name} {verb} {missing} bytes that nothing has written"
            self._report(HazardKind.UNINITIALISED, message, execution, access, low, high)
        return not missing

    def _type(self, execution: Execution, access: _Access) -> None:
        other = self.types.other(access.shape, access.base, access.view.dtype)
        if other is not None:
            low, high = access.base + access.shape.low, access.base + access.shape.high
            verb = "accumulates onto" if access.writes else "reads"
            message = f"{access.view.name} {verb} {other} as {access.view.dtype}"
            self._report(HazardKind.RETYPED, message, execution, access, low, high)

    def _races(self, execution: Execution, access: _Access) -> None:
        log = self.logs[access.view.space]
        for conflict in log.conflicts(access.shape, access.base, access.writes, execution.clock):
            self._race(execution, access, conflict)

    def _record(self, execution: Execution, access: _Access) -> None:
        log = self.logs[access.view.space]
        if access.reads:
            log.record(access.shape, access.base, False, execution.engine, execution.number)
        if access.writes:
            log.record(access.shape, access.base, True, execution.engine, execution.number)

    def _race(self, execution: Execution, access: _Access, conflict: Conflict) -> None:
        other = self.by_engine[conflict.engine][conflict.number - 1]
        key = HazardKind.RACE, other.issued[0], execution.issued[0]
        if key in self.found:
            return
        theirs = self._overlapping_view(other, access, conflict.wrote)
        parties = (
            self._party(other, theirs.view.name, "writes" if conflict.wrote else "reads"),
            self._party(execution, access.view.name, "writes" if access.writes else "reads"),
        )
        message = f"{parties[0].engine} and {parties[1].engine} touch the same bytes in either order"
        space = access.view.space
        self._add(key, Hazard(HazardKind.RACE, message, parties, space, conflict.low, conflict.high))

    def _overlapping_view(self, other: Execution, access: _Access, wrote: bool) -> _Access:
        """The operand of `other` that clashes with `access`."""
        for theirs in self._accesses(other):
            fits = theirs.writes if wrote else theirs.reads
            same_space = theirs.view.space is access.view.space
            if fits and same_space and overlap(theirs.shape, access.shape, access.base - theirs.base):
                return theirs
        raise AssertionError("a conflict without an overlapping operand")

    def _self_overlap(self, execution: Execution, accesses: list[_Access]) -> None:
        """A destination may be its own source element for element, not shifted or permuted."""
        in_place = isinstance(self.statics[execution.issued[0]].instruction, _IN_PLACE)
        for dst in accesses:
            for src in accesses:
                if dst is src or not dst.writes or src.writes or dst.view.space is not src.view.space:
                    continue
                same = dst.base == src.base and _layout(dst.view) == _layout(src.view)
                if (same and in_place) or not overlap(dst.shape, src.shape, src.base - dst.base):
                    continue
                message = f"{dst.view.name} overlaps {src.view.name}, which is still being read"
                low, high = dst.base + dst.shape.low, dst.base + dst.shape.high
                self._report(HazardKind.SELF_OVERLAP, message, execution, dst, low, high)

    # --- bookkeeping --------------------------------------------------------------------------------------

    def _prune(self, present: Execution) -> None:
        """Forget what the next instruction of every engine knows to be complete; clocks never go back."""
        nexts: list[Clock | None] = [None] * ENGINES
        for engine, executions in enumerate(self.by_engine):
            upcoming = _first_from(executions, present.position)
            nexts[engine] = None if upcoming is None else upcoming.clock
        known = tuple(
            min(
                (clock[engine] for other, clock in enumerate(nexts) if clock is not None and other != engine),
                default=1 << 60,
            )
            for engine in range(ENGINES)
        )
        for log in self.logs.values():
            log.prune(known)

    def _party(self, execution: Execution, descriptor: str, access: str) -> Party:
        index = execution.issued[0]
        label = ENGINE_LABELS[Engine(execution.engine)]
        return Party(index, label, execution.number, descriptor, access, place(self.program, index))

    def _report(
        self, kind: HazardKind, message: str, execution: Execution, access: _Access, low: int, high: int
    ) -> None:
        party = self._party(execution, access.view.name, "writes" if access.writes else "reads")
        key = kind, execution.issued[0], access.view.name
        self._add(key, Hazard(kind, message, (party,), access.view.space, low, high))

    def _add(self, key: tuple[object, ...], hazard: Hazard) -> None:
        self.found.setdefault(key, hazard)


def _layout(view: Descriptor) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    return view.dims, view.strides, view.dtype.bytes


def _first_from(executions: list[Execution], position: int) -> Execution | None:
    """The first execution at or after `position` in program order."""
    low, high = 0, len(executions)
    while low < high:
        middle = (low + high) // 2
        if executions[middle].position < position:
            low = middle + 1
        else:
            high = middle
    return executions[low] if low < len(executions) else None
