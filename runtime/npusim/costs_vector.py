"""Cycles of the vector engine and the output stage, for one instruction or for arrays of sizes.

L lanes; 64-bit element types run at half rate; `depth` (pipeline fill) is paid once per instruction because
the next instruction may read what this one wrote. Intervals per micro-operation class come from the target.
Sources: the cycles column of the instruction table's design (docs/isa), which follows programmable
vector units with one issue per initiation interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from npuisa.dtypes import DType
from npuisa.instructions import NormFn
from npuisa.kernel import MICRO_BY_NAME, Kernel, MicroClass, MicroType
from npuisa.target import Target

from npusim.banks import sram_bytes_per_cycle
from npusim.cost import Count, ceil_div

_WIDE = (MicroType.F64, MicroType.I64)


@dataclass(frozen=True, slots=True)
class VectorCycles:
    """Cycles by cause, each a number or an array. `vectors` x `pace` is the time the lanes take."""

    useful: Count
    padding: Count
    fill_drain: Count

    @property
    def total(self) -> Count:
        """Cycles of the instruction; the engine is held for all of them."""
        return self.useful + self.padding + self.fill_drain


def half_rate(*dtypes: DType) -> int:
    """2 where a 64-bit type takes part, else 1: cycles per vector of lanes."""
    return 2 if any(dtype.bits == 64 for dtype in dtypes) else 1


def kernel_interval(target: Target, kernel: Kernel, fused_ops: int = 1) -> float:
    """Cycles per vector of lanes: the sum over micro-operations of their class's interval (64 bits: twice).

    `const` is an immediate on the operand bus and costs nothing; a kernel without work moves data at 1.
    A unit that applies `fused_ops` of the operations at the ALU's interval in one pass (scale, offset, clamp, table
    look-up on the way out) takes one interval for so many.
    """
    counts = Counter[MicroClass]()
    for op in kernel.ops:
        if op.opcode != "const":
            counts[MICRO_BY_NAME[op.opcode].cost] += 2 if op.type in _WIDE else 1
    return passes_interval(target, counts, fused_ops)


def passes_interval(target: Target, counts: Mapping[MicroClass, int], fused_ops: int) -> float:
    """`kernel_interval` of so many operations by class."""
    alu = target.interval(MicroClass.ALU)
    quick = sum(count for cost, count in counts.items() if target.interval(cost) <= alu)
    slow = sum(count * target.interval(cost) for cost, count in counts.items() if target.interval(cost) > alu)
    return max(ceil(quick / fused_ops) * alu + slow, 1.0)


def lanes_parts(lanes: int, depth: int, elements: Count, pace: float) -> VectorCycles:
    """`ceil(elements / lanes)` vectors, each `pace` cycles, after a fill of `depth`."""
    vectors = ceil_div(elements, lanes)
    useful = elements / lanes * pace
    return VectorCycles(useful, np.ceil(vectors * pace) - useful, depth)


def map_cycles(
    target: Target, elements: Count, interval: float, *, output_stage: bool = False, sram_bytes: float = 0.0
) -> Count:
    """`v.map` or `out.store` of `elements`: ceil(E / L) x pace + depth; see `kernel_interval`.

    `sram_bytes` per element (all operands in SRAM and the result) bound the pace by what the banks deliver.
    """
    lanes = target.output.lanes if output_stage else target.vector.lanes
    pace = max(interval, lanes * sram_bytes / sram_bytes_per_cycle(target))
    return lanes_parts(lanes, target.vector.depth, elements, pace).total


def _rows_parts(
    target: Target, rows: Count, length: Count, pace: float, tree: float, strided: Count
) -> VectorCycles:
    """Work along rows of `length` by the faster of two lane mappings.

    Along the row: rows x (ceil(length / L) x pace + tree), `tree` cycles to combine the lanes. Across rows:
    ceil(rows / L) x length x max(pace, strided), each lane keeps a row to itself and needs no tree, but its
    accesses lie a row apart and take `strided` SRAM cycles per vector.
    """
    lanes = target.vector.lanes
    along = rows * (ceil_div(length, lanes) * pace + tree)
    across = ceil_div(rows, lanes) * length * np.maximum(pace, strided)
    useful = rows * length / lanes * pace
    return VectorCycles(useful, np.ceil(np.minimum(along, across)) - useful, target.vector.depth)


def _tree(target: Target, pace: float) -> float:
    return ceil(log2(target.vector.lanes)) * pace if target.vector.lanes > 1 else 0.0


def reduce_parts(
    target: Target,
    kept: Count,
    reduced: Count,
    innermost: bool,
    wide: int,
    strided: Count,
    behind: Count | None = None,
) -> VectorCycles:
    """`kept` results of `reduced` elements each.

    innermost=False: the innermost axes are kept, `behind` elements of them (default: all that is kept); lanes run
    along these. Rows of L or more take ceil(behind / L) vectors; of shorter ones floor(L / behind) share a vector,
    and the partial results are combined by a tree at the end. innermost=True: rows of `reduced` elements (see
    `_rows_parts`), tree of log2 L.
    """
    lanes, pace = target.vector.lanes, target.interval(MicroClass.ALU) * wide
    if innermost:
        return _rows_parts(target, kept, reduced, pace, _tree(target, pace), strided)
    along = np.maximum(kept if behind is None else behind, 1)
    sharing = np.clip(lanes // along, 1, np.maximum(reduced, 1))
    vectors = ceil_div(reduced, sharing) * ceil_div(along, lanes) + np.ceil(np.log2(sharing))
    useful = kept * reduced / lanes * pace
    return VectorCycles(useful, np.ceil(kept // along * vectors * pace) - useful, target.vector.depth)


def reduce_cycles(
    target: Target,
    kept: Count,
    reduced: Count,
    *,
    innermost: bool,
    wide: int = 1,
    strided: Count = 1,
    behind: Count | None = None,
) -> Count:
    """Cycles of `v.reduce`; `strided` = SRAM cycles of L elements that lie a row apart; see `reduce_parts`."""
    return reduce_parts(target, kept, reduced, innermost, wide, strided, behind).total


def norm_parts(
    target: Target, rows: Count, length: Count, fn: NormFn, wide: int, strided: Count
) -> VectorCycles:
    """Softmax in three passes over each row: maximum; subtract, exponential, add up; scale (log: subtract).

    Per element 4 ALU steps and one exponential; per row two trees and one division (log: one logarithm).
    """
    alu = target.interval(MicroClass.ALU) * wide
    special = target.interval(MicroClass.TRANSCENDENTAL) * wide
    last = special if fn is NormFn.LOG_SOFTMAX else target.interval(MicroClass.DIV) * wide
    return _rows_parts(target, rows, length, 4 * alu + special, 2 * _tree(target, alu) + last, 3 * strided)


def norm_cycles(
    target: Target,
    rows: Count,
    length: Count,
    fn: NormFn = NormFn.SOFTMAX,
    *,
    wide: int = 1,
    strided: Count = 1,
) -> Count:
    """Cycles of `v.norm` over `rows` rows of `length`."""
    return norm_parts(target, rows, length, fn, wide, strided).total


def window_parts(target: Target, outputs: Count, window: Count, wide: int) -> VectorCycles:
    """A lane per output, one ALU step per window position: ceil(outputs / L) x window + depth."""
    lanes, pace = target.vector.lanes, target.interval(MicroClass.ALU) * wide
    useful = outputs * window / lanes * pace
    return VectorCycles(
        useful, np.ceil(ceil_div(outputs, lanes) * window * pace) - useful, target.vector.depth
    )


def window_cycles(target: Target, outputs: Count, window: Count, *, wide: int = 1) -> Count:
    """Cycles of `v.window` with `window` = size_a x size_b positions."""
    return window_parts(target, outputs, window, wide).total


def dwconv_cycles(target: Target, outputs: Count, window: Count, *, wide: int = 1) -> Count:
    """Cycles of `v.dwconv`: one multiply-add per lane and window position, as `window_cycles`."""
    return window_parts(target, outputs, window, wide).total
