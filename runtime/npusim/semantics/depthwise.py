"""mx.dwconv and v.dwconv: depthwise 2-D convolution, channels last, as multiply-adds over whole rows of pixels.

NumPy's inner loops should run over a row of `ow * c` contiguous elements, not over the few channels of a pixel. So
the columns are de-interleaved into lanes, one per residue of the horizontal stride (then every tap reads a contiguous
run), the weights are repeated along the row once per issue, and `einsum` sums all taps of a lane without temporaries.
Blocks of output rows keep the result in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, gcd

import numpy as np
from npuisa.instructions import MxDwconv, VDwconv

from npusim.scratch import Scratch
from npusim.semantics.conversion import F32, F64, converter, copy
from npusim.semantics.plan import Context, Prepared, nothing
from npusim.semantics.product import FREE_SLOT, is_float
from npusim.semantics.windows2d import Axis, ColumnLanes, axes_of
from npusim.sequence import StaticInstruction
from npusim.views import Array, Type, View

BLOCK_ELEMENTS = 16384
_LANES, _TAPS, _SUM, _PART = range(FREE_SLOT, FREE_SLOT + 4)


def prepare_dwconv(static: StaticInstruction, context: Context) -> Prepared:
    """dst[n, i, j, c] = sum over p, q of x[n, i*sh + p*dh - ph, j*sw + q*dw - pw, c] * w[p, q, c]."""
    dst, x, w = (context.view(static, name) for name in ("dst", "x", "w"))
    instruction = static.instruction
    assert isinstance(instruction, MxDwconv | VDwconv)
    compute = _compute_type(dst.dtype, x.dtype, w.dtype)
    if dst.elements == 0:
        return Prepared((), nothing)
    rows, columns = axes_of(instruction, dst, x, w)
    return _Depthwise(context.scratch, compute, rows, columns, dst, x, w).prepare()


def _compute_type(dst: Type, x: Type, w: Type) -> Type:
    """f32 (f64 where an operand is f64) for floats; the destination's type for integers."""
    if is_float(dst):
        return F64 if F64 in (dst, x, w) else F32
    return dst


@dataclass(frozen=True, slots=True)
class _LaneTaps:
    """Taps of a kernel row that read one lane: `taps` of them, `step` apart, from lane position `start`."""

    lane: int
    taps: slice
    count: int
    start: int
    step: int


def _taps_by_lane(columns: Axis) -> list[_LaneTaps]:
    """Group taps q by the lane (q * dilation) mod stride; within a group the positions are equally spaced."""
    period = columns.stride // gcd(columns.stride, columns.dilation)
    groups: list[_LaneTaps] = []
    for first in range(min(period, columns.kernel)):
        start, lane = divmod(first * columns.dilation, columns.stride)
        taps = slice(first, columns.kernel, period)
        count = len(range(first, columns.kernel, period))
        groups.append(_LaneTaps(lane, taps, count, start, period * columns.dilation // columns.stride))
    return groups


class _Depthwise:
    def __init__(
        self, scratch: Scratch, compute: Type, rows: Axis, columns: Axis, dst: View, x: View, w: View
    ) -> None:
        self._scratch, self._compute, self._rows, self._columns = scratch, compute, rows, columns
        self._dst, self._x, self._w = dst, x, w
        self._lanes = ColumnLanes(x, rows, columns, compute, _LANES)
        self._groups = _taps_by_lane(columns)
        self._weights = converter(w.dtype, compute)
        self._row = dst.dims[2] * dst.dims[3]
        blocks = ceil(rows.out / max(1, BLOCK_ELEMENTS // self._row))
        self._edges = [rows.out * part // blocks for part in range(blocks + 1)]

    def prepare(self) -> Prepared:
        """The views and the function for these operands."""
        flat = self._dst.merged(2, 3) if self._dst.dtype == self._compute else None
        if self._columns.stride == 1 and not self._lanes.needed and self._x.merged(2, 3) is not None:
            windows = self._x.arranged(*self._window_axes(self._x.strides, self._groups[0]))
            return Prepared((flat or self._dst, windows, self._w), self._run_in_place)
        return Prepared((flat or self._dst, self._x, self._w), self._run)

    def _run_in_place(self, accumulate: bool, dst: Array, windows: Array, w: Array) -> None:
        self._sum_all(dst, [windows], self._taps(w))

    def _run(self, accumulate: bool, dst: Array, x: Array, w: Array) -> None:
        lanes = self._lanes.load(x, self._scratch)
        strides = (*lanes.strides[:2], *lanes.strides[3:])
        windows: list[Array] = []
        for group in self._groups:
            dims, steps = self._window_axes(strides, group)
            offset = group.lane * lanes.strides[2] + group.start * lanes.strides[3]
            windows.append(np.ndarray(dims, self._compute, lanes, offset, steps))
        self._sum_all(dst, windows, self._taps(w))

    def _window_axes(
        self, strides: tuple[int, ...], group: _LaneTaps
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Axes [n, kh, taps, oh, ow * c] of one lane whose axes [n, h, columns, c] have these strides."""
        rows, (image, line, column, channel) = self._rows, strides
        dims = (self._dst.dims[0], rows.kernel, group.count, rows.out, self._row)
        inner = channel if self._dst.dims[3] > 1 else column
        return dims, (image, line * rows.dilation, column * group.step, line * rows.stride, inner)

    def _taps(self, w: Array) -> Array:
        """Weights repeated along a row of pixels: [kh, kw, ow * c]."""
        height, width, channels = w.shape
        taps = self._scratch.take(_TAPS, (height, width, self._dst.dims[2], channels), self._compute)
        self._weights(w[:, :, None, :], taps)
        return taps.reshape(height, width, self._row)

    def _sum_all(self, dst: Array, windows: list[Array], taps: Array) -> None:
        """Blocks of output rows; `dst` is [n, oh, ow * c] in the compute type, or [n, oh, ow, c] in any."""
        for image in range(dst.shape[0]):
            for first, last in pairwise(self._edges):
                out = dst[image, first:last]
                total = out if out.ndim == 2 else self._take(_SUM, last - first)
                self._sum_lanes(total, [item[image, :, :, first:last] for item in windows], taps)
                if out.ndim == 3:
                    copy(total.reshape(out.shape), out)

    def _sum_lanes(self, total: Array, windows: list[Array], taps: Array) -> None:
        for number, (group, window) in enumerate(zip(self._groups, windows)):
            out = self._take(_PART, len(total)) if number else total
            np.einsum("pqrx,pqx->rx", window, taps[:, group.taps], out=out)
            if number:
                np.add(total, out, out=total)

    def _take(self, slot: int, rows: int) -> Array:
        return self._scratch.take(slot, (rows, self._row), self._compute)
