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
"""

from __future__ import annotations

from dataclasses import dataclass

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


def gemm_parts(
    target: Target,
    dtype: str,
    m: Count,
    k: Count,
    n: Count,
    batch: Count = 1,
    load_conflict: Count = 1,
    stream_conflict: Count = 1,
) -> MatrixCycles:
    """Cost of `batch` products [m, k] x [k, n] (conv: per group, batch = groups).

    `load_conflict` and `stream_conflict` are SRAM cycles per step of the stationary load and of the stream
    (see `matrix_feeds.py`; 1 or less: no conflict; rates above 1 take as many steps per wider access).
    Source: module docstring.
    """
    rows, cols = target.matrix.rows, target.matrix.cols
    rate = matrix_rate(target, dtype)
    flow = target.matrix.dataflow
    on_rows, on_cols, streamed = {"ws": (k, n, m), "is": (k, m, n), "os": (m, n, k)}[flow]
    folds = batch * ceil_div(on_rows, rows) * ceil_div(on_cols, cols)
    stream = np.ceil(streamed / rate)
    slowed = np.maximum(stream, np.ceil(streamed * stream_conflict / max(rate, 1.0)))
    load_conflict = np.maximum(load_conflict, 1)
    useful = batch * m * k * n / (rows * cols * rate)
    padding = folds * stream - useful
    drain = rows + cols - 2
    if target.matrix.shadow_weights:
        body = np.maximum(slowed, rows * load_conflict)
        weight_load = folds * np.maximum(np.maximum(slowed, rows) - slowed, 0)
        conflict = folds * body - folds * stream - weight_load
        fill = 0 if flow == "os" else rows * load_conflict
        return MatrixCycles(useful, padding, weight_load, 0.0, conflict, fill, drain)
    load = 0 if flow == "os" else rows
    conflict = folds * (slowed - stream + load * (load_conflict - 1))
    return MatrixCycles(useful, padding, 0.0, folds * (load + drain), conflict, 0.0, 0.0)


def gemm_cycles(target: Target, dtype: str, m: Count, k: Count, n: Count, batch: Count = 1) -> Count:
    """Cycles of one `mx.gemm` alone, on an ideal memory."""
    return gemm_parts(target, dtype, m, k, n, batch).total


def gemm_stream_cycles(target: Target, dtype: str, m: Count, k: Count, n: Count, batch: Count = 1) -> Count:
    """Cycles one `mx.gemm` adds to a back-to-back sequence: its first load and its drain are hidden."""
    return gemm_parts(target, dtype, m, k, n, batch).occupancy


def gemm_sram_bytes(target: Target, m: Count, k: Count, n: Count, batch: Count, a_bytes: int, b_bytes: int) -> Count:
    """Bytes read from SRAM: the stationary operand once, the streamed one once per fold across it."""
    rows, cols = target.matrix.rows, target.matrix.cols
    a, b = batch * m * k * a_bytes, batch * k * n * b_bytes
    if target.matrix.dataflow == "ws":
        return a * ceil_div(n, cols) + b
    if target.matrix.dataflow == "is":
        return a + b * ceil_div(m, cols)
    return a * ceil_div(n, cols) + b * ceil_div(m, rows)


def depthwise_parts(target: Target, outputs: Count, window: Count) -> MatrixCycles:
    """Cost of a depthwise convolution in the array: `outputs` elements of `window` MACs each.

    The target's `depthwise_macs` MACs per cycle already describe how its array maps depthwise work (a
    diagonal of a systolic array, a lane per channel elsewhere), so there are no folds. Source: target file.
    """
    speed = target.matrix.depthwise_macs
    if speed <= 0:
        message = f"the matrix engine of {target.name} has no depthwise mode"
        raise NpuError(UNSUPPORTED_TYPE, message, found="depthwise_macs = 0", remedy="use v.dwconv on this target")
    exact = outputs * window / speed
    drain = target.matrix.rows + target.matrix.cols - 2
    return MatrixCycles(exact, np.ceil(exact) - exact, 0.0, 0.0, 0.0, 0.0, drain)


def depthwise_cycles(target: Target, outputs: Count, window: Count) -> Count:
    """Cycles of one `mx.dwconv` alone."""
    return depthwise_parts(target, outputs, window).total
