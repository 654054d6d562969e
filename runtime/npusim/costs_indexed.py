"""Cycles of gathers and scatters, for one instruction or for arrays of sizes.

The cycle model has no values, so it charges what indices cost on average: they fall evenly and independently on the
places of the table.

* DMA: `lat + n x bursts of a row / bw_eff` (the formula of a copy of n runs; Vela's bw_eff, see `costs_dma`): each
  selected row is a run of its own, and a run that is no whole number of bursts pays for all it touches. A combining
  scatter reads what it changes: twice the bursts. Neighbouring rows are not merged.
* Vector engine: `ceil(E / L) x bank conflicts`. L accesses thrown at B banks take as long as the fullest bank: the
  greatest load of L balls in B bins (Gonnet, "Expected length of the longest probe sequence in hash code searching",
  JACM 28(2), 1981; the exact expectation is computed here). Lanes that agree in an index share a line, which the mean
  neglects. Rows that are contiguous for a whole vector are walked like any view. A scatter that combines reads and
  writes each place: two passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from npuisa.descriptor import Descriptor, Space
from npuisa.instructions import DmaGather, DmaScatter, Instruction, ScatterFn, VGather, VScatter
from npuisa.program import Program
from npuisa.target import Target

from npusim.banks import streamed_bytes, view_lines
from npusim.cost import Cost, Count, Traffic, ceil_div
from npusim.costs_dma import (
    burst_bytes,
    channel_bytes_per_cycle,
    dma_stream_cycles,
    latency_cycles,
    port_lines,
)
from npusim.costs_vector import half_rate


@lru_cache(maxsize=256)
def expected_conflict(lanes: int, banks: int) -> float:
    """Mean of the greatest number of `lanes` independent accesses that fall on one of `banks` banks.

    P(no bank has more than k) = lanes! / banks^lanes x [x^lanes] (sum over j <= k of x^j / j!)^banks.
    """
    if banks == 1:
        return float(lanes)
    below = 0.0
    for k in range(1, lanes):
        below += _within(lanes, banks, k)
    return lanes - below


def _within(lanes: int, banks: int, most: int) -> float:
    """Probability that no bank has more than `most` of the accesses: one bank after the other, Poisson terms."""
    # Per bank Poisson with mean lanes / banks, conditioned on the total: the weights stay near 1 for any size.
    mean = lanes / banks
    single = np.zeros(lanes + 1)
    single[0] = np.exp(-mean)
    for j in range(1, min(most, lanes) + 1):
        single[j] = single[j - 1] * mean / j
    total, power, count = np.array([1.0]), single, banks
    while count:
        if count & 1:
            total = np.convolve(total, power)[: lanes + 1]
        power, count = np.convolve(power, power)[: lanes + 1], count >> 1
    exact = float(np.exp(lanes * np.log(lanes) - lanes - sum(np.log(np.arange(1, lanes + 1)))))
    return float(total[lanes]) / exact if len(total) > lanes else 0.0


def vector_cycles(target: Target, elements: Count, row: Count, pace: int = 1, passes: int = 1) -> Count:
    """`v.gather` (or `v.scatter` in `passes` passes) of `elements` in contiguous rows of `row` elements.

    `pace`: cycles per vector of lanes, 2 for 64-bit types. Rows of a vector or more take ceil(row / L) vectors each; of
    shorter ones L / row share a vector and meet in the banks at random.
    """
    lanes = target.vector.lanes
    row = np.maximum(row, 1)
    along = elements / row * ceil_div(row, lanes) * pace
    scattered = ceil_div(elements, lanes) * np.maximum(_conflict(target, np.maximum(lanes // row, 1)), pace)
    return np.ceil(passes * np.minimum(along, scattered)) + target.vector.depth


def _conflict(target: Target, starts: Count) -> Count:
    """`expected_conflict` of so many places per vector."""
    return np.vectorize(lambda n: expected_conflict(int(n), target.sram.banks), otypes=[float])(starts)


def transfer_cycles(target: Target, rows: Count, row_bytes: Count, *, write: bool = False, passes: int = 1) -> Count:
    """Cycles that the rows of a DMA gather or scatter add to a channel; its latency is hidden."""
    return passes * dma_stream_cycles(target, rows, row_bytes, write=write, grain=row_bytes)


def transfer_bytes(target: Target, rows: Count, row_bytes: Count, passes: int = 1) -> Count:
    """Bytes that their bursts move."""
    return passes * burst_bytes(target, rows, row_bytes, row_bytes)


def row_elements(table: Descriptor, indices: Descriptor) -> int:
    """Contiguous elements that one index selects."""
    width = table.dims[2]
    shared = width == 1 or indices.strides[2] == 0
    return width if shared and (width == 1 or table.strides[2] == 1) else 1


@dataclass(frozen=True, slots=True)
class Transfer:
    """The two sides of a DMA gather or scatter: the table whose rows are selected, and the dense other side."""

    table: Descriptor
    dense: Descriptor
    indices: Descriptor
    scatters: bool
    combines: bool = False

    @property
    def row(self) -> int:
        """Elements of a run of the table."""
        return row_elements(self.table, self.indices)

    @property
    def rows(self) -> int:
        """Runs."""
        return self.dense.elements // self.row if self.row else 0

    @property
    def passes(self) -> int:
        """How often the selected places are accessed."""
        return 2 if self.combines else 1


def dma_cost(target: Target, transfer: Transfer) -> Cost:
    """Cost of `dma.gather` and `dma.scatter`."""
    table, dense = transfer.table, transfer.dense
    row_bytes = transfer.row * table.dtype.bytes
    grain = abs(table.strides[1]) * table.dtype.bytes or row_bytes
    far = round(float(burst_bytes(target, transfer.rows, row_bytes, grain))) if table.space is Space.DRAM else 0
    near = int(burst_bytes(target, 1, dense.bytes)) if dense.space is Space.DRAM and dense.elements else 0
    written = far if transfer.scatters else near
    read = near + far * (transfer.passes - 1) if transfer.scatters else far
    lines = _lines(target, transfer)
    busy = float(ceil(lines / port_lines(target)))
    sram_read = _sram_bytes(_sources(transfer))
    sram_written = _sram_bytes([(table.space if transfer.scatters else dense.space, dense.bytes)])
    if not read and not written:
        return Cost(
            useful=busy, sram_read=sram_read, sram_written=sram_written, sram_lines=lines, traffic=Traffic.LOCAL
        )
    moved = _dram_cycles(target, read, written)
    useful = _dram_cycles(target, min(read, dense.bytes), min(written, dense.bytes))
    return Cost(
        useful=useful,
        padding=moved - useful,
        bank_conflict=max(busy - moved, 0.0),
        latency=float(latency_cycles(target, write=not read)),
        dram_read=read,
        dram_written=written,
        sram_read=sram_read,
        sram_written=sram_written,
        sram_lines=lines,
        traffic=(Traffic.DRAM if read else Traffic.STORE) if written else Traffic.LOAD,
    )


def _sources(transfer: Transfer) -> list[tuple[Space, int]]:
    """Memories that are read, with the bytes that are used."""
    used = transfer.dense.bytes
    selected = (transfer.table.space, used * (transfer.passes - 1 if transfer.scatters else 1))
    dense = [(transfer.dense.space, used)] if transfer.scatters else []
    return [selected, *dense, (transfer.indices.space, streamed_bytes(transfer.indices))]


def _sram_bytes(moved: list[tuple[Space, int]]) -> int:
    return sum(size for space, size in moved if space is not Space.DRAM)


def indexed_vector_cost(target: Target, transfer: Transfer) -> Cost:
    """Cost of `v.gather` and `v.scatter`."""
    dense = transfer.dense
    lanes, row = target.vector.lanes, transfer.row
    width = half_rate(dense.dtype)
    busy = float(vector_cycles(target, dense.elements, row, width, transfer.passes)) - target.vector.depth
    useful = min(transfer.passes * dense.elements / lanes * width, busy)
    vectors = transfer.passes * ceil(dense.elements / lanes)
    full = min(float(vectors * width), busy)
    lines = _lines(target, transfer)
    return Cost(
        useful=useful,
        padding=full - useful,
        bank_conflict=max(busy - full, lines / target.sram.banks - full, 0.0),
        fill_drain=target.vector.depth,
        sram_read=streamed_bytes(transfer.indices) + transfer.passes * dense.bytes,
        sram_written=dense.bytes,
        sram_lines=lines,
    )


def _lines(target: Target, transfer: Transfer) -> float:
    """SRAM lines of both sides: whole ones per row of the table, a walk over the others."""
    per_row = ceil(transfer.row * transfer.table.dtype.bytes / target.sram.bank_bytes)
    table = float(transfer.rows * per_row * transfer.passes) if transfer.table.space is not Space.DRAM else 0.0
    walked = [view for view in (transfer.dense, transfer.indices) if view.space is not Space.DRAM]
    return table + sum(view_lines(target, view, target.vector.lanes) for view in walked)


def _dram_cycles(target: Target, read: int, written: int) -> float:
    return read / channel_bytes_per_cycle(target) + written / channel_bytes_per_cycle(target, write=True)


def _transfer(instruction: DmaGather | DmaScatter | VGather | VScatter, program: Program) -> Transfer:
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    indices = program.descriptors[instruction.indices.desc]
    if isinstance(instruction, DmaGather | VGather):
        return Transfer(src, dst, indices, scatters=False)
    return Transfer(dst, src, indices, scatters=True, combines=instruction.fn is not ScatterFn.NONE)


def _dma(instruction: DmaGather | DmaScatter, program: Program, target: Target) -> Cost:
    return dma_cost(target, _transfer(instruction, program))


def _vector(instruction: VGather | VScatter, program: Program, target: Target) -> Cost:
    return indexed_vector_cost(target, _transfer(instruction, program))


INDEXED_COSTS: dict[type[Instruction], Callable[[Any, Program, Target], Cost]] = {
    DmaGather: _dma,
    DmaScatter: _dma,
    VGather: _vector,
    VScatter: _vector,
}
