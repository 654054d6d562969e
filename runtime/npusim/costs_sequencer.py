"""What the instructions of the sequencer cost, and `q.sync`: cycles of issue and of waiting for single elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npuisa.descriptor import Space
from npuisa.instructions import (
    AluFn,
    DGet,
    DSet,
    Instruction,
    QSync,
    SAlu,
    SBr,
    SemInit,
    SFence,
    SHalt,
    SLd,
    SLi,
    SLoop,
    SSt,
)
from npuisa.program import Program
from npuisa.target import Target

from npusim.cost import Cost
from npusim.costs_dma import latency_cycles

BRANCH_TAKEN_CYCLES = 3
"""Extra cycles of a taken branch: the sequencer refills a three-stage front end (isa design)."""
DIVISION_CYCLES = 33.0
"""Cycles of DIV and REM: a radix-2 divider, one bit per cycle and one to set up (isa design)."""


def _scalar(instruction: Instruction, program: Program, target: Target) -> Cost:
    """1 cycle of issue; a taken branch and the waiting of fences are the simulation's to add."""
    return Cost(useful=1.0)


def _alu(instruction: SAlu, program: Program, target: Target) -> Cost:
    """1 cycle; a division takes `DIVISION_CYCLES`."""
    return Cost(useful=DIVISION_CYCLES if instruction.fn in (AluFn.DIV, AluFn.REM) else 1.0)


def _loop(instruction: SLoop, program: Program, target: Target) -> Cost:
    """1 cycle of issue at the loop's start; the loop unit repeats and moves registers beside issue."""
    return Cost(useful=1.0)


def _load(instruction: SLd, program: Program, target: Target) -> Cost:
    """1 cycle of issue and the memory's latency, for which the sequencer waits; DRAM moves a burst."""
    view = program.descriptors[instruction.src.desc]
    if view.space is not Space.DRAM:
        return Cost(useful=1.0, latency=target.sram.latency_cycles, sram_read=view.bytes, sram_lines=1.0)
    return Cost(useful=1.0, latency=target.dram.latency_cycles, dram_read=target.dram.burst_bytes)


def _store(instruction: SSt, program: Program, target: Target) -> Cost:
    """As a load; a write to DRAM waits for its acknowledgement."""
    view = program.descriptors[instruction.dst.desc]
    if view.space is not Space.DRAM:
        return Cost(useful=1.0, latency=target.sram.latency_cycles, sram_written=view.bytes, sram_lines=1.0)
    return Cost(useful=1.0, latency=latency_cycles(target, write=True), dram_written=target.dram.burst_bytes)


def _sync(instruction: QSync, program: Program, target: Target) -> Cost:
    """One step of the engine's queue."""
    return Cost(useful=1.0)


SEQUENCER_COSTS: dict[type[Instruction], Callable[[Any, Program, Target], Cost]] = {
    SLi: _scalar,
    SBr: _scalar,
    SFence: _scalar,
    SHalt: _scalar,
    SemInit: _scalar,
    DSet: _scalar,
    DGet: _scalar,
    SAlu: _alu,
    SLoop: _loop,
    SLd: _load,
    SSt: _store,
    QSync: _sync,
}
"""The cost function of every instruction here."""
