"""SRAM bank conflicts of one stream of vector accesses.

Model: the SRAM interleaves lines of `bank_bytes` over its banks, line i in bank i mod banks; a bank delivers
one line per cycle. A vector access (all lanes at once) takes as many cycles as the busiest bank has distinct
lines of it. The first vector of the stream stands for all of them: the views are affine, later vectors are
shifts of it. Streams of different operands and engines meet in the total bandwidth (`timing.py`), not here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from npuisa.descriptor import Descriptor
from npuisa.target import Sram, Target


@lru_cache(maxsize=65536)
def _conflict_cycles(
    dims: tuple[int, ...], strides: tuple[int, ...], width: int, lanes: int, banks: int, bank_bytes: int
) -> int:
    elements = 1
    for dim in dims:
        elements *= dim
    count = min(lanes, elements)
    if count <= 1:
        return 1
    rest = np.arange(count)
    address = np.zeros(count, dtype=np.int64)
    for dim, stride in zip(reversed(dims), reversed(strides)):
        address += (rest % dim) * (stride * width)
        rest = rest // dim
    # A vector of whole lines needs no more than its share of them per bank; negative strides mirror.
    lines = np.unique((address - address.min()) // bank_bytes)
    return int(np.bincount(lines % banks).max())


def access_cycles(sram: Sram, dims: tuple[int, ...], strides: tuple[int, ...], width: int, lanes: int) -> int:
    """Cycles to read or write `lanes` elements (row-major order of `dims`, strides in elements) at once."""
    return _conflict_cycles(dims, strides, width, lanes, sram.banks, sram.bank_bytes)


def view_cycles(target: Target, view: Descriptor, lanes: int) -> int:
    """Cycles that one vector of `lanes` elements of `view` takes in the SRAM."""
    return access_cycles(target.sram, view.dims, view.strides, view.dtype.bytes, lanes)


def sram_bytes_per_cycle(target: Target) -> int:
    """Bytes that all banks together deliver per cycle."""
    return target.sram.banks * target.sram.bank_bytes


def streamed_bytes(view: Descriptor) -> int:
    """Bytes that cross the SRAM port when `view` is walked in row-major order.

    An element that is broadcast along the innermost axes is read once and held.
    """
    count, innermost = 1, True
    for dim, stride in zip(reversed(view.dims), reversed(view.strides)):
        if innermost and (stride == 0 or dim == 1) and dim:
            continue
        innermost = False
        count *= dim
    return count * view.dtype.bytes
