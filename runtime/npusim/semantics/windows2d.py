"""Geometry shared by the 2-D convolutions: how far they read, where padding lies, and padded copies of the input."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from npuisa.instructions import MxConv, MxDwconv, VDwconv

from npusim.scratch import Scratch
from npusim.semantics.conversion import converter
from npusim.views import Array, Type, View


@dataclass(frozen=True, slots=True)
class Axis:
    """One spatial axis: output position i reads input positions `i * stride + p * dilation - pad`, p < kernel."""

    size: int
    out: int
    kernel: int
    stride: int
    dilation: int
    pad: int

    @property
    def reach(self) -> int:
        """Padded input positions that are read: 0 to `reach` (exclusive), the first `pad` of them zeros."""
        return (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1

    @property
    def padded(self) -> bool:
        """Whether positions outside the input are read."""
        return self.pad > 0 or self.reach > self.size

    @property
    def inside(self) -> int:
        """Input positions from 0 on that are read."""
        return max(0, min(self.size, self.reach - self.pad))


def axes_of(instruction: MxConv | MxDwconv | VDwconv, dst: View, x: View, w: View) -> tuple[Axis, Axis]:
    """Rows and columns of a 2-D convolution: x [n, h, w, ..], w [kh, kw, ..], dst [n, oh, ow, ..]."""
    (stride_h, stride_w), (dilation_h, dilation_w) = (
        (instruction.stride_h, instruction.stride_w),
        (instruction.dilation_h, instruction.dilation_w),
    )
    rows = Axis(x.dims[1], dst.dims[1], w.dims[0], stride_h, dilation_h, instruction.pad_h)
    return rows, Axis(x.dims[2], dst.dims[2], w.dims[1], stride_w, dilation_w, instruction.pad_w)


class PaddedInput:
    """x [n, h, w, c] in the compute type with zeros around it: [n, reach_h, reach_w, c], dense, in scratch."""

    def __init__(self, x: View, rows: Axis, columns: Axis, compute: Type, slot: int) -> None:
        self.dims = (x.dims[0], rows.reach, columns.reach, x.dims[3])
        self._compute, self._slot = compute, slot
        self._padded = rows.padded or columns.padded
        self._source = (slice(None), slice(0, rows.inside), slice(0, columns.inside))
        inner = (slice(rows.pad, rows.pad + rows.inside), slice(columns.pad, columns.pad + columns.inside))
        self._target = (slice(None), *inner)
        self._convert = converter(x.dtype, compute)

    def load(self, x: Array, scratch: Scratch) -> Array:
        """Copy, convert and pad."""
        out = scratch.take(self._slot, self.dims, self._compute)
        if self._padded:
            out.fill(0)
        self._convert(x[self._source], out[self._target])
        return out


class ColumnLanes:
    """x [n, h, w, c] in the compute type, zeros around it, columns split by their residue modulo the stride.

    Column j * stride + r of the padded input is lanes[:, :, r, j]: [n, reach_h, stride, columns, c], in scratch.
    """

    def __init__(self, x: View, rows: Axis, columns: Axis, compute: Type, slot: int) -> None:
        self._rows, self._columns, self._compute, self._slot = rows, columns, compute, slot
        self._padded = rows.padded or columns.padded
        self._convert = converter(x.dtype, compute)
        self.needed = self._padded or x.dtype != compute
        """Whether x cannot be read in place for a stride of 1."""
        self._dims = (x.dims[0], rows.reach, columns.stride, ceil(columns.reach / columns.stride), x.dims[3])

    def load(self, x: Array, scratch: Scratch) -> Array:
        """Copy, convert, pad and split."""
        lanes = scratch.take(self._slot, self._dims, self._compute)
        if self._padded:
            lanes.fill(0)
        rows, columns = self._rows, self._columns
        lines = lanes[:, rows.pad : rows.pad + rows.inside]
        for lane in range(columns.stride):
            first = max(0, ceil((columns.pad - lane) / columns.stride))
            start = first * columns.stride + lane - columns.pad
            source = x[:, : rows.inside, start :: columns.stride][:, :, : max(0, self._dims[3] - first)]
            self._convert(source, lines[:, :, lane, first : first + source.shape[2]])
        return lanes
