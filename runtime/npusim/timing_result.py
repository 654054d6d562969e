"""What the cycle model reports: totals, per engine with causes, per group, per instruction, timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor

from npuisa.instructions import Engine

CAUSES: dict[str, str] = {
    "compute": "working at full width",
    "padding": "cells, lanes or burst bytes left over because sizes are not multiples",
    "weight_load": "the array waits for its next stationary tile",
    "fill_drain": "pipeline fill and drain",
    "bank_conflict": "an instruction's own accesses hit a bank more than once, or exceed all banks",
    "sram_bandwidth": "engines together ask for more SRAM lines than the banks deliver",
    "dram_bandwidth": "DMA channels together ask for more than the DRAM delivers",
    "dram_latency": "waiting for the first (or last) bytes of a transfer",
    "issue": "all posts are there, but the sequencer has not issued yet",
    "queue_full": "all posts are there, but the sequencer waits for room in another engine's queue",
    "fence": "all posts are there, but the sequencer waits for all engines to be idle",
    "scalar_access": "all posts are there, but the sequencer waits for an element that it loads or stores",
    "idle": "no instructions left",
}
"""Causes on which cycles are booked, besides `wait_<engine>`: waiting for a post of that engine."""

BUSY_CAUSES = (
    "compute",
    "padding",
    "weight_load",
    "fill_drain",
    "bank_conflict",
    "sram_bandwidth",
    "dram_bandwidth",
    "dram_latency",
)
"""Causes during which an engine works on an instruction."""


def busy_cycles(causes: Mapping[str, int]) -> int:
    """Cycles of work among `causes`."""
    return sum(causes.get(cause, 0) for cause in BUSY_CAUSES)


@dataclass(frozen=True, slots=True)
class EngineTime:
    """One engine: `causes` sum to the program's total; `busy` is the sum of the `BUSY_CAUSES` among them."""

    busy: int
    instructions: int
    causes: dict[str, int]


@dataclass(frozen=True, slots=True)
class GroupTime:
    """One group of the debug map: from its first instruction's start to its last one's completion.

    `cycles` is the part of the program's total that belongs to the group alone: from the completion of
    everything that ended before it to its own end. Over all groups it sums to the end of the last group.
    `causes`: per engine, the cycles that it worked on the group's instructions and waited to start them.
    """

    group: int
    name: str
    nodes: tuple[str, ...]
    start: int
    end: int
    cycles: int
    causes: dict[str, dict[str, int]]

    @property
    def busy(self) -> dict[str, int]:
        """Cycles that each engine works for the group."""
        return {name: busy_cycles(causes) for name, causes in self.causes.items()}

    @property
    def critical_engine(self) -> str:
        """The engine that works longest for this group; empty when none does."""
        busy = self.busy
        return max(busy, key=lambda name: busy[name], default="")


@dataclass(frozen=True, slots=True)
class InstructionTime:
    """All executions of one instruction: how often, and the engine's cycles at work and waiting for it."""

    executions: int
    causes: dict[str, int]

    @property
    def busy(self) -> int:
        """Cycles of work."""
        return busy_cycles(self.causes)

    @property
    def waiting(self) -> int:
        """Cycles in which the engine waited to start it."""
        return sum(self.causes.values()) - self.busy


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One execution: the engine is held from `start` to `free`, the result is complete at `end` (cycles)."""

    index: int
    engine: Engine
    start: float
    free: float
    end: float
    offsets: tuple[int, ...]
    accumulate: bool
    dram_read: int
    dram_written: int
    dram_rates: tuple[tuple[float, float], ...]
    """(cycle, DRAM bytes per cycle from then on, until the next one or `free`)."""


@dataclass(frozen=True, slots=True)
class TimingResult:
    """Result of `timing.simulate_timing`. Cycles of the core clock, bytes."""

    cycles: int
    clock_ghz: float
    engines: dict[str, EngineTime]
    dram_read: int
    dram_written: int
    groups: tuple[GroupTime, ...]
    instructions: tuple[InstructionTime, ...]
    executed: int
    """Dynamic instructions, those of the sequencer included."""
    timeline: tuple[TimelineEntry, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    """What the reader must know of how these cycles came about; empty in most cases."""

    @property
    def seconds(self) -> float:
        """Time at the target's clock."""
        return self.cycles / self.clock_ghz * 1e-9

    @property
    def critical_engine(self) -> str:
        """The queued engine that is busy longest: it bounds the program."""
        queued = {name: engine.busy for name, engine in self.engines.items() if name != "seq"}
        return max(queued, key=lambda name: queued[name], default="")

    def lost_cycles(self) -> dict[str, int]:
        """Why the critical engine did not compute, in cycles by cause; sums to `cycles` minus its compute."""
        causes = self.engines[self.critical_engine].causes
        return {cause: cycles for cause, cycles in causes.items() if cause != "compute" and cycles}


def round_to_total(parts: Mapping[str, float], total: int) -> dict[str, int]:
    """Integers close to `parts` that sum to `total` exactly (largest remainder).

    `parts` must sum to within one of `total`; parts that round to 0 are left out.
    """
    rounded = {name: floor(value) for name, value in parts.items()}
    missing = total - sum(rounded.values())
    order = sorted(parts, key=lambda name: rounded[name] - parts[name])
    for step in range(abs(missing)):
        name = order[step % len(order)] if missing > 0 else order[-1 - step % len(order)]
        rounded[name] += 1 if missing > 0 else -1
    return {name: value for name, value in rounded.items() if value}
