"""How fast the SRAM can feed the matrix engine: cycles per step of the stationary load and of the stream.

Each step the array takes one vector (R or C elements, one per row or column). A feeder may fetch it element
by element from where it lies, or keep one bank line per row and refill all of them every `line / width`
steps, when the streamed axis is the contiguous one; the better of the two counts (`banks.feed_cycles`).
"""

from __future__ import annotations

from npuisa.descriptor import Descriptor
from npuisa.instructions import MxConv
from npuisa.target import Target

from npusim.banks import Axes, feed_cycles

Conflicts = tuple[float, float]
"""SRAM cycles per step of the stationary load, and of the stream; 1 or less: no conflict."""


def gemm_feeds(target: Target, a: Descriptor, b: Descriptor) -> Conflicts:
    """a [..., m, k] and b [..., k, n]."""
    m_axis, k_of_a = (((a.dims[axis],), (a.strides[axis],)) for axis in (-2, -1))
    k_of_b, n_axis = (((b.dims[axis],), (b.strides[axis],)) for axis in (-2, -1))
    return _feeds(target, (m_axis, k_of_a, a.dtype.bytes), (n_axis, k_of_b, b.dtype.bytes))


def conv_feeds(target: Target, conv: MxConv, x: Descriptor, w: Descriptor, dst: Descriptor) -> Conflicts:
    """x [n, h, w, ci] as pixels by window, w [kh, kw, ci, co]; the window's channels are innermost."""
    image, row, column, channel = x.strides
    pixels = dst.dims[:3], (image, row * conv.stride_h, column * conv.stride_w)
    window = w.dims[:3], (row * conv.dilation_h, column * conv.dilation_w, channel)
    outputs = (w.dims[3],), (w.strides[3],)
    return _feeds(target, (pixels, window, x.dtype.bytes), (outputs, (w.dims[:3], w.strides[:3]), w.dtype.bytes))


def _feeds(target: Target, a: tuple[Axes, Axes, int], b: tuple[Axes, Axes, int]) -> Conflicts:
    """`a`: axes M and K and element width; `b`: axes N and K and element width.

    A stationary tile may be loaded by rows or by columns (a transposer, as Gemmini has).
    """
    rows, cols, sram = target.matrix.rows, target.matrix.cols, target.sram
    (m_axis, k_of_a, a_width), (n_axis, k_of_b, b_width) = a, b
    if target.matrix.dataflow == "ws":
        by_row = feed_cycles(sram, n_axis, k_of_b, b_width, cols)
        by_column = feed_cycles(sram, k_of_b, n_axis, b_width, rows)
        return min(by_row, by_column), feed_cycles(sram, k_of_a, m_axis, a_width, rows)
    if target.matrix.dataflow == "is":
        by_row = feed_cycles(sram, m_axis, k_of_a, a_width, cols)
        by_column = feed_cycles(sram, k_of_a, m_axis, a_width, rows)
        return min(by_row, by_column), feed_cycles(sram, k_of_b, n_axis, b_width, rows)
    inputs = feed_cycles(sram, m_axis, k_of_a, a_width, rows)
    weights = feed_cycles(sram, n_axis, k_of_b, b_width, cols)
    return 1.0, max(inputs, weights)
