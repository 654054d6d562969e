"""Cycles of a DMA transfer, for one instruction or for arrays of sizes.

DRAM moves whole bursts: a contiguous run of r bytes costs ceil(r / burst) x burst. One channel reaches
bw_eff = min(peak, burst x outstanding x efficiency / latency): it keeps `outstanding` bursts in flight, each
`latency` cycles long (Vela's model of the Ethos-U85 AXI ports). Channels that are active together share the
peak (`timing.py`). A channel's SRAM port is as many bank lines wide as its DRAM bandwidth fills, at least one.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np
from npuisa.descriptor import Descriptor, Space
from npuisa.target import Target

from npusim.cost import Cost, Count, Traffic, ceil_div
from npusim.footprint import runs_in_order


def channel_bytes_per_cycle(target: Target) -> float:
    """bw_eff: DRAM bytes per cycle that one channel alone reaches."""
    peak = target.dram_bytes_per_cycle
    if target.dram.latency_cycles == 0:
        return peak
    in_flight = target.dram.burst_bytes * target.dma.outstanding * target.dma.efficiency
    return min(peak, in_flight / target.dram.latency_cycles)


def burst_bytes(target: Target, runs: Count, run_bytes: Count) -> Count:
    """Bytes on the DRAM interface for `runs` contiguous runs of `run_bytes` each."""
    return runs * ceil_div(run_bytes, target.dram.burst_bytes) * target.dram.burst_bytes


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
) -> Count:
    """Cycles one transfer adds to a sequence in the same direction on one channel: the latency is hidden."""
    dram = burst_bytes(target, runs, run_bytes) / channel_bytes_per_cycle(target)
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


def copy_cost(target: Target, dst: Descriptor, src: Descriptor) -> Cost:
    """Cost of `dma.copy`: the better of walking along the source's and the destination's bytes."""
    return min((_walk_cost(target, dst, src, order) for order in _orders(dst, src)), key=lambda cost: cost.total)


def fill_cost(target: Target, dst: Descriptor) -> Cost:
    """Cost of `dma.fill`: the destination's side of a copy."""
    return _walk_cost(target, dst, None, next(_orders(dst)))


def _orders(*views: Descriptor) -> Iterator[tuple[int, ...]]:
    """Axis orders, innermost first, that follow the bytes of each view."""
    for view in views:
        axes = range(len(view.dims) - 1, -1, -1)
        yield tuple(sorted(axes, key=lambda axis: (abs(view.strides[axis]), view.dims[axis] != 1)))


def _side(target: Target, view: Descriptor, order: tuple[int, ...]) -> tuple[int, float]:
    """(bytes on the DRAM interface, cycles of SRAM lines) of one side of a transfer; the other one is 0."""
    runs, run = runs_in_order(view.dims, view.strides, view.dtype.bytes, order)
    if view.space is Space.DRAM:
        return int(burst_bytes(target, runs, run)), 0.0
    return 0, float(local_cycles(target, runs, run))


def _walk_cost(target: Target, dst: Descriptor, src: Descriptor | None, order: tuple[int, ...]) -> Cost:
    written, dst_lines = _side(target, dst, order)
    read, src_lines = (0, 0.0) if src is None else _side(target, src, order)
    views = [dst] if src is None else [dst, src]
    payload = sum(view.bytes for view in views if view.space is Space.DRAM)
    on_chip = {view is dst: view.bytes for view in views if view.space is not Space.DRAM}
    lines = max(dst_lines, src_lines)
    if read + written == 0:
        ideal = float(ceil(max(on_chip.values()) / (target.sram.bank_bytes * port_lines(target))))
        cycles = {"useful": ideal, "bank_conflict": lines - ideal}
    else:
        speed = channel_bytes_per_cycle(target)
        useful = min(payload, read + written) / speed
        moved = (read + written) / speed
        cycles = {"useful": useful, "padding": moved - useful, "bank_conflict": max(lines - moved, 0.0)}
        cycles["latency"] = float(target.dram.latency_cycles)
    return Cost(
        **cycles,
        dram_read=read,
        dram_written=written,
        sram_read=on_chip.get(False, 0),
        sram_written=on_chip.get(True, 0),
        traffic=_traffic(dst, src),
    )


def _traffic(dst: Descriptor, src: Descriptor | None) -> Traffic:
    reads = src is not None and src.space is Space.DRAM
    if dst.space is Space.DRAM:
        return Traffic.DRAM if reads else Traffic.STORE
    return Traffic.LOAD if reads else Traffic.LOCAL
