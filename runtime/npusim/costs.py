"""What an instruction costs on a target: one function per instruction, and the formulas behind them.

`instruction_cost` serves the cycle model. The formulas (`gemm_cycles`, `dma_cycles`, `map_cycles`, ...) take
sizes or arrays of sizes, so that a scheduler can price thousands of candidate tiles at once with the numbers
that the simulator will charge.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, TypeVar

from npuisa.descriptor import Descriptor
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import (
    BY_MNEMONIC,
    NO_OPERAND,
    DmaCopy,
    DmaFill,
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
    SFence,
    SHalt,
    SLi,
    SLoop,
    VDwconv,
    VMap,
    VNorm,
    VReduce,
    VWindow,
)
from npuisa.program import Program
from npuisa.target import Target

from npusim.banks import access_cycles, sram_bytes_per_cycle, streamed_bytes, view_cycles
from npusim.cost import Cost, Traffic
from npusim.costs_dma import (
    burst_bytes,
    channel_bytes_per_cycle,
    copy_cost,
    dma_cycles,
    dma_stream_cycles,
    fill_cost,
)
from npusim.costs_matrix import (
    MatrixCycles,
    depthwise_cycles,
    depthwise_parts,
    gemm_cycles,
    gemm_parts,
    gemm_sram_bytes,
    gemm_stream_cycles,
    matrix_rate,
)
from npusim.costs_vector import (
    VectorCycles,
    dwconv_cycles,
    half_rate,
    kernel_interval,
    lanes_parts,
    map_cycles,
    norm_cycles,
    norm_parts,
    reduce_cycles,
    reduce_parts,
    window_cycles,
    window_parts,
)
from npusim.matrix_feeds import conv_feeds, gemm_feeds

__all__ = [
    "COSTS",
    "Cost",
    "Traffic",
    "burst_bytes",
    "channel_bytes_per_cycle",
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
    "reduce_cycles",
    "sram_bytes_per_cycle",
    "window_cycles",
]

NO_COST = error_code("NPU-E0420", ExitCode.INTERNAL, "An instruction has no cost function")
BRANCH_TAKEN_CYCLES = 3
"""Extra cycles of a taken branch: the sequencer refills a three-stage front end (isa design)."""

CostFunction = Callable[[Any, Program, Target], Cost]
COSTS: dict[type[Instruction], CostFunction] = {}
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


@_costs(SLi, SAlu, SBr, SFence, SHalt)
def _scalar(instruction: Instruction, program: Program, target: Target) -> Cost:
    """1 cycle of issue; a taken branch and the waiting of fences are the simulation's to add."""
    return Cost(useful=1.0)


@_costs(SLoop)
def _loop(instruction: SLoop, program: Program, target: Target) -> Cost:
    """Free: the loop unit runs beside issue."""
    return Cost()


@_costs(QSync)
def _sync(instruction: QSync, program: Program, target: Target) -> Cost:
    """One step of the engine's queue."""
    return Cost(useful=1.0)


# --- DMA --------------------------------------------------------------------------------------------------


@_costs(DmaCopy)
def _copy(instruction: DmaCopy, program: Program, target: Target) -> Cost:
    return copy_cost(target, program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc])


@_costs(DmaFill)
def _fill(instruction: DmaFill, program: Program, target: Target) -> Cost:
    return fill_cost(target, program.descriptors[instruction.dst.desc])


# --- matrix engine ----------------------------------------------------------------------------------------


def _matrix_cost(parts: MatrixCycles, sram_read: float) -> Cost:
    return Cost(
        useful=float(parts.useful),
        padding=float(parts.padding),
        weight_load=float(parts.weight_load),
        fill_drain=float(parts.fill_drain),
        bank_conflict=float(parts.bank_conflict),
        fill=float(parts.fill),
        latency=float(parts.latency),
        sram_read=int(sram_read),
    )


def _slower_type(target: Target, a: Descriptor, b: Descriptor) -> str:
    """Of the two operand types the one that sets the pace (u8 x i8, ...)."""
    return min(a.dtype.name, b.dtype.name, key=lambda name: matrix_rate(target, name))


@_costs(MxGemm)
def _gemm(instruction: MxGemm, program: Program, target: Target) -> Cost:
    a, b = program.descriptors[instruction.a.desc], program.descriptors[instruction.b.desc]
    (m, k), n, batch = a.dims[-2:], b.dims[-1], prod(a.dims[:-2])
    load, stream = gemm_feeds(target, a, b)
    parts = gemm_parts(target, _slower_type(target, a, b), m, k, n, batch, load, stream)
    return _matrix_cost(parts, float(gemm_sram_bytes(target, m, k, n, batch, a.dtype.bytes, b.dtype.bytes)))


@_costs(MxConv)
def _conv(instruction: MxConv, program: Program, target: Target) -> Cost:
    """Implicit im2col: per group a product with M = n oh ow, K = kh kw ci / groups, N = co / groups."""
    dst, x = program.descriptors[instruction.dst.desc], program.descriptors[instruction.x.desc]
    w = program.descriptors[instruction.w.desc]
    kh, kw, ci, co = w.dims
    m, k, n = prod(dst.dims[:3]), kh * kw * ci, co // instruction.groups
    load, stream = conv_feeds(target, instruction, x, w, dst)
    parts = gemm_parts(target, _slower_type(target, x, w), m, k, n, instruction.groups, load, stream)
    return _matrix_cost(
        parts, float(gemm_sram_bytes(target, m, k, n, instruction.groups, x.dtype.bytes, w.dtype.bytes))
    )


@_costs(MxDwconv)
def _mx_dwconv(instruction: MxDwconv, program: Program, target: Target) -> Cost:
    dst, x = program.descriptors[instruction.dst.desc], program.descriptors[instruction.x.desc]
    w = program.descriptors[instruction.w.desc]
    _slower_type(target, x, w)
    window = w.dims[0] * w.dims[1]
    return _matrix_cost(depthwise_parts(target, dst.elements, window), streamed_bytes(x) + streamed_bytes(w))


# --- output stage and vector engine -----------------------------------------------------------------------


def _vector_cost(
    target: Target, parts: VectorCycles, views: list[Descriptor], written: Descriptor, **sram: int
) -> Cost:
    """Cost of lane work over `views`: a vector takes the lanes' pace or the worst view's bank accesses."""
    busy = float(parts.useful) + float(parts.padding)
    return Cost(
        useful=float(parts.useful),
        padding=float(parts.padding),
        fill_drain=float(parts.fill_drain),
        bank_conflict=max(float(sram.pop("access", 0)) - busy, 0.0),
        sram_read=sum(streamed_bytes(view) for view in views),
        sram_written=written.bytes,
    )


def _present(program: Program, *operands: Operand) -> list[Descriptor]:
    return [program.descriptors[operand.desc] for operand in operands if operand != NO_OPERAND]


def _element_wise(
    target: Target, lanes: int, kernel: int, program: Program, dst: Descriptor, sources: list[Descriptor]
) -> Cost:
    """ceil(E / lanes) x max(interval of the kernel, 2 for 64-bit types, SRAM cycles per vector) + depth."""
    pace = max(
        kernel_interval(target, program.kernels[kernel]),
        float(half_rate(dst.dtype, *(s.dtype for s in sources))),
    )
    parts = lanes_parts(lanes, target.vector.depth, dst.elements, pace)
    in_sram = [view for view in sources if view.space == dst.space]
    worst = max(view_cycles(target, view, lanes) for view in (dst, *in_sram))
    vectors = -(-dst.elements // lanes)
    return _vector_cost(target, parts, in_sram, dst, access=vectors * worst)


@_costs(OutStore)
def _out_store(instruction: OutStore, program: Program, target: Target) -> Cost:
    sources = _present(program, instruction.acc, instruction.s1, instruction.s2, instruction.s3)
    dst = program.descriptors[instruction.dst.desc]
    return _element_wise(target, target.output.lanes, instruction.kernel, program, dst, sources)


@_costs(VMap)
def _map(instruction: VMap, program: Program, target: Target) -> Cost:
    sources = _present(program, instruction.s0, instruction.s1, instruction.s2, instruction.s3)
    dst = program.descriptors[instruction.dst.desc]
    return _element_wise(target, target.vector.lanes, instruction.kernel, program, dst, sources)


@_costs(VReduce)
def _reduce(instruction: VReduce, program: Program, target: Target) -> Cost:
    """Rows and lanes: see `costs_vector.reduce_parts`; the innermost axis longer than 1 decides."""
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    axes = [axis for axis in range(len(src.dims)) if instruction.axes >> axis & 1]
    long_axes = [axis for axis, dim in enumerate(src.dims) if dim > 1]
    innermost = bool(long_axes) and long_axes[-1] in axes
    reduced = prod(src.dims[axis] for axis in axes)
    kept = prod(src.dims) // max(reduced, 1)
    wide = half_rate(dst.dtype, src.dtype)
    parts = reduce_parts(target, kept, reduced, innermost, wide, _strided_access(target, src, axes))
    access = 0 if innermost else -(-src.elements // target.vector.lanes) * view_cycles(target, src, target.vector.lanes)
    return _vector_cost(target, parts, [src], dst, access=access)


def _strided_access(target: Target, src: Descriptor, rows_of: list[int]) -> int:
    """SRAM cycles of one vector whose lanes lie in different rows; `rows_of`: the axes that form a row."""
    kept = [axis for axis in range(len(src.dims)) if axis not in rows_of]
    dims, strides = tuple(src.dims[axis] for axis in kept), tuple(src.strides[axis] for axis in kept)
    return access_cycles(target.sram, dims, strides, src.dtype.bytes, target.vector.lanes)


@_costs(VNorm)
def _norm(instruction: VNorm, program: Program, target: Target) -> Cost:
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    length, rows = src.dims[-1], prod(src.dims[:-1])
    strided = _strided_access(target, src, [len(src.dims) - 1])
    parts = norm_parts(target, rows, length, instruction.fn, half_rate(dst.dtype, src.dtype), strided)
    return _vector_cost(target, parts, [src, src, src], dst)


@_costs(VWindow)
def _window(instruction: VWindow, program: Program, target: Target) -> Cost:
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    window = instruction.size_a * instruction.size_b
    return _windowed(target, dst, src, [], window)


@_costs(VDwconv)
def _v_dwconv(instruction: VDwconv, program: Program, target: Target) -> Cost:
    dst, x = program.descriptors[instruction.dst.desc], program.descriptors[instruction.x.desc]
    w = program.descriptors[instruction.w.desc]
    return _windowed(target, dst, x, [w], w.dims[0] * w.dims[1])


def _windowed(target: Target, dst: Descriptor, src: Descriptor, others: list[Descriptor], window: int) -> Cost:
    """One vector of outputs reads one vector of inputs per window position."""
    lanes = target.vector.lanes
    parts = window_parts(target, dst.elements, window, half_rate(dst.dtype, src.dtype))
    vectors = -(-dst.elements // lanes)
    access = vectors * window * max(view_cycles(target, view, lanes) for view in (src, *others))
    cost = _vector_cost(target, parts, others, dst, access=access)
    read = dst.elements * window * src.dtype.bytes + cost.sram_read
    return Cost(
        cost.useful,
        cost.padding,
        0.0,
        cost.fill_drain,
        cost.bank_conflict,
        sram_read=read,
        sram_written=cost.sram_written,
    )


ENGINE_LABELS = {engine: engine.name.lower() for engine in Engine}
"""Names of engines in reports and causes (`wait_mx`, ...)."""
