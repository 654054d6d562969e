"""Which positions of a sliding window lie inside the image: products with padding zeros are no work."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np
from npuisa.descriptor import Descriptor
from npuisa.instructions import MxConv, MxDwconv, VDwconv


@lru_cache(maxsize=65536)
def inside(size: int, outputs: int, kernel: int, stride: int, dilation: int, pad: int) -> int:
    """Pairs of an output and a kernel element whose position lies inside an axis of `size` elements."""
    positions = np.arange(outputs)[:, None] * stride + np.arange(kernel) * dilation - pad
    return int(np.count_nonzero((positions >= 0) & (positions < size)))


def real_taps(instruction: MxConv | MxDwconv | VDwconv, dst: Descriptor, x: Descriptor, w: Descriptor) -> int:
    """Window positions of one channel and image that lie inside x, over all outputs (at most oh ow kh kw)."""
    (rows, columns), (oh, ow), (kh, kw) = x.dims[1:3], dst.dims[1:3], w.dims[:2]
    down = inside(rows, oh, kh, instruction.stride_h, instruction.dilation_h, instruction.pad_h)
    across = inside(columns, ow, kw, instruction.stride_w, instruction.dilation_w, instruction.pad_w)
    return down * across


def real_macs(instruction: MxConv | MxDwconv, dst: Descriptor, x: Descriptor, w: Descriptor) -> int:
    """Multiply-accumulates of a convolution, products with padding zeros left out."""
    per_output = 1 if isinstance(instruction, MxDwconv) else w.dims[2]
    return dst.dims[0] * dst.dims[3] * per_output * real_taps(instruction, dst, x, w)


def real_share(instruction: MxConv | MxDwconv | VDwconv, dst: Descriptor, x: Descriptor, w: Descriptor) -> float:
    """Part of the window positions that lie inside x, 0 to 1."""
    every = prod(dst.dims[1:3]) * prod(w.dims[:2])
    return real_taps(instruction, dst, x, w) / every if every else 1.0
