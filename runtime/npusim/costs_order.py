"""Cycles of v.sort, v.scan and v.compress, for one instruction or for arrays of sizes.

Sources: sorting networks, Batcher 1968 (p(p+1)/2 stages for 2^p elements); the k best of n, Shanbhag et al., "Efficient
top-K query processing on massively parallel hardware", SIGMOD 2018 (sort blocks of k, merge, keep the better half);
parallel prefixes, Kogge and Stone 1973 (log2 L steps for L lanes), which also give the lanes their places in a
compaction. One stage or step takes every lane one interval of the ALU; 64-bit types run at half rate.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2, prod
from typing import Any

import numpy as np
from npuisa.descriptor import Descriptor
from npuisa.instructions import NO_OPERAND, Instruction, VCompress, VScan, VSort
from npuisa.kernel import MicroClass
from npuisa.program import Program
from npuisa.target import Target

from npusim.banks import Access, geometry_of, streamed_bytes, vector_access, view_access, view_lines
from npusim.cost import Cost, Count, ceil_div
from npusim.costs_vector import VectorCycles, half_rate
from npusim.lane_cost import vector_cost

_BLOCK_VECTORS = 8
"""Vectors of pairs of key and position that the engine's 16 vector registers hold."""
_PAIR_BYTES = 8


def _bits(count: Count) -> Count:
    """ceil(log2 count), 0 for less than 2."""
    return np.ceil(np.log2(np.maximum(count, 1)))


def _tree(target: Target) -> int:
    return ceil(log2(target.vector.lanes)) if target.vector.lanes > 1 else 0


def sort_parts(
    target: Target, rows: Count, length: Count, count: Count, wide: int, strided: Count = 1
) -> VectorCycles:
    """The first `count` of `length` elements of each row, in order.

    All of them: p(p+1)/2 stages, p = ceil(log2 length), over ceil(length / L) vectors; rows shorter than L share
    vectors. Fewer: blocks of 2^q elements, q = ceil(log2 count), are sorted and merged with the best so far, which
    takes q(q+1)/2 + q + 1 stages; where a vector has several blocks, their best meet in a tree at the end. Across
    rows: each lane compares every element of a row of its own with its `count` best so far, `strided` SRAM cycles per
    vector. The fastest of them.
    """
    lanes, pace = target.vector.lanes, target.interval(MicroClass.ALU) * wide
    p, q = _bits(length), _bits(count)
    tree = np.maximum(_bits(lanes) - q, 0) * (q + 1)
    stages, selected = p * (p + 1) / 2, q * (q + 1) / 2 + q + 1
    vectors = ceil_div(length, lanes)
    whole = ceil_div(rows, np.maximum(lanes // 2**p, 1)) * vectors * stages
    some = rows * (vectors * selected + tree)
    cycles = np.where(count < length, np.minimum(whole, some), whole) * pace
    across = ceil_div(rows, lanes) * length * np.maximum(count * pace, strided)
    cycles = np.minimum(cycles, across)
    useful = rows * length / lanes * np.where(count < length, np.minimum(stages, selected), stages) * pace
    useful = np.minimum(useful, cycles)
    return VectorCycles(useful, np.ceil(cycles) - useful, target.vector.depth)


def sort_cycles(target: Target, rows: Count, length: Count, count: Count, *, wide: int = 1) -> Count:
    """Cycles of `v.sort` of `rows` rows."""
    return sort_parts(target, rows, length, count, wide).total


def scan_parts(target: Target, rows: Count, length: Count, wide: int, strided: Count) -> VectorCycles:
    """Along the row: rows x ceil(length / L), and log2 L steps until the first vector is done. Across rows:
    ceil(rows / L) x length, `strided` SRAM cycles per vector. The faster of both."""
    lanes, pace = target.vector.lanes, target.interval(MicroClass.ALU) * wide
    along = rows * ceil_div(length, lanes) * pace + _tree(target) * pace
    across = ceil_div(rows, lanes) * length * np.maximum(pace, strided)
    useful = rows * length / lanes * pace
    return VectorCycles(useful, np.ceil(np.minimum(along, across)) - useful, target.vector.depth)


def scan_cycles(target: Target, rows: Count, length: Count, *, wide: int = 1, strided: Count = 1) -> Count:
    """Cycles of `v.scan` over `rows` rows."""
    return scan_parts(target, rows, length, wide, strided).total


def compress_parts(target: Target, rows: Count, length: Count, wide: int) -> VectorCycles:
    """rows x ceil(length / L) vectors; log2 L steps (the prefix of the mask) until the first one is placed."""
    lanes, pace = target.vector.lanes, target.interval(MicroClass.ALU) * wide
    cycles = rows * ceil_div(length, lanes) * pace + _tree(target) * pace
    useful = rows * length / lanes * pace
    return VectorCycles(useful, np.ceil(cycles) - useful, target.vector.depth)


def compress_cycles(target: Target, rows: Count, length: Count, *, wide: int = 1) -> Count:
    """Cycles of `v.compress` over `rows` rows."""
    return compress_parts(target, rows, length, wide).total


# --- instructions -----------------------------------------------------------------------------------------


def _rows(view: Descriptor) -> int:
    return prod(view.dims[:-1])


def _memory_passes(target: Target, bits: int, block: int) -> int:
    """How often a sort of 2^bits elements reads and writes its pairs, if 2^block of them fit into the registers.

    Stages of at most that distance run in the registers; of a merge of 2^s elements the s - block wider stages go
    through the memory one by one, and the others together.
    """
    return sum(s - block + 1 for s in range(block + 1, bits + 1))


def _across(target: Target, view: Descriptor) -> Access:
    """One vector whose lanes lie in different lines."""
    lead = view.dims[:-1], view.strides[:-1]
    return vector_access(geometry_of(target.sram), lead, view.dtype.bytes, target.vector.lanes)


def _fetch(target: Target, view: Descriptor) -> Access:
    """SRAM cycles and lines of one pass over `view`, along its lines or across them, whichever takes fewer cycles."""
    lanes = target.vector.lanes
    along = view_access(target, view, lanes).cycles * -(-view.elements // lanes)
    rows, length = _rows(view), view.dims[-1]
    across = _across(target, view)
    if along <= across.cycles * length * -(-rows // lanes):
        return Access(along, view_lines(target, view, lanes))
    vectors = length * -(-rows // lanes)
    return Access(across.cycles * vectors, min(across.lines * vectors, float(view.elements)))


def _sort(instruction: VSort, program: Program, target: Target) -> Cost:
    """Lanes: `sort_parts`; SRAM: src once, the pairs of key and position as often as `_memory_passes` says."""
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    rows, length, count = _rows(src), src.dims[-1], dst.dims[-1]
    parts = sort_parts(target, rows, length, count, half_rate(src.dtype), _across(target, src).cycles)
    block = int(log2(_BLOCK_VECTORS * target.vector.lanes))
    needed = (length if count == length else 2 * count) - 1
    passes = _memory_passes(target, max(needed, 0).bit_length(), block)
    pairs = rows * length * _PAIR_BYTES * half_rate(src.dtype) * passes
    read, written = _fetch(target, src), _fetch(target, dst)
    lines = read.lines + written.lines + 2 * pairs / target.sram.bank_bytes
    return vector_cost(target, parts, streamed_bytes(src) + pairs, dst, lines, max(read.cycles, written.cycles))


def _scan(instruction: VScan, program: Program, target: Target) -> Cost:
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    parts = scan_parts(target, _rows(src), src.dims[-1], half_rate(dst.dtype, src.dtype), _across(target, src).cycles)
    read, written = _fetch(target, src), _fetch(target, dst)
    access = max(read.cycles, written.cycles)
    return vector_cost(target, parts, streamed_bytes(src), dst, read.lines + written.lines, access)


def _compress(instruction: VCompress, program: Program, target: Target) -> Cost:
    read = [program.descriptors[each.desc] for each in (instruction.mask, instruction.src) if each != NO_OPERAND]
    dst, mask = program.descriptors[instruction.dst.desc], read[0]
    parts = compress_parts(target, _rows(mask), mask.dims[-1], half_rate(dst.dtype))
    lines = sum(view_lines(target, view, target.vector.lanes) for view in (dst, *read))
    return vector_cost(target, parts, sum(map(streamed_bytes, read)), dst, lines)


ORDER_COSTS: dict[type[Instruction], Callable[[Any, Program, Target], Cost]] = {
    VSort: _sort,
    VScan: _scan,
    VCompress: _compress,
}
