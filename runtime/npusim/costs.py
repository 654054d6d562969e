"""What an instruction costs on a target: one function per instruction, and the formulas behind them.

`instruction_cost` serves the cycle model. The formulas (`gemm_cycles`, `dma_cycles`, `map_cycles`, ...) take
sizes or arrays of sizes, so that a scheduler can price thousands of candidate tiles at once with the numbers
that the simulator will charge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

from npuisa.descriptor import Descriptor, Space
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import (
    BY_MNEMONIC,
    NO_OPERAND,
    DGet,
    DmaCopy,
    DmaFill,
    DSet,
    Engine,
    Instruction,
    MxConv,
    MxDwconv,
    MxGemm,
    Operand,
    OutStore,
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
    VDwconv,
    VMap,
    VNorm,
    VReduce,
    VWindow,
)
from npuisa.program import Program
from npuisa.target import Output, Target, Vector

from npusim.banks import (
    Access,
    Axes,
    accumulator_geometry,
    geometry_of,
    sram_bytes_per_cycle,
    streamed_bytes,
    vector_access,
    view_access,
    view_lines,
)
from npusim.cost import Cost, Traffic
from npusim.costs_dma import (
    burst_bytes,
    channel_bytes_per_cycle,
    copy_cost,
    dma_cycles,
    dma_stream_cycles,
    fill_cost,
    latency_cycles,
)
from npusim.costs_indexed import INDEXED_COSTS
from npusim.costs_matrix import (
    MatrixCycles,
    depthwise_cycles,
    depthwise_parts,
    gemm_cycles,
    gemm_parts,
    gemm_sram_bytes,
    gemm_sram_lines,
    gemm_stream_cycles,
    matrix_rate,
)
from npusim.costs_order import ORDER_COSTS, compress_cycles, scan_cycles, sort_cycles
from npusim.costs_vector import (
    dwconv_cycles,
    half_rate,
    kernel_interval,
    lanes_parts,
    map_cycles,
    norm_cycles,
    norm_parts,
    passes_interval,
    reduce_cycles,
    reduce_parts,
    window_cycles,
    window_parts,
)
from npusim.lane_cost import sram_bound, vector_cost
from npusim.matrix_feeds import MatrixFeeds, conv_feeds, gemm_feeds
from npusim.register_steps import register_values
from npusim.windows import real_share

__all__ = [
    "COSTS",
    "Cost",
    "Traffic",
    "burst_bytes",
    "channel_bytes_per_cycle",
    "compress_cycles",
    "depthwise_cycles",
    "dma_cycles",
    "dma_stream_cycles",
    "dwconv_cycles",
    "gemm_cycles",
    "gemm_parts",
    "gemm_stream_cycles",
    "instruction_cost",
    "kernel_interval",
    "map_cycles",
    "missing_costs",
    "norm_cycles",
    "passes_interval",
    "reduce_cycles",
    "scan_cycles",
    "sort_cycles",
    "sram_bytes_per_cycle",
    "window_cycles",
]

NO_COST = error_code("NPU-E0420", ExitCode.INTERNAL, "An instruction has no cost function")
BRANCH_TAKEN_CYCLES = 3
"""Extra cycles of a taken branch: the sequencer refills a three-stage front end (isa design)."""

CostFunction = Callable[[Any, Program, Target], Cost]
COSTS: dict[type[Instruction], CostFunction] = {**ORDER_COSTS, **INDEXED_COSTS}
_Function = TypeVar("_Function", bound=CostFunction)


def _costs(*classes: type[Instruction]) -> Callable[[_Function], _Function]:
    def register(function: _Function) -> _Function:
        COSTS.update(dict.fromkeys(classes, function))
        return function

    return register


def missing_costs() -> list[str]:
    """Mnemonics of the instruction table that have no cost function."""
    return sorted(name for name, cls in BY_MNEMONIC.items() if cls not in COSTS)


def instruction_cost(instruction: Instruction, program: Program, target: Target) -> Cost:
    """Cost of `instruction`, whose operands are in the tables of `program`, on `target`.

    Static: registers move bases only. Raises NpuError where the target cannot execute it.
    """
    function = COSTS.get(type(instruction))
    if function is None:
        raise NpuError(NO_COST, f"{instruction.mnemonic} has no cost: add it to runtime/npusim/costs.py")
    return function(instruction, program, target)


# --- sequencer --------------------------------------------------------------------------------------------


@_costs(SLi, SAlu, SBr, SFence, SHalt, SemInit, DSet, DGet)
def _scalar(instruction: Instruction, program: Program, target: Target) -> Cost:
    """1 cycle of issue; a taken branch and the waiting of fences are the simulation's to add."""
    return Cost(useful=1.0)


@_costs(SLoop)
def _loop(instruction: SLoop, program: Program, target: Target) -> Cost:
    """1 cycle of issue at the loop's start; the loop unit repeats and moves registers beside issue."""
    return Cost(useful=1.0)


@_costs(SLd)
def _load(instruction: SLd, program: Program, target: Target) -> Cost:
    """1 cycle of issue and the memory's latency, for which the sequencer waits; DRAM moves a burst."""
    view = program.descriptors[instruction.src.desc]
    if view.space is not Space.DRAM:
        return Cost(useful=1.0, latency=target.sram.latency_cycles, sram_read=view.bytes, sram_lines=1.0)
    return Cost(useful=1.0, latency=target.dram.latency_cycles, dram_read=target.dram.burst_bytes)


@_costs(SSt)
def _store(instruction: SSt, program: Program, target: Target) -> Cost:
    """As a load; a write to DRAM waits for its acknowledgement."""
    view = program.descriptors[instruction.dst.desc]
    if view.space is not Space.DRAM:
        return Cost(useful=1.0, latency=target.sram.latency_cycles, sram_written=view.bytes, sram_lines=1.0)
    return Cost(useful=1.0, latency=latency_cycles(target, write=True), dram_written=target.dram.burst_bytes)


@_costs(QSync)
def _sync(instruction: QSync, program: Program, target: Target) -> Cost:
    """One step of the engine's queue."""
    return Cost(useful=1.0)


# --- DMA --------------------------------------------------------------------------------------------------


@_costs(DmaCopy)
def _copy(instruction: DmaCopy, program: Program, target: Target) -> Cost:
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    moved = (register_values(program, instruction, operand.reg) for operand in (instruction.dst, instruction.src))
    return copy_cost(target, dst, src, *moved)


@_costs(DmaFill)
def _fill(instruction: DmaFill, program: Program, target: Target) -> Cost:
    moved = register_values(program, instruction, instruction.dst.reg)
    return fill_cost(target, program.descriptors[instruction.dst.desc], moved)


# --- matrix engine ----------------------------------------------------------------------------------------


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


@_costs(MxGemm)
def _gemm(instruction: MxGemm, program: Program, target: Target) -> Cost:
    a, b = program.descriptors[instruction.a.desc], program.descriptors[instruction.b.desc]
    dst = program.descriptors[instruction.dst.desc]
    (m, k), n, batch = a.dims[-2:], b.dims[-1], prod(a.dims[:-2])
    feeds = gemm_feeds(target, a, b, dst, matrix_rate(target, _slower_type(target, a, b)))
    return _product(target, (a, b), (m, k, n, 1, batch), feeds, 1.0)


@_costs(MxConv)
def _conv(instruction: MxConv, program: Program, target: Target) -> Cost:
    """Implicit im2col: per group a product with M = n oh ow, K = kh kw ci / groups, N = co / groups."""
    dst, x = program.descriptors[instruction.dst.desc], program.descriptors[instruction.x.desc]
    w = program.descriptors[instruction.w.desc]
    kh, kw, ci, co = w.dims
    m, n = prod(dst.dims[:3]), co // instruction.groups
    feeds = conv_feeds(target, instruction, x, w, dst, matrix_rate(target, _slower_type(target, x, w)))
    sizes = (m, ci, n, kh * kw, instruction.groups)
    return _product(target, (x, w), sizes, feeds, real_share(instruction, dst, x, w))


@_costs(MxDwconv)
def _mx_dwconv(instruction: MxDwconv, program: Program, target: Target) -> Cost:
    dst, x = program.descriptors[instruction.dst.desc], program.descriptors[instruction.x.desc]
    w = program.descriptors[instruction.w.desc]
    _slower_type(target, x, w)
    window = w.dims[0] * w.dims[1]
    parts = depthwise_parts(target, dst.elements, window, real_share(instruction, dst, x, w))
    lines = sum(view_lines(target, view, target.matrix.cols) for view in (x, w))
    return _matrix_cost(target, parts, streamed_bytes(x) + streamed_bytes(w), lines)


# --- output stage and vector engine -----------------------------------------------------------------------


def _present(program: Program, *operands: Operand) -> list[Descriptor]:
    return [program.descriptors[operand.desc] for operand in operands if operand != NO_OPERAND]


def _element_wise(
    target: Target, stage: Output | Vector, kernel: int, program: Program, dst: Descriptor, sources: list[Descriptor]
) -> Cost:
    """ceil(E / lanes) x max(interval of the kernel, 2 for 64-bit types, memory cycles per vector) + depth."""
    lanes = stage.lanes
    pace = max(
        kernel_interval(target, program.kernels[kernel], stage.fused_ops),
        float(half_rate(dst.dtype, *(s.dtype for s in sources))),
    )
    parts = lanes_parts(lanes, target.vector.depth, dst.elements, pace)
    in_sram = [view for view in sources if view.space == dst.space]
    worst = max(
        vector_access(
            geometry_of(target.sram) if view.space == dst.space else accumulator_geometry(target),
            (view.dims, view.strides),
            view.dtype.bytes,
            lanes,
        ).cycles
        for view in (dst, *sources)
    )
    vectors = -(-dst.elements // lanes)
    read = sum(streamed_bytes(view) for view in in_sram)
    lines = sum(view_lines(target, view, lanes) for view in (dst, *in_sram))
    return vector_cost(target, parts, read, dst, lines, vectors * worst)


@_costs(OutStore)
def _out_store(instruction: OutStore, program: Program, target: Target) -> Cost:
    sources = _present(program, instruction.acc, instruction.s1, instruction.s2, instruction.s3)
    dst = program.descriptors[instruction.dst.desc]
    return _element_wise(target, target.output, instruction.kernel, program, dst, sources)


@_costs(VMap)
def _map(instruction: VMap, program: Program, target: Target) -> Cost:
    sources = _present(program, instruction.s0, instruction.s1, instruction.s2, instruction.s3)
    dst = program.descriptors[instruction.dst.desc]
    return _element_wise(target, target.vector, instruction.kernel, program, dst, sources)


@_costs(VReduce)
def _reduce(instruction: VReduce, program: Program, target: Target) -> Cost:
    """Rows and lanes: see `costs_vector.reduce_parts`; the innermost axis longer than 1 decides."""
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    axes = [axis for axis in range(len(src.dims)) if instruction.axes >> axis & 1]
    long_axes = [axis for axis, dim in enumerate(src.dims) if dim > 1]
    innermost = bool(long_axes) and long_axes[-1] in axes
    reduced = prod(src.dims[axis] for axis in axes)
    kept = prod(src.dims) // max(reduced, 1)
    behind = prod(src.dims[max((axis for axis in axes if src.dims[axis] > 1), default=-1) + 1 :])
    wide, strided = half_rate(dst.dtype, src.dtype), _strided_access(target, src, axes)
    parts = reduce_parts(target, kept, reduced, innermost, wide, strided.cycles, behind)
    lanes, lines = target.vector.lanes, _row_lines(target, src, strided)
    access = 0.0 if innermost else -(-src.elements // lanes) * view_access(target, src, lanes).cycles
    return vector_cost(target, parts, streamed_bytes(src), dst, lines + view_lines(target, dst, lanes), access)


def _strided_access(target: Target, src: Descriptor, rows_of: list[int]) -> Access:
    """One vector whose lanes lie in different rows; `rows_of`: the axes that form a row."""
    kept = [axis for axis in range(len(src.dims)) if axis not in rows_of]
    dims, strides = tuple(src.dims[axis] for axis in kept), tuple(src.strides[axis] for axis in kept)
    return vector_access(geometry_of(target.sram), (dims, strides), src.dtype.bytes, target.vector.lanes)


def _row_lines(target: Target, src: Descriptor, strided: Access) -> float:
    """Lines of one pass over `src`, along its rows or across them, whichever takes fewer."""
    lanes = target.vector.lanes
    return min(view_lines(target, src, lanes), -(-src.elements // lanes) * strided.lines)


@_costs(VNorm)
def _norm(instruction: VNorm, program: Program, target: Target) -> Cost:
    """Three passes over the source: see `costs_vector.norm_parts`."""
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    length, rows = src.dims[-1], prod(src.dims[:-1])
    strided = _strided_access(target, src, [len(src.dims) - 1])
    parts = norm_parts(target, rows, length, instruction.fn, half_rate(dst.dtype, src.dtype), strided.cycles)
    lines = 3 * _row_lines(target, src, strided) + view_lines(target, dst, target.vector.lanes)
    return vector_cost(target, parts, 3 * streamed_bytes(src), dst, lines)


@_costs(VWindow)
def _window(instruction: VWindow, program: Program, target: Target) -> Cost:
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    steps = {instruction.axis_a: instruction.stride_a, instruction.axis_b: instruction.stride_b}
    walked = dst.dims, tuple(stride * steps.get(axis, 1) for axis, stride in enumerate(src.strides))
    return _windowed(target, dst, src, walked, instruction.size_a * instruction.size_b)


@_costs(VDwconv)
def _v_dwconv(instruction: VDwconv, program: Program, target: Target) -> Cost:
    """Weights are read in every step, unless the window fits into the registers that the lanes have for them."""
    dst, x = program.descriptors[instruction.dst.desc], program.descriptors[instruction.x.desc]
    w = program.descriptors[instruction.w.desc]
    image, row, column, channel = x.strides
    walked = dst.dims, (image, row * instruction.stride_h, column * instruction.stride_w, channel)
    window = w.dims[0] * w.dims[1]
    cost = _windowed(target, dst, x, walked, window)
    held = window <= target.vector.weight_registers
    channels = w.dims[2:], w.strides[2:]
    fetched = vector_access(geometry_of(target.sram), channels, w.dtype.bytes, target.vector.lanes).lines
    vectors = window * (-(-(w.dims[2] if held else dst.elements) // target.vector.lanes))
    lines = cost.sram_lines + vectors * fetched
    busy, real = cost.occupancy - cost.fill_drain, real_share(instruction, dst, x, w)
    return replace(
        cost,
        useful=cost.useful * real,
        padding=cost.padding + cost.useful * (1 - real),
        bank_conflict=cost.bank_conflict + sram_bound(target, busy, lines),
        sram_read=cost.sram_read + (w.elements if held else dst.elements * window) * w.dtype.bytes,
        sram_lines=lines,
    )


def _windowed(target: Target, dst: Descriptor, src: Descriptor, walked: Axes, window: int) -> Cost:
    """One vector of outputs reads one vector of inputs per window position; `walked`: as the outputs step over src."""
    lanes = target.vector.lanes
    parts = window_parts(target, dst.elements, window, half_rate(dst.dtype, src.dtype))
    reads = -(-dst.elements // lanes) * window
    one = vector_access(geometry_of(target.sram), walked, src.dtype.bytes, lanes)
    lines = reads * one.lines + view_lines(target, dst, lanes)
    return vector_cost(target, parts, dst.elements * window * src.dtype.bytes, dst, lines, reads * one.cycles)


ENGINE_LABELS = {engine: engine.name.lower() for engine in Engine}
"""Names of engines in reports and causes (`wait_mx`, ...)."""
