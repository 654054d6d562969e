"""Predicted cycles, memory and traffic of every candidate schedule of a problem at once.

The engine formulas are those of the simulator (`npusim.costs`); what is approximated here is their
overlap: the longest engine hides the others, but for the first load of an activation and the last store (weights
have a channel of their own and arrive while the group before still computes). Tiles at the edge count as whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from npuisa.alignment import BUFFER_ALIGNMENT, align
from npuisa.dtypes import dtype_named
from npuisa.target import Target
from npusim import costs
from npusim.cost import Count

from npucc.schedule import indexed
from npucc.schedule.candidates import Ints
from npucc.schedule.problem import Problem, Tensor, is_strided
from npucc.tiling import Access

WORD_BYTES = 8
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One value per candidate; infeasible candidates have infinite `cycles`."""

    cycles: Floats
    sram_bytes: Ints
    acc_bytes: Ints
    dram_bytes: Floats
    acc_depth: Ints
    tiles: Ints
    """Executions of the root's instruction."""
    loops: Ints


def axis_lengths(access: Access, tiles: Ints) -> list[Ints]:
    """Elements along each axis of a tensor's tile."""
    lengths: list[Ints] = []
    for extent, expr in zip(access.shape, access.exprs):
        reach = np.ones(tiles.shape[1], dtype=np.int64)
        for dim, step in expr.terms:
            reach = reach + (tiles[dim] - 1) * (1 if is_strided(expr) else abs(step))
        lengths.append(np.minimum(reach, max(extent, 1)))
    return lengths


def elements(lengths: list[Ints], count: int) -> Ints:
    """Product of the axis lengths; `count` candidates."""
    total = np.ones(count, dtype=np.int64)
    for length in lengths:
        total = total * length
    return total


def contiguous_run(access: Access, lengths: list[Ints], count: int) -> Ints:
    """Elements that lie next to each other in the dense tensor when a tile is read."""
    run, whole = np.ones(count, dtype=np.int64), np.ones(count, dtype=np.bool_)
    for extent, expr, length in reversed(list(zip(access.shape, access.exprs, lengths))):
        if is_strided(expr):
            whole = whole & (length == 1)
        run = np.where(whole, run * length, run)
        whole = whole & (length == extent)
    return run


def executions(access: Access, order: tuple[int, ...], trips: Ints) -> Ints:
    """How often the tile is brought in: all iterations down to the innermost loop that moves it."""
    used = access.dims_used()
    so_far = loads = np.ones(trips.shape[1], dtype=np.int64)
    for dim in order:
        so_far = so_far * trips[dim]
        if dim in used:
            loads = np.where(trips[dim] > 1, so_far, loads)
    return loads


def _floats(value: Count) -> Floats:
    """A formula's result as an array of floats."""
    return np.asarray(value, dtype=np.float64)


class CostModel:
    """Evaluates candidate tile sizes of one problem for one loop order."""

    def __init__(self, problem: Problem, target: Target) -> None:
        self.problem, self.target = problem, target
        self.depths: Mapping[str, int] = {}

    def evaluate(
        self, tiles: Ints, order: tuple[int, ...], sram_budget: int, depths: Mapping[str, int] | None = None
    ) -> Estimate:
        """Estimate all columns of `tiles` (dims x candidates) under a budget of SRAM bytes.

        `depths`: slots per pool where they are given; else two in loops and one outside.
        """
        self.depths = depths or {}
        problem, count = self.problem, tiles.shape[1]
        sizes = np.array([dim.size for dim in problem.dims], dtype=np.int64).reshape(-1, 1)
        trips = -(-sizes // np.maximum(tiles, 1)) if len(problem.dims) else np.ones((0, count), dtype=np.int64)
        trips = np.maximum(trips, 1)
        parallel = self._product(trips, reduction=False, count=count)
        everything = parallel * self._product(trips, reduction=True, count=count)
        sram = np.zeros(count, dtype=np.int64)
        moved, channels = np.zeros(count), {}
        exposed_start = exposed_end = np.zeros(count)
        for tensor in problem.tensors():
            if not tensor.pooled:
                continue
            result = tensor is problem.result
            loads = parallel if result else executions(tensor.access, order, trips)
            lengths = axis_lengths(tensor.access, tiles)
            size = elements(lengths, count) * tensor.element_bytes
            sram += self.depths.get(tensor.label, np.where(loads > 1, 2, 1)) * (
                -(-size // BUFFER_ALIGNMENT) * BUFFER_ALIGNMENT
            )
            run = contiguous_run(tensor.access, lengths, count) * tensor.element_bytes
            transfer, burst_bytes = self._dma(tensor, size, np.maximum(run, 1), write=result)
            moved += loads * burst_bytes
            channel = self._channel(tensor, result)
            channels[channel] = channels.get(channel, 0.0) + loads * transfer
            if result:
                exposed_end = transfer
            elif not tensor.constant:
                exposed_start = np.maximum(exposed_start, transfer)
        if problem.work.kind in (indexed.GATHER, indexed.SCATTER):
            moved += everything * _floats(indexed.root_dram_bytes(problem, self.target, tiles))
            copied = indexed.copied_bytes(problem, tiles)
            moved += parallel * copied
            channels["table"] = parallel * _floats(costs.dma_stream_cycles(self.target, 1, copied))
        acc_bytes, acc_depth, vx_bytes = self._intermediate(tiles, parallel, count)
        sram += vx_bytes + align(WORD_BYTES * problem.workspace)
        engines, tail = self._engines(tiles, parallel, everything, count)
        bandwidth = moved / self.target.dram_bytes_per_cycle
        busiest = np.maximum.reduce([bandwidth, *channels.values(), *engines])
        serial = np.where((acc_depth == 1) & (parallel > 1), sum(engines), 0.0) if len(engines) > 1 else 0.0
        cycles = np.maximum(busiest, serial) + exposed_start + exposed_end + tail
        feasible = (sram <= sram_budget) & (acc_bytes <= self.target.accumulator.bytes)
        loops = (trips > 1).sum(axis=0)
        return Estimate(np.where(feasible, cycles, np.inf), sram, acc_bytes, moved, acc_depth, everything, loops)

    def _product(self, trips: Ints, *, reduction: bool, count: int) -> Ints:
        total = np.ones(count, dtype=np.int64)
        for dim in range(len(self.problem.dims)):
            if self.problem.reduction(dim) == reduction:
                total = total * trips[dim]
        return total

    @staticmethod
    def _channel(tensor: Tensor, result: bool) -> str:
        if result:
            return "out"
        return "constant" if tensor.constant else tensor.label

    def _dma(self, tensor: Tensor, size: Ints, run: Ints, *, write: bool) -> tuple[Floats, Floats]:
        """Cycles one transfer adds to its channel, and the bytes that its bursts move.

        Runs start at multiples of the tensor's rows and of the run itself, so that far apart in a burst.
        """
        runs = size / run
        whole = tensor.access.shape[-1] * tensor.element_bytes if tensor.access.shape else tensor.element_bytes
        grain = np.where(runs > 1, np.gcd(run, max(whole, 1)), run)
        cycles = costs.dma_stream_cycles(self.target, runs, run, write=write, grain=grain)
        return _floats(cycles), _floats(costs.burst_bytes(self.target, runs, run, grain))

    def _intermediate(self, tiles: Ints, parallel: Ints, count: int) -> tuple[Ints, Ints, Ints]:
        """Accumulator bytes, accumulator depth, SRAM bytes of the root's own result."""
        none = np.zeros(count, dtype=np.int64)
        access = self.problem.intermediate
        if access is None:
            return none, none + 1, none
        slot = elements(axis_lengths(access, tiles), count) * dtype_named(access.dtype).bytes
        slot = -(-slot // BUFFER_ALIGNMENT) * BUFFER_ALIGNMENT
        if self.problem.work.engine == "vx":
            return none, none + 1, self.depths.get("acc", 1) * slot
        double = (parallel > 1) & (2 * slot <= self.target.accumulator.bytes)
        depth = np.full(count, self.depths["acc"]) if "acc" in self.depths else np.where(double, 2, 1)
        return depth * slot, depth, none

    def _engines(self, tiles: Ints, parallel: Ints, everything: Ints, count: int) -> tuple[list[Floats], Floats]:
        """Cycles each engine works in all, and the cycles of its last tile (nothing is left to hide it)."""
        problem, target, work = self.problem, self.target, self.problem.work
        output = elements(axis_lengths(problem.result.access, tiles), count)
        root = root_cycles(problem, target, tiles, output)
        if work.kind == "map":
            return [parallel * root], root
        kernel = _floats(
            costs.map_cycles(
                target, output, work.micro_cycles, output_stage=work.engine == "mx", sram_bytes=_sram_bytes(problem)
            )
        )
        if work.engine == "mx":
            return [everything * root, parallel * kernel], kernel
        total = everything * root + (parallel * kernel if work.epilogue else 0.0)
        return [total], root


def root_cycles(problem: Problem, target: Target, tiles: Ints, output: Ints) -> Floats:
    """Cycles of the root's instruction on one tile."""
    work = problem.work
    size = {dim.name: tiles[index] for index, dim in enumerate(problem.dims)}
    one = np.ones_like(output)
    if work.kind == "matmul":
        batch = one
        for name, tile in size.items():
            batch = batch * tile if name.startswith("b") else batch
        return _floats(costs.gemm_stream_cycles(target, work.dtype, size["m"], size["k"], size["n"], batch))
    if work.kind == "conv":
        pixels = size["n"] * size["oh"] * size["ow"]
        window, groups = size["kh"] * size["kw"], size.get("g", one)
        cycles = costs.gemm_stream_cycles(target, work.dtype, pixels, size["ci"], size["co"], groups, window=window)
        return _floats(cycles)
    if work.kind == "depthwise_conv":
        window = size["kh"] * size["kw"]
        cycles = costs.depthwise_cycles if work.engine == "mx" else costs.dwconv_cycles
        return _floats(cycles(target, output, window))
    if work.kind == "window_reduce":
        return _floats(costs.window_cycles(target, output, size["wa"] * size["wb"]))
    if work.kind == "softmax":
        last = tiles[len(problem.dims) - 1]
        return _floats(costs.norm_cycles(target, output // np.maximum(last, 1), last))
    if work.kind in _LINES:
        return _line_cycles(problem, target, size, output)
    if work.kind in (indexed.GATHER, indexed.SCATTER):
        return _floats(indexed.root_cycles(problem, target, tiles))
    if work.kind == "reduce":
        return _reduce_cycles(problem, target, tiles, output)
    return _floats(costs.map_cycles(target, output, work.micro_cycles, sram_bytes=_sram_bytes(problem)))


_LINES = ("argsort", "scan", "compress")


def _line_cycles(problem: Problem, target: Target, size: Mapping[str, Ints], output: Ints) -> Floats:
    """Work on whole lines of the last axis."""
    wide = 2 if dtype_named(problem.work.dtype).bits == 64 else 1
    if problem.work.kind == "scan":
        length = size["line"]
        return _floats(costs.scan_cycles(target, output // np.maximum(length, 1), length, wide=wide))
    count, length = size["count"], size["line"]
    rows = output // np.maximum(count, 1)
    if problem.work.kind == "argsort":
        return _floats(costs.sort_cycles(target, rows, length, count, wide=wide))
    wide = 2 if dtype_named(problem.result.access.dtype).bits == 64 else 1
    return _floats(costs.compress_cycles(target, rows, length, wide=wide))


def _sram_bytes(problem: Problem) -> float:
    """Bytes per element of the result that a kernel reads and writes in SRAM; broadcast operands are held."""
    dims = problem.result.access.dims_used()
    full = [tensor for tensor in problem.operands if dims <= tensor.access.dims_used()]
    if problem.work.kind != "map":
        full = [tensor for tensor in full if tensor.epilogue]
    between = 4 if problem.work.engine == "vx" and problem.intermediate is not None else 0
    return between + sum(tensor.element_bytes for tensor in (*full, problem.result))


def _reduce_cycles(problem: Problem, target: Target, tiles: Ints, output: Ints) -> Floats:
    reduced = np.ones_like(output)
    for index in range(len(problem.dims)):
        reduced = reduced * tiles[index] if problem.reduction(index) else reduced
    last = problem.operands[0].access.exprs[-1] if problem.operands[0].access.exprs else None
    innermost = last is not None and any(problem.reduction(dim) for dim, _ in last.terms)
    behind = np.ones_like(output)
    for expr in reversed(problem.operands[0].access.exprs):
        if any(problem.reduction(dim) for dim, _ in expr.terms):
            break
        for dim, _ in expr.terms:
            behind = behind * tiles[dim]
    return _floats(costs.reduce_cycles(target, output, reduced, innermost=innermost, behind=np.minimum(behind, output)))
