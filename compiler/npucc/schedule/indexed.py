"""Gathers and scatters in the cost model: which way a table goes, and what a tile costs.

A table in DRAM is either brought into the SRAM tile by tile, all of its indexed axis at a time, and looked up by the
vector engine, or stays where it is while a DMA channel moves the selected rows. The second way costs bursts per row,
the first one the whole table.
"""

from __future__ import annotations

import numpy as np
from npuisa.dtypes import dtype_named
from npuisa.target import Target
from npusim.cost import Count
from npusim.costs_indexed import transfer_bytes, transfer_cycles, vector_cycles

from npucc.schedule.candidates import Ints
from npucc.schedule.problem import Problem
from npucc.tiling import TilingSpec

RESIDENT_SHARE = 4
"""A table is brought in only where its thinnest tile fits this often into the SRAM (two slots of it, and the rest)."""

GATHER, SCATTER = "gather", "scatter"


def selects_rows(spec: TilingSpec) -> bool:
    """Whether an index stands for a whole row: it is shared by the elements behind the indexed axis."""
    return not spec.operands[1].exprs[2].terms


def stays_in_dram(kind: str, spec: TilingSpec, target: Target) -> bool:
    """Whether the table (operand 0, and the result of a scatter) is accessed where it lies when that is the DRAM."""
    table = spec.operands[0]
    dtype = dtype_named(table.dtype)
    batches, size, width = table.shape
    thinnest = size * max(dtype.bytes, min(target.sram.bank_bytes, width * dtype.bytes))
    if thinnest * RESIDENT_SHARE > target.sram.bytes:
        return True
    if kind == SCATTER:  # all of the result is written anyway
        return False
    row = width if selects_rows(spec) else 1
    count = spec.result.shape[0] * spec.result.shape[1] * width
    direct = transfer_cycles(target, count // max(row, 1), row * dtype.bytes)
    brought = transfer_cycles(target, batches, size * width * dtype.bytes) + vector_cycles(target, count, row)
    return bool(direct < brought)


def moves_by_dma(problem: Problem) -> bool:
    """Whether the root is an instruction of a DMA channel: its table lies in DRAM and stays there."""
    table = problem.operands[0] if problem.work.kind == GATHER else problem.result
    return table.in_place and table.location == "dram"


def root_cycles(problem: Problem, target: Target, tiles: Ints) -> Count:
    """Cycles of the root's instruction on one tile."""
    work, (elements, row, width) = problem.work, _moved(problem, tiles)
    if not moves_by_dma(problem):
        return vector_cycles(target, elements, row, 2 if width == 8 else 1, work.passes)
    write = work.kind == SCATTER
    return transfer_cycles(target, elements // row, row * width, write=write, passes=work.passes)


def root_dram_bytes(problem: Problem, target: Target, tiles: Ints) -> Count:
    """Bytes that the bursts of the root's instruction move on one tile."""
    elements, row, width = _moved(problem, tiles)
    if not moves_by_dma(problem):
        return np.zeros_like(elements)
    return transfer_bytes(target, elements // row, row * width, problem.work.passes)


def copied_bytes(problem: Problem, tiles: Ints) -> Ints:
    """Bytes that reach a tile of the result before a scatter updates it, and as many that leave it for DRAM to DRAM."""
    if problem.work.kind != SCATTER:
        return np.zeros(tiles.shape[1], dtype=np.int64)
    size = {dim.name: tiles[index] for index, dim in enumerate(problem.dims)}
    sides = (problem.operands[0].location == "dram") + moves_by_dma(problem)
    return sides * size["b"] * size["s"] * size["r"] * problem.result.element_bytes


def _moved(problem: Problem, tiles: Ints) -> tuple[Ints, Ints, int]:
    """Elements of a tile that move by index, contiguous ones per index, bytes of one."""
    size = {dim.name: tiles[index] for index, dim in enumerate(problem.dims)}
    rows = problem.work.rows
    elements = size["b"] * size["n"] * size["r"]
    return elements, np.maximum(size["r"] if rows else np.ones_like(elements), 1), problem.result.element_bytes
