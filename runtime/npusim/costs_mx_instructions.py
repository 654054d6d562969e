"""What the instructions of the matrix engine cost: the formulas of `costs_matrix` on their operands."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from npuisa.descriptor import Descriptor
from npuisa.instructions import Instruction, MxConv, MxDwconv, MxGemm
from npuisa.program import Program
from npuisa.target import Target

from npusim.banks import streamed_bytes, view_lines
from npusim.cost import Cost
from npusim.costs_matrix import (
    MatrixCycles,
    depthwise_parts,
    gemm_parts,
    gemm_sram_bytes,
    gemm_sram_lines,
    matrix_rate,
)
from npusim.lane_cost import sram_bound
from npusim.matrix_feeds import MatrixFeeds, conv_feeds, gemm_feeds
from npusim.windows import real_share


def _matrix_cost(target: Target, parts: MatrixCycles, sram_read: float, lines: float) -> Cost:
    own = sram_bound(target, float(parts.fill + parts.occupancy), lines)
    return Cost(
        useful=float(parts.useful),
        padding=float(parts.padding),
        weight_load=float(parts.weight_load),
        fill_drain=float(parts.fill_drain),
        bank_conflict=float(parts.bank_conflict) + own,
        fill=float(parts.fill),
        latency=float(parts.latency),
        sram_read=int(sram_read),
        sram_lines=lines,
    )


def _slower_type(target: Target, a: Descriptor, b: Descriptor) -> str:
    """Of the two operand types the one that sets the pace (u8 x i8, ...)."""
    return min(a.dtype.name, b.dtype.name, key=lambda name: matrix_rate(target, name))


def _product(
    target: Target,
    views: tuple[Descriptor, Descriptor],
    sizes: tuple[int, int, int, int, int],
    feeds: MatrixFeeds,
    real: float,
) -> Cost:
    """A product of `sizes` m, k, n, window, batch; `views`: its two operands."""
    (a, b), (m, k, n, window, batch) = views, sizes
    dtype = _slower_type(target, a, b)
    parts = gemm_parts(
        target, dtype, m, k, n, batch, feeds.load.cycles, feeds.stream.cycles,
        window=window, store_conflict=feeds.store, real=real,
    )  # fmt: skip
    depth = k * window
    lines = gemm_sram_lines(target, dtype, m, depth, n, batch, feeds.load.lines, feeds.stream.lines)
    read = gemm_sram_bytes(target, m, depth, n, batch, a.dtype.bytes, b.dtype.bytes)
    return _matrix_cost(target, parts, float(read), float(lines))


def _gemm(instruction: MxGemm, program: Program, target: Target) -> Cost:
    a, b = program.descriptors[instruction.a.desc], program.descriptors[instruction.b.desc]
    dst = program.descriptors[instruction.dst.desc]
    (m, k), n, batch = a.dims[-2:], b.dims[-1], prod(a.dims[:-2])
    feeds = gemm_feeds(target, a, b, dst, matrix_rate(target, _slower_type(target, a, b)))
    return _product(target, (a, b), (m, k, n, 1, batch), feeds, 1.0)


def _conv(instruction: MxConv, program: Program, target: Target) -> Cost:
    """Implicit im2col: per group a product with M = n oh ow, K = kh kw ci / groups, N = co / groups."""
    dst, x = program.descriptors[instruction.dst.desc], program.descriptors[instruction.x.desc]
    w = program.descriptors[instruction.w.desc]
    kh, kw, ci, co = w.dims
    m, n = prod(dst.dims[:3]), co // instruction.groups
    feeds = conv_feeds(target, instruction, x, w, dst, matrix_rate(target, _slower_type(target, x, w)))
    sizes = (m, ci, n, kh * kw, instruction.groups)
    return _product(target, (x, w), sizes, feeds, real_share(instruction, dst, x, w))


def _mx_dwconv(instruction: MxDwconv, program: Program, target: Target) -> Cost:
    dst, x = program.descriptors[instruction.dst.desc], program.descriptors[instruction.x.desc]
    w = program.descriptors[instruction.w.desc]
    _slower_type(target, x, w)
    window = w.dims[0] * w.dims[1]
    parts = depthwise_parts(target, dst.elements, window, real_share(instruction, dst, x, w))
    lines = sum(view_lines(target, view, target.matrix.cols) for view in (x, w))
    return _matrix_cost(target, parts, streamed_bytes(x) + streamed_bytes(w), lines)


MATRIX_COSTS: dict[type[Instruction], Callable[[Any, Program, Target], Cost]] = {
    MxGemm: _gemm,
    MxConv: _conv,
    MxDwconv: _mx_dwconv,
}
"""The cost function of every instruction here."""
