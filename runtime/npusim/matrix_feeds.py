"""How the SRAM feeds the matrix engine: one cycle of the stationary load, and one of the stream.

Each cycle the array takes one vector: R or C elements, one per row or column, times the steps of the stream that
a rate above 1 takes at once. A feeder may fetch it element by element from where it lies, or keep one bank line per
row and refill all of them when they are used up, when the streamed axis is the contiguous one (`banks.feed`). The
target says whether it has line buffers, and whether a stationary tile can be loaded by columns (a transposer).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from npuisa.descriptor import Descriptor
from npuisa.instructions import MxConv
from npuisa.target import Target

from npusim.banks import FREE, Access, Axes, accumulator_geometry, feed, geometry_of, vector_access


@dataclass(frozen=True, slots=True)
class MatrixFeeds:
    """`load`: per step of the stationary load; `stream`: per cycle of the stream; `store`: SRAM-like cycles per
    step in the accumulator memory (ws: a step's results lie along N; else each column has a bank of its own)."""

    load: Access
    stream: Access
    store: float


def gemm_feeds(target: Target, a: Descriptor, b: Descriptor, dst: Descriptor, rate: float) -> MatrixFeeds:
    """a [..., m, k], b [..., k, n], dst [..., m, n]; `rate` MACs per cell and cycle."""
    m_axis, k_of_a = (((a.dims[axis],), (a.strides[axis],)) for axis in (-2, -1))
    k_of_b, n_axis = (((b.dims[axis],), (b.strides[axis],)) for axis in (-2, -1))
    m_of_dst, n_of_dst = (((dst.dims[axis],), (dst.strides[axis],)) for axis in (-2, -1))
    operands = (m_axis, k_of_a, a.dtype.bytes), (n_axis, k_of_b, b.dtype.bytes)
    return _feeds(target, *operands, (m_of_dst, n_of_dst, dst.dtype.bytes), rate)


def conv_feeds(
    target: Target, conv: MxConv, x: Descriptor, w: Descriptor, dst: Descriptor, rate: float
) -> MatrixFeeds:
    """x [n, h, w, ci] as pixels by window, w [kh, kw, ci, co]; the window's channels are innermost."""
    image, row, column, channel = x.strides
    pixels = dst.dims[:3], (image, row * conv.stride_h, column * conv.stride_w)
    window = w.dims[:3], (row * conv.dilation_h, column * conv.dilation_w, channel)
    outputs = (w.dims[3],), (w.strides[3],)
    operands = (pixels, window, x.dtype.bytes), (outputs, (w.dims[:3], w.strides[:3]), w.dtype.bytes)
    results = (dst.dims[:3], dst.strides[:3]), ((dst.dims[3],), (dst.strides[3],)), dst.dtype.bytes
    return _feeds(target, *operands, results, rate)


_Matrix = tuple[Axes, Axes, int]
"""Axes along M or N, axes along K (of the result: along N), element width."""


def _feeds(target: Target, a: _Matrix, b: _Matrix, dst: _Matrix, rate: float) -> MatrixFeeds:
    rows, cols, flow = target.matrix.rows, target.matrix.cols, target.matrix.dataflow
    (m_axis, k_of_a, a_width), (n_axis, k_of_b, b_width) = a, b
    group = max(int(rate), 1)

    def one(vector: Axes, stream: Axes, width: int, lanes: int, steps: int = 1) -> Access:
        return feed(geometry_of(target.sram), vector, stream, width, lanes, steps, target.matrix.line_buffers)

    if flow == "os":
        inputs, weights = one(m_axis, k_of_a, a_width, rows, group), one(n_axis, k_of_b, b_width, cols, group)
        both = Access(max(inputs.cycles, weights.cycles), inputs.lines + weights.lines)
        return MatrixFeeds(FREE, both, 1.0)
    stationary, streamed = ((n_axis, k_of_b, b_width), a) if flow == "ws" else (a, b)
    load = _load(target, one, stationary)
    store = vector_access(accumulator_geometry(target), dst[1], dst[2], cols).cycles if flow == "ws" else 1.0
    return MatrixFeeds(load, one(streamed[1], streamed[0], streamed[2], rows, group), store)


def _load(target: Target, one: Callable[..., Access], tile: _Matrix) -> Access:
    """A stationary tile row by row, or column by column where the target can."""
    across, along_k, width = tile
    by_row = one(across, along_k, width, target.matrix.cols)
    if not target.matrix.transposer:
        return by_row
    by_column = one(along_k, across, width, target.matrix.rows)
    return by_row if by_row.cycles <= by_column.cycles else by_column
