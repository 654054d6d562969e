"""The cost of one instruction: how long it holds its engine, on what, and which memories it moves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy.typing as npt

Count = int | float | npt.NDArray[Any]
"""A size or a number of cycles, or an array of them: the formulas work element by element."""


class Traffic(Enum):
    """Between which memories a DMA instruction moves bytes."""

    NONE = "none"
    LOAD = "load"
    """DRAM to SRAM."""
    STORE = "store"
    """SRAM (or the fill value) to DRAM."""
    DRAM = "dram"
    """DRAM to DRAM: pays both sides."""
    LOCAL = "local"
    """SRAM to SRAM."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cycles of one instruction that has its engine and every memory for itself.

    The engine is held for `occupancy` cycles, preceded by `fill` cycles unless the engine streams without a
    gap from the instruction before; the result is complete (and semaphores are posted) `latency` cycles
    later, while the engine already works on its next instruction.
    """

    useful: float = 0.0
    """Cycles the work would take with every cell or lane (DMA: every byte of a burst) in use."""
    padding: float = 0.0
    """Cycles lost because the work is not a multiple of the cells, lanes or burst."""
    weight_load: float = 0.0
    """Cycles in which the array waits for its next stationary tile (streamed dimension shorter than R)."""
    fill_drain: float = 0.0
    """Cycles of pipeline fill and drain during which the engine can do nothing else."""
    bank_conflict: float = 0.0
    """Cycles lost to its own SRAM accesses: one vector hits a bank twice, or all its lines exceed the banks."""
    fill: float = 0.0
    """First stationary load; hidden when the engine streams back to back."""
    latency: float = 0.0
    """From the end of occupancy to the completion of the result."""
    dram_read: int = 0
    """Bytes, whole bursts."""
    dram_written: int = 0
    """Bytes, whole bursts."""
    sram_read: int = 0
    sram_written: int = 0
    """Payload."""
    sram_lines: float = 0.0
    """Bank cycles: distinct lines over all its accesses, however little of a line is used."""
    traffic: Traffic = Traffic.NONE

    @property
    def occupancy(self) -> float:
        """Cycles for which the engine is held, without `fill`."""
        return self.useful + self.padding + self.weight_load + self.fill_drain + self.bank_conflict

    @property
    def total(self) -> float:
        """Cycles from start to completion on an idle engine with ideal memories."""
        return self.fill + self.occupancy + self.latency

    @property
    def dram_bytes(self) -> int:
        """Bytes moved over the DRAM interface, both directions."""
        return self.dram_read + self.dram_written

    @property
    def sram_bytes(self) -> int:
        """Bytes moved in and out of the SRAM."""
        return self.sram_read + self.sram_written


def ceil_div(value: Count, by: Count) -> Count:
    """`ceil(value / by)` of integers, element by element."""
    return -(-value // by)
