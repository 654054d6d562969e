"""What out.store, v.map, v.reduce, v.norm, v.window and v.dwconv cost: the formulas of `costs_vector` on operands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from npuisa.descriptor import Descriptor
from npuisa.instructions import (
    NO_OPERAND,
    Instruction,
    Operand,
    OutStore,
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
    streamed_bytes,
    vector_access,
    view_access,
    view_lines,
)
from npusim.cost import Cost
from npusim.costs_vector import half_rate, kernel_interval, lanes_parts, norm_parts, reduce_parts, window_parts
from npusim.lane_cost import sram_bound, vector_cost
from npusim.windows import real_share


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


def _out_store(instruction: OutStore, program: Program, target: Target) -> Cost:
    sources = _present(program, instruction.acc, instruction.s1, instruction.s2, instruction.s3)
    dst = program.descriptors[instruction.dst.desc]
    return _element_wise(target, target.output, instruction.kernel, program, dst, sources)


def _map(instruction: VMap, program: Program, target: Target) -> Cost:
    sources = _present(program, instruction.s0, instruction.s1, instruction.s2, instruction.s3)
    dst = program.descriptors[instruction.dst.desc]
    return _element_wise(target, target.vector, instruction.kernel, program, dst, sources)


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


def _norm(instruction: VNorm, program: Program, target: Target) -> Cost:
    """Three passes over the source: see `costs_vector.norm_parts`."""
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    length, rows = src.dims[-1], prod(src.dims[:-1])
    strided = _strided_access(target, src, [len(src.dims) - 1])
    parts = norm_parts(target, rows, length, instruction.fn, half_rate(dst.dtype, src.dtype), strided.cycles)
    lines = 3 * _row_lines(target, src, strided) + view_lines(target, dst, target.vector.lanes)
    return vector_cost(target, parts, 3 * streamed_bytes(src), dst, lines)


def _window(instruction: VWindow, program: Program, target: Target) -> Cost:
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    steps = {instruction.axis_a: instruction.stride_a, instruction.axis_b: instruction.stride_b}
    walked = dst.dims, tuple(stride * steps.get(axis, 1) for axis, stride in enumerate(src.strides))
    return _windowed(target, dst, src, walked, instruction.size_a * instruction.size_b)


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


LANE_COSTS: dict[type[Instruction], Callable[[Any, Program, Target], Cost]] = {
    OutStore: _out_store,
    VMap: _map,
    VReduce: _reduce,
    VNorm: _norm,
    VWindow: _window,
    VDwconv: _v_dwconv,
}
"""The cost function of every instruction here."""
