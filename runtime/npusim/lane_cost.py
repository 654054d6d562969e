"""From the cycles of lanes to the cost of an instruction: what the SRAM banks add."""

from __future__ import annotations

from npuisa.descriptor import Descriptor
from npuisa.target import Target

from npusim.cost import Cost
from npusim.costs_vector import VectorCycles


def sram_bound(target: Target, busy: float, lines: float) -> float:
    """Cycles by which an instruction's own lines exceed what all banks deliver in `busy` cycles."""
    return max(lines / target.sram.banks - busy, 0.0)


def vector_cost(
    target: Target, parts: VectorCycles, read: int, written: Descriptor, lines: float, access: float = 0.0
) -> Cost:
    """Cost of lane work: the lanes' pace, the worst view's bank accesses (`access` cycles), or all lines together."""
    busy = float(parts.useful) + float(parts.padding)
    return Cost(
        useful=float(parts.useful),
        padding=float(parts.padding),
        fill_drain=float(parts.fill_drain),
        bank_conflict=max(access - busy, sram_bound(target, busy, lines), 0.0),
        sram_read=read,
        sram_written=written.bytes,
        sram_lines=lines,
    )
