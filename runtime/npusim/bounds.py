"""How few cycles a program could take on a target: its roofline.

This is the bound of the program as it stands: useless work that a compiler put into it raises it. What the model
itself asks for is the compiler's to know (`npucc.model_bound`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from npuisa.descriptor import Descriptor, Space
from npuisa.instructions import DmaGather, DmaScatter, MxConv, MxDwconv, MxGemm
from npuisa.program import Program, RegionKind
from npuisa.target import Target

from npusim.costs_matrix import matrix_rate
from npusim.descriptor_table import DescriptorTable
from npusim.footprint import footprint_of
from npusim.sequence import StaticInstruction, decode, dynamic_stream
from npusim.windows import real_macs

_PORTS = (RegionKind.INPUT, RegionKind.OUTPUT)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lower bounds. `macs` are those of the matrix engine with real data: padding zeros are not counted."""

    macs: int
    mac_cycles: int
    """Cycles of those MACs with every cell busy in every cycle."""
    port_bytes: int
    """Bytes of inputs and outputs, each once (at most what the program moves of each)."""
    constant_bytes: int
    """Bytes of constants, likewise."""
    dram_cycles: int
    """Cycles of the compulsory bytes at peak bandwidth."""

    @property
    def compulsory_bytes(self) -> int:
        """Bytes of inputs, outputs and constants, each once."""
        return self.port_bytes + self.constant_bytes

    @property
    def cycles(self) -> int:
        """No execution of this program is faster: the greater of the two."""
        return max(self.mac_cycles, self.dram_cycles)


def bounds(program: Program, target: Target, executions: Sequence[int] | None = None) -> Bounds:
    """Lower bounds of `program` on `target`.

    `executions` says how often each instruction runs (a timing result knows); without it the sequencer is run
    once, no engine. A register moves an operand inside the region that its descriptor's base lies in. Instructions
    whose descriptors `d.set` may change are not counted: how much they do is not known here.
    """
    statics = decode(program)
    if executions is None:
        counts = Counter(issued.pc for issued in dynamic_stream(program, statics))
        executions = [counts[index] for index in range(len(statics))]
    bases = sorted((region.base, position) for position, region in enumerate(program.regions))
    starts = [base for base, _ in bases]
    moved: defaultdict[int, int] = defaultdict(int)
    macs, mac_cycles = 0, 0.0
    table = DescriptorTable(program)
    for static, times in zip(statics, executions):
        if not times or table.may_change(static):
            continue
        one_macs, one_cycles = _mac_work(static, target)
        macs += times * one_macs
        mac_cycles += times * one_cycles
        for view in _dram_operands(static):
            place = bisect_right(starts, view.byte_range()[0]) - 1
            moved[bases[place][1] if place >= 0 else -1] += times * _moved_bytes(static, view)
    ports, constants = (
        sum(
            min(region.size, moved[position])
            for position, region in enumerate(program.regions)
            if region.kind in kinds
        )
        for kinds in (_PORTS, (RegionKind.CONSTANT,))
    )
    dram_cycles = (ports + constants) / target.dram_bytes_per_cycle
    return Bounds(macs, ceil(mac_cycles - 1e-6), ports, constants, ceil(dram_cycles - 1e-6))


def bound_cycles(program: Program, target: Target) -> int:
    """The greater of all MACs at peak rate and the compulsory DRAM bytes at peak bandwidth, in cycles."""
    return bounds(program, target).cycles


def _moved_bytes(static: StaticInstruction, view: Descriptor) -> int:
    """Bytes of a DRAM operand that one execution moves: of a table that is indexed only as many as are selected."""
    whole = footprint_of(view).bytes
    if not isinstance(static.instruction, DmaGather | DmaScatter):
        return whole
    return min(whole, *(other.bytes for other in static.descriptors[:2] if other is not None))


def _mac_work(static: StaticInstruction, target: Target) -> tuple[int, float]:
    """(MACs, cycles at the array's peak) of one execution."""
    instruction, views = static.instruction, static.descriptors
    if not isinstance(instruction, (MxGemm, MxConv, MxDwconv)):
        return 0, 0.0
    dst, data, weights = views[0], views[1], views[2]
    assert dst is not None and data is not None and weights is not None
    if isinstance(instruction, MxGemm):
        macs = dst.elements * data.dims[-1]
    else:
        macs = real_macs(instruction, dst, data, weights)
    rate = min(matrix_rate(target, view.dtype.name) for view in (data, weights))
    peak = target.cells * rate
    if isinstance(instruction, MxDwconv):
        peak = max(peak, target.matrix.depthwise_macs)
    return macs, macs / peak


def _dram_operands(static: StaticInstruction) -> list[Descriptor]:
    return [view for view in static.descriptors if view is not None and view.space is Space.DRAM]
