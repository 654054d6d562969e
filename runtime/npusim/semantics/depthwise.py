"""mx.dwconv and v.dwconv: depthwise 2-D convolution, channels last, as multiply-adds over whole rows of pixels.

NumPy's inner loops should run over a row of `ow * c` contiguous elements, not over the few channels of a pixel. So
the columns are de-interleaved by the horizontal stride (then every tap reads a contiguous run) and the weights are
repeated along the row once per issue. Blocks of output rows keep result, product and input in the cache.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import numpy as np
from npuisa.instructions import MxDwconv, VDwconv

from npusim.scratch import Scratch
from npusim.semantics.conversion import F32, F64, converter, copy
from npusim.semantics.plan import Context, Prepared, nothing, shape_text
from npusim.semantics.product import FREE_SLOT, is_float
from npusim.semantics.windows2d import Axis, PaddedInput, axes_of, check_steps
from npusim.sequence import StaticInstruction
from npusim.views import Array, Type, View

BLOCK_ELEMENTS = 16384
_PADDED, _SPLIT, _ROWS, _SUM, _PRODUCT = range(FREE_SLOT, FREE_SLOT + 5)


def prepare_dwconv(static: StaticInstruction, context: Context) -> Prepared:
    """dst[n, i, j, c] = sum over p, q of x[n, i*sh + p*dh - ph, j*sw + q*dw - pw, c] * w[p, q, c]."""
    dst, x, w = (context.view(static, name) for name in ("dst", "x", "w"))
    instruction = static.instruction
    assert isinstance(instruction, MxDwconv | VDwconv)
    shapes = shape_text(dst=dst, x=x, w=w)
    if (dst.rank, x.rank, w.rank) != (4, 4, 3):
        raise context.reject(static, "operands need ranks dst 4, x 4, w 3", shapes)
    if not x.dims[0] == dst.dims[0] or not x.dims[3] == dst.dims[3] == w.dims[2]:
        raise context.reject(static, "dims must be x [n, h, w, c], w [kh, kw, c], dst [n, oh, ow, c]", shapes)
    check_steps(static, context)
    compute = _compute_type(dst.dtype, x.dtype, w.dtype)
    if compute is None:
        remedy = "floats go with floats; integers accumulate in i32 or i64"
        raise context.reject(static, "no such combination of element types", shapes, remedy)
    if dst.elements == 0:
        return Prepared((), nothing)
    rows, columns = axes_of(instruction, dst, x, w)
    return _Depthwise(context.scratch, compute, rows, columns, dst, x, w).prepare()


def _compute_type(dst: Type, x: Type, w: Type) -> Type | None:
    """f32 (f64 where an operand is f64) for floats; the destination's type for integers."""
    if is_float(x) and is_float(w) and is_float(dst):
        return F64 if F64 in (dst, x, w) else F32
    if is_float(x) or is_float(w):
        return None
    return dst if dst in (np.dtype(np.int32), np.dtype(np.int64)) else None


class _Depthwise:
    def __init__(
        self, scratch: Scratch, compute: Type, rows: Axis, columns: Axis, dst: View, x: View, w: View
    ) -> None:
        self._scratch, self._compute, self._rows, self._columns = scratch, compute, rows, columns
        self._dst, self._x, self._w = dst, x, w
        self._padding = PaddedInput(x, rows, columns, compute, _PADDED)
        self._copy_in = rows.padded or columns.padded or x.dtype != compute
        self._weights = converter(w.dtype, compute)
        self._row = dst.dims[2] * dst.dims[3]
        height = max(1, BLOCK_ELEMENTS // self._row)
        self._blocks = ceil(rows.out / height)

    def prepare(self) -> Prepared:
        """The views and the function for these operands."""
        return Prepared((self._dst, self._x, self._w), self._run)

    def _run(self, accumulate: bool, dst: Array, x: Array, w: Array) -> None:
        lanes = self._lanes(self._padding.load(x, self._scratch) if self._copy_in else x)
        taps = self._taps(w)
        edges = [self._rows.out * part // self._blocks for part in range(self._blocks + 1)]
        for image in range(dst.shape[0]):
            for first, last in pairwise(edges):
                total = self._block(lanes[image], taps, first, last)
                copy(total.reshape(last - first, *dst.shape[2:]), dst[image, first:last])

    def _lanes(self, x: Array) -> Array:
        """x as [n, h, stride_w, (columns / stride_w) * c]: column j * stride_w + r is in lane r at j."""
        batch, height, width, channels = x.shape
        stride = self._columns.stride
        if stride == 1 and x.flags.c_contiguous:
            return x.reshape(batch, height, 1, width * channels)
        columns = ceil(self._columns.reach / stride)
        lanes = self._scratch.take(_SPLIT, (batch, height, stride, columns, channels), self._compute)
        for lane in range(min(stride, width)):
            part = x[:, :, lane :: stride][:, :, :columns]
            np.copyto(lanes[:, :, lane, : part.shape[2]], part)
        return lanes.reshape(batch, height, stride, columns * channels)

    def _taps(self, w: Array) -> Array:
        """Weights repeated along a row of pixels: [kh, kw, ow * c]."""
        height, width, channels = w.shape
        taps = self._scratch.take(_ROWS, (height, width, self._dst.dims[2], channels), self._compute)
        self._weights(w[:, :, None, :], taps)
        return taps.reshape(height, width, self._row)

    def _block(self, lanes: Array, taps: Array, first: int, last: int) -> Array:
        """Output rows `first` to `last` of one image: [rows, ow * c]."""
        rows, columns, channels = self._rows, self._columns, self._dst.dims[3]
        total = self._scratch.take(_SUM, (last - first, self._row), self._compute)
        part = self._scratch.take(_PRODUCT, (last - first, self._row), self._compute)
        for p in range(rows.kernel):
            top = first * rows.stride + p * rows.dilation
            lines = slice(top, top + (last - first - 1) * rows.stride + 1, rows.stride)
            for q in range(columns.kernel):
                column, lane = divmod(q * columns.dilation, columns.stride)
                source = lanes[lines, lane, column * channels : column * channels + self._row]
                np.multiply(source, taps[p, q], out=part if p + q else total)
                if p + q:
                    np.add(total, part, out=total)
        return total
