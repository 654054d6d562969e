"""How few cycles a program could take on a target: the roofline that `efficiency` is measured against."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from math import ceil, prod

from npuisa.descriptor import Descriptor, Space
from npuisa.instructions import MxConv, MxDwconv, MxGemm
from npuisa.program import Program, RegionKind
from npuisa.target import Target

from npusim.costs_matrix import matrix_rate
from npusim.footprint import footprint_of
from npusim.sequence import StaticInstruction, decode, dynamic_stream

_COMPULSORY = (RegionKind.INPUT, RegionKind.OUTPUT, RegionKind.CONSTANT)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lower bounds. `macs` counts what the matrix engine is asked to do, padding zeros included."""

    macs: int
    mac_cycles: int
    """Cycles of those MACs with every cell busy in every cycle."""
    compulsory_bytes: int
    """Bytes of inputs, outputs and constants, each once (at most what the program moves of each)."""
    dram_cycles: int
    """Cycles of the compulsory bytes at peak bandwidth."""

    @property
    def cycles(self) -> int:
        """No execution of this program is faster: the greater of the two."""
        return max(self.mac_cycles, self.dram_cycles)


def bounds(program: Program, target: Target) -> Bounds:
    """Lower bounds of `program` on `target`; runs its sequencer once, no engine."""
    statics = decode(program)
    work = [_mac_work(static, target) for static in statics]
    dram = [_dram_operands(static) for static in statics]
    bases = sorted((region.base, position) for position, region in enumerate(program.regions))
    starts = [base for base, _ in bases]
    moved: defaultdict[int, int] = defaultdict(int)
    macs, mac_cycles = 0, 0.0
    for index, offsets, _ in dynamic_stream(program, statics):
        macs += work[index][0]
        mac_cycles += work[index][1]
        for operand, view in dram[index]:
            place = bisect_right(starts, view.byte_range(offsets[operand])[0]) - 1
            moved[bases[place][1] if place >= 0 else -1] += footprint_of(view).bytes
    compulsory = sum(
        min(region.size, moved[position])
        for position, region in enumerate(program.regions)
        if region.kind in _COMPULSORY
    )
    dram_cycles = compulsory / target.dram_bytes_per_cycle
    return Bounds(macs, ceil(mac_cycles - 1e-6), compulsory, ceil(dram_cycles - 1e-6))


def bound_cycles(program: Program, target: Target) -> int:
    """The greater of all MACs at peak rate and the compulsory DRAM bytes at peak bandwidth, in cycles."""
    return bounds(program, target).cycles


def _mac_work(static: StaticInstruction, target: Target) -> tuple[int, float]:
    """(MACs, cycles at the array's peak) of one execution."""
    instruction, views = static.instruction, static.descriptors
    if not isinstance(instruction, (MxGemm, MxConv, MxDwconv)):
        return 0, 0.0
    dst, data, weights = views[0], views[1], views[2]
    assert dst is not None and data is not None and weights is not None
    depth = data.dims[-1] if isinstance(instruction, MxGemm) else prod(weights.dims[:-1])
    macs = dst.elements * depth
    rate = min(matrix_rate(target, view.dtype.name) for view in (data, weights))
    peak = target.matrix.rows * target.matrix.cols * rate
    if isinstance(instruction, MxDwconv):
        peak = max(peak, target.matrix.depthwise_macs)
    return macs, macs / peak


def _dram_operands(static: StaticInstruction) -> list[tuple[int, Descriptor]]:
    return [
        (number, view)
        for number, view in enumerate(static.descriptors)
        if view is not None and view.space is Space.DRAM
    ]
