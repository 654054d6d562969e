"""Cycles of the matrix engine: systolic folds in closed form, for one instruction or for arrays of sizes.

Symbols: R x C array, M x K times K x N product, `rate` MACs per cell and cycle for the operand type, T the
streamed dimension. Per dataflow (stationary operand; what lies on rows, columns; what streams):

| dataflow | rows | columns | streams T | folds |
|---|---|---|---|---|
| ws (weights b) | K | N | M | ceil(K/R) ceil(N/C) |
| is (inputs a) | K | M | N | ceil(K/R) ceil(M/C) |
| os (outputs) | M | N | K | ceil(M/R) ceil(N/C) |

Without shadow registers a fold costs SCALE-Sim's closed form: 2R + C + T - 2 for ws and is, R + C + T - 2
for os, one fold after the other. With shadow registers the next stationary tile loads (os: the last outputs
leave) while the present fold streams: R for the first load (ws, is), max(T, R) per fold, R + C - 2 of drain
at the end. The first load is hidden behind an instruction that streams just before, the drain behind one
that follows. A rate other than 1 scales the streamed time: ceil(T / rate).

Machines that are not plain systolic arrays say so in their target file: K in granules of channels and kernel
elements, several arrays that split M or N, operands that are broadcast instead of rippling through.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.target import Target

from npusim.cost import Count, ceil_div

UNSUPPORTED_TYPE = error_code("NPU-E0421", ExitCode.UNSUPPORTED, "The target's engine does not support this type")


@dataclass(frozen=True, slots=True)
class MatrixCycles:
    """Parts of the cost of a matrix instruction, each a number or an array; see `cost.Cost`."""

    useful: Count
    padding: Count
    weight_load: Count
    fill_drain: Count
    bank_conflict: Count
    fill: Count
    latency: Count

    @property
    def occupancy(self) -> Count:
        """Cycles for which the engine is held when it streams back to back."""
        return self.useful + self.padding + self.weight_load + self.fill_drain + self.bank_conflict

    @property
    def total(self) -> Count:
        """Cycles of the instruction alone."""
        return self.fill + self.occupancy + self.latency


def matrix_rate(target: Target, dtype: str) -> float:
    """MACs per cell and cycle for operands of `dtype`; NpuError where the target does not support it."""
    rate = target.matrix.rates.get(dtype, 0.0)
    if rate <= 0:
        known = ", ".join(sorted(target.matrix.rates))
        message = f"the matrix engine of {target.name} has no rate for {dtype}"
        raise NpuError(UNSUPPORTED_TYPE, message, found=dtype, remedy=f"use one of {known}, or give it a rate")
    return rate


def whole_depth(target: Target, channels: Count, window: Count = 1) -> Count:
    """K = `channels` x `window` rounded up to whole steps: the granule that needs fewest (Vela: a step is 32
    channels of one kernel element, depth first, or 8 channels of four, part kernel first)."""
    depths = [
        ceil_div(channels, deep) * ceil_div(window, wide) * (deep * wide) for deep, wide in target.matrix.k_granules
    ]
    fewest = depths[0]
    for depth in depths[1:]:
        fewest = np.minimum(fewest, depth)
    return fewest


def drain_cycles(target: Target) -> int:
    """From the last operands entering an array to its last result."""
    rows, cols = target.matrix.rows, target.matrix.cols
    if target.matrix.skew == "systolic":
        return rows + cols - 2
    return 0 if target.matrix.dataflow == "os" else ceil(log2(rows))


@dataclass(frozen=True, slots=True)
class Folds:
    """How a product is spread over the arrays: folds of the busiest array, and its streamed steps per fold."""

    folds: Count
    streamed: Count
    readers: Count
    """Arrays that read streams of their own (1: all arrays read the same one)."""


def folds_of(target: Target, m: Count, k: Count, n: Count, batch: Count, split: str) -> Folds:
    """Folds when the arrays split dimension `split` ("m" or "n"); `k` in whole steps."""
    rows, cols, arrays = target.matrix.rows, target.matrix.cols, target.matrix.arrays
    on_rows, on_cols, streamed = {"ws": "knm", "is": "kmn", "os": "mnk"}[target.matrix.dataflow]
    size = {"m": m, "k": k, "n": n}
    row_folds, col_folds = ceil_div(size[on_rows], rows), ceil_div(size[on_cols], cols)
    steps, readers = size[streamed], 1
    if split == on_rows:
        row_folds = ceil_div(row_folds, arrays)
    elif split == on_cols:
        col_folds = ceil_div(col_folds, arrays)
    else:
        steps, readers = ceil_div(steps, arrays), np.minimum(arrays, steps)
    return Folds(batch * row_folds * col_folds, steps, readers)


def gemm_parts(
    target: Target,
    dtype: str,
    m: Count,
    k: Count,
    n: Count,
    batch: Count = 1,
    load_conflict: Count = 1,
    stream_conflict: Count = 1,
    *,
    window: Count = 1,
    store_conflict: Count = 1,
    real: Count = 1,
) -> MatrixCycles:
    """Cost of `batch` products [m, k window] x [k window, n] (conv: per group, batch = groups, k channels).

    `load_conflict` and `stream_conflict` are SRAM cycles per step of the stationary load and per cycle of the
    stream, `store_conflict` accumulator cycles per step (see `matrix_feeds.py`; 1 or less: no conflict). `real`
    is the part of the MACs that are not with padding zeros. Several arrays take the better split.
    Source: module docstring.
    """
    depth = whole_depth(target, k, window)
    useful = batch * m * k * n * window * real / (target.cells * matrix_rate(target, dtype))
    conflicts = np.maximum(load_conflict, 1), np.maximum(stream_conflict, store_conflict)
    splits = target.matrix.arrays_split if target.matrix.arrays > 1 else ("n",)
    found = [
        _parts(target, dtype, folds_of(target, m, depth, n, batch, split), useful, *conflicts) for split in splits
    ]
    return found[0] if len(found) == 1 else _better(found[0], found[1])


def _parts(
    target: Target, dtype: str, folds: Folds, useful: Count, load_conflict: Count, stream_conflict: Count
) -> MatrixCycles:
    rows, rate = target.matrix.rows, matrix_rate(target, dtype)
    stationary = target.matrix.dataflow != "os"
    stream = np.ceil(folds.streamed / rate)
    slowed = np.maximum(stream, np.ceil(np.ceil(folds.streamed / max(rate, 1.0)) * stream_conflict))
    padding, drain = folds.folds * stream - useful, drain_cycles(target)
    if target.matrix.shadow_weights:
        body = np.maximum(slowed, rows * load_conflict)
        weight_load = folds.folds * np.maximum(np.maximum(slowed, rows) - slowed, 0)
        conflict = folds.folds * body - folds.folds * stream - weight_load
        fill = rows * load_conflict if stationary else 0
        return MatrixCycles(useful, padding, weight_load, 0.0, conflict, fill, drain)
    load = rows if stationary else 0
    conflict = folds.folds * (slowed - stream + load * (load_conflict - 1))
    return MatrixCycles(useful, padding, 0.0, folds.folds * (load + drain), conflict, 0.0, 0.0)


def _better(a: MatrixCycles, b: MatrixCycles) -> MatrixCycles:
    """The one that takes fewer cycles, candidate by candidate."""
    first = a.total <= b.total
    if isinstance(first, (bool, np.bool_)):
        return a if first else b
    names = ("useful", "padding", "weight_load", "fill_drain", "bank_conflict", "fill", "latency")
    return MatrixCycles(**{name: np.where(first, getattr(a, name), getattr(b, name)) for name in names})


def gemm_cycles(target: Target, dtype: str, m: Count, k: Count, n: Count, batch: Count = 1) -> Count:
    """Cycles of one `mx.gemm` alone, on an ideal memory."""
    return gemm_parts(target, dtype, m, k, n, batch).total


def gemm_stream_cycles(
    target: Target, dtype: str, m: Count, k: Count, n: Count, batch: Count = 1, *, window: Count = 1
) -> Count:
    """Cycles one product adds to a back-to-back sequence: its first load and its drain are hidden.

    A convolution has `k` channels per group and `window` kernel elements.
    """
    return gemm_parts(target, dtype, m, k, n, batch, window=window).occupancy


def gemm_sram_bytes(target: Target, m: Count, k: Count, n: Count, batch: Count, a_bytes: int, b_bytes: int) -> Count:
    """Bytes read from SRAM: the stationary operand once, the streamed one once per fold across it."""
    rows, cols = target.matrix.rows, target.matrix.cols
    a, b = batch * m * k * a_bytes, batch * k * n * b_bytes
    if target.matrix.dataflow == "ws":
        return a * ceil_div(n, cols) + b
    if target.matrix.dataflow == "is":
        return a + b * ceil_div(m, cols)
    return a * ceil_div(n, cols) + b * ceil_div(m, rows)


def gemm_sram_lines(
    target: Target, dtype: str, m: Count, k: Count, n: Count, batch: Count, load_lines: float, stream_lines: float
) -> Count:
    """SRAM lines that a product reads: `load_lines` per step of the stationary loads, `stream_lines` per cycle."""
    rate = matrix_rate(target, dtype)
    split = target.matrix.arrays_split[0]
    folds = folds_of(target, m, k, n, batch, split)
    streamed = folds.folds * np.ceil(folds.streamed / max(rate, 1.0)) * folds.readers * stream_lines
    across = {"ws": n, "is": m}.get(target.matrix.dataflow)
    loaded = 0 if across is None else batch * k * ceil_div(across, target.matrix.cols) * load_lines
    return streamed + loaded


def depthwise_parts(target: Target, outputs: Count, window: Count, real: Count = 1) -> MatrixCycles:
    """Cost of a depthwise convolution in the array: `outputs` elements of `window` MACs each.

    The target's `depthwise_macs` MACs per cycle already describe how its array maps depthwise work (a
    diagonal of a systolic array, a lane per channel elsewhere), so there are no folds; windows are rounded up to
    `depthwise_kernel_granule` elements. `real`: part of the MACs that are not with padding zeros.
    Source: target file.
    """
    speed = target.matrix.depthwise_macs
    if speed <= 0:
        message = f"the matrix engine of {target.name} has no depthwise mode"
        raise NpuError(UNSUPPORTED_TYPE, message, found="depthwise_macs = 0", remedy="use v.dwconv on this target")
    granule = target.matrix.depthwise_kernel_granule
    useful = outputs * window * real / speed
    whole = np.ceil(outputs * (ceil_div(window, granule) * granule) / speed)
    return MatrixCycles(useful, whole - useful, 0.0, 0.0, 0.0, 0.0, drain_cycles(target))


def depthwise_cycles(target: Target, outputs: Count, window: Count) -> Count:
    """Cycles of one `mx.dwconv` alone."""
    return depthwise_parts(target, outputs, window).total
