"""Cycles of a DMA transfer, for one instruction or for arrays of sizes.

DRAM moves whole aligned bursts: a contiguous run costs every burst that it touches, so one that starts inside a
burst may touch one more. One channel reaches bw_eff = min(peak, burst x outstanding x efficiency / latency): it
keeps `outstanding` bursts in flight, each `latency` cycles long (Vela's model of the Ethos-U85 AXI ports), reads and
writes with their own figures. Channels that are active together share the peak (`timing.py`). A channel's SRAM
port is as many bank lines wide as its DRAM bandwidth fills, at least one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd, inf, prod

import numpy as np
import numpy.typing as npt
from npuisa.descriptor import Descriptor, Space
from npuisa.target import Target

from npusim.cost import Cost, Count, Traffic, ceil_div
from npusim.footprint import grid_in_order
from npusim.register_steps import Values

FIXED: Values = (0, 0)
"""No register moves the operand."""


def channel_bytes_per_cycle(target: Target, *, write: bool = False) -> float:
    """bw_eff: DRAM bytes per cycle that one channel alone reaches."""
    dma, dram = target.dma, target.dram
    in_flight = (dma.outstanding_writes or dma.outstanding) if write else dma.outstanding
    limit = dram.max_writes if write else dram.max_reads
    in_flight = min(in_flight, limit) if limit else in_flight
    latency = latency_cycles(target, write=write)
    if latency == 0:
        return target.dram_bytes_per_cycle
    return min(target.dram_bytes_per_cycle, dram.burst_bytes * in_flight * dma.efficiency / latency)


def port_bytes_per_cycle(target: Target) -> tuple[float, float]:
    """DRAM bytes per cycle that all channels together reach, reading and writing: bursts in flight / latency."""

    def reached(limit: int, latency: int) -> float:
        return target.dram.burst_bytes * limit * target.dma.efficiency / latency if limit and latency else inf

    return (
        reached(target.dram.max_reads, latency_cycles(target, write=False)),
        reached(target.dram.max_writes, latency_cycles(target, write=True)),
    )


def latency_cycles(target: Target, *, write: bool) -> int:
    """From a request to its data (read) or acknowledgement (write)."""
    written = target.dram.write_latency_cycles
    return written if write and written >= 0 else target.dram.latency_cycles


def burst_bytes(target: Target, runs: Count, run_bytes: Count, grain: Count | None = None) -> Count:
    """Expected bytes on the DRAM interface for `runs` contiguous runs of `run_bytes` each.

    Runs start at multiples of `grain` bytes, evenly spread over the offsets inside a burst; by default every run
    starts with a burst. A run then touches (run - gcd(grain, burst)) / burst + 1 bursts on average, rounded up to
    the multiple that is exact when runs start and end at multiples of the grain.
    """
    burst = target.dram.burst_bytes
    if grain is None:
        return runs * ceil_div(run_bytes, burst) * burst
    step = np.gcd(grain, burst)
    return runs * (ceil_div(run_bytes, step) * step - step + burst)


def dma_cycles(
    target: Target,
    runs: Count,
    run_bytes: Count,
    sram_runs: Count | None = None,
    sram_run_bytes: Count | None = None,
) -> Count:
    """Cycles of one transfer alone between DRAM (`runs` x `run_bytes`) and SRAM (default: the same runs)."""
    return target.dram.latency_cycles + dma_stream_cycles(target, runs, run_bytes, sram_runs, sram_run_bytes)


def dma_stream_cycles(
    target: Target,
    runs: Count,
    run_bytes: Count,
    sram_runs: Count | None = None,
    sram_run_bytes: Count | None = None,
    *,
    write: bool = False,
    grain: Count | None = None,
) -> Count:
    """Cycles one transfer adds to a sequence in the same direction on one channel: the latency is hidden."""
    dram = burst_bytes(target, runs, run_bytes, grain) / channel_bytes_per_cycle(target, write=write)
    lines = local_cycles(
        target,
        runs if sram_runs is None else sram_runs,
        run_bytes if sram_run_bytes is None else sram_run_bytes,
    )
    return np.maximum(dram, lines)


def local_cycles(target: Target, runs: Count, run_bytes: Count) -> Count:
    """Cycles of the SRAM side of a transfer: whole lines, a run starts on a line of its own."""
    return np.ceil(runs * ceil_div(run_bytes, target.sram.bank_bytes) / port_lines(target))


def port_lines(target: Target) -> int:
    """SRAM lines that one channel moves per cycle."""
    return max(ceil(channel_bytes_per_cycle(target) / target.sram.bank_bytes), 1)


def copy_cost(
    target: Target, dst: Descriptor, src: Descriptor, dst_moved: Values = FIXED, src_moved: Values = FIXED
) -> Cost:
    """Cost of `dma.copy`: the better of walking along the source's and the destination's bytes.

    `dst_moved` and `src_moved`: what registers add to the operands' addresses.
    """
    walks = (_walk_cost(target, (dst, dst_moved), (src, src_moved), order) for order in _orders(dst, src))
    return min(walks, key=lambda cost: cost.total)


def fill_cost(target: Target, dst: Descriptor, moved: Values = FIXED) -> Cost:
    """Cost of `dma.fill`: the destination's side of a copy."""
    return _walk_cost(target, (dst, moved), None, next(_orders(dst)))


def _orders(*views: Descriptor) -> Iterator[tuple[int, ...]]:
    """Axis orders, innermost first, that follow the bytes of each view."""
    for view in views:
        axes = range(len(view.dims) - 1, -1, -1)
        yield tuple(sorted(axes, key=lambda axis: (abs(view.strides[axis]), view.dims[axis] != 1)))


Placed = tuple[Descriptor, Values]
"""A view, and what a register adds to its address."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a transfer: bytes on the DRAM interface, or lines of the SRAM; the other is 0."""

    burst_bytes: int = 0
    lines: int = 0


def _side(target: Target, placed: Placed, order: tuple[int, ...]) -> _Side:
    view, (start, step) = placed
    grid, run, low = grid_in_order(view.dims, view.strides, view.dtype.bytes, order)
    runs = prod(count for count, _ in grid) if run else 0
    if view.space is Space.DRAM:
        burst = target.dram.burst_bytes
        touched = bursts_touched(burst, (view.base + start + low) % burst, gcd(step, burst), grid, run)
        return _Side(burst_bytes=round(touched * burst))
    return _Side(lines=runs * ceil(run / target.sram.bank_bytes))


@lru_cache(maxsize=65536)
def bursts_touched(burst: int, base: int, grain: int, grid: tuple[tuple[int, int], ...], run: int) -> float:
    """Aligned bursts that the runs of a grid of (count, stride in bytes) touch; `base` and strides count mod burst.

    A register that moves the base by multiples of `grain` (a divisor of the burst) meets all offsets that far apart
    equally often; the mean is given.
    """
    if not run:
        return 0.0
    starts = _spread(burst, base, grain)
    for count, stride in grid:
        starts = _convolved(starts, count, stride % burst)
    touched = (np.arange(burst) + run - 1) // burst + 1
    return float(starts @ touched)


def _spread(burst: int, base: int, step: int) -> npt.NDArray[np.float64]:
    """Offsets `base` plus multiples of `step`, equally likely."""
    offsets = np.zeros(burst)
    offsets[base % step :: step] = step / burst
    return offsets


def _convolved(starts: npt.NDArray[np.float64], count: int, stride: int) -> npt.NDArray[np.float64]:
    """Runs by offset, when each is repeated `count` times, `stride` bytes apart (mod burst)."""
    burst = len(starts)
    period = burst // gcd(stride, burst)
    whole, rest = divmod(count, period)
    result = np.zeros(burst)
    for index in range(min(count, period)):
        result += (whole + (index < rest)) * np.roll(starts, index * stride)
    return result


def _walk_cost(target: Target, dst: Placed, src: Placed | None, order: tuple[int, ...]) -> Cost:
    to, off = _side(target, dst, order), _Side() if src is None else _side(target, src, order)
    views = [dst[0]] if src is None else [dst[0], src[0]]
    on_chip = {view is dst[0]: view.bytes for view in views if view.space is not Space.DRAM}
    width = port_lines(target)
    busy = float(ceil(max(to.lines, off.lines) / width))
    moved = _dram_cycles(target, off.burst_bytes, to.burst_bytes)
    if moved == 0:
        ideal = float(ceil(max(on_chip.values(), default=0) / (target.sram.bank_bytes * width)))
        cycles = {"useful": ideal, "bank_conflict": max(busy - ideal, 0.0)}
    else:
        payload = [min(side.burst_bytes, view.bytes) for side, view in zip((to, off), views)]
        useful = _dram_cycles(target, payload[1] if src is not None else 0, payload[0])
        latency = latency_cycles(target, write=not off.burst_bytes)
        cycles = {"useful": useful, "padding": moved - useful, "bank_conflict": max(busy - moved, 0.0)}
        cycles["latency"] = float(latency)
    return Cost(
        **cycles,
        dram_read=off.burst_bytes,
        dram_written=to.burst_bytes,
        sram_read=on_chip.get(False, 0),
        sram_written=on_chip.get(True, 0),
        sram_lines=float(to.lines + off.lines),
        traffic=_traffic(dst[0], None if src is None else src[0]),
    )


def _dram_cycles(target: Target, read: int, written: int) -> float:
    return read / channel_bytes_per_cycle(target) + written / channel_bytes_per_cycle(target, write=True)


def _traffic(dst: Descriptor, src: Descriptor | None) -> Traffic:
    reads = src is not None and src.space is Space.DRAM
    if dst.space is Space.DRAM:
        return Traffic.DRAM if reads else Traffic.STORE
    return Traffic.LOAD if reads else Traffic.LOCAL
