"""SRAM bank conflicts of one stream of vector accesses.

Model: the SRAM interleaves lines of `bank_bytes` over its banks, line i in bank i mod banks; a bank delivers
one line per cycle. A vector access (all lanes at once) takes as many cycles as the busiest bank has distinct
lines of it. The first vector of the stream stands for all of them: the views are affine, later vectors are
shifts of it. Streams of different operands and engines meet in the total bandwidth (`timing.py`), not here.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt
from npuisa.descriptor import Descriptor
from npuisa.target import Sram, Target

Axes = tuple[tuple[int, ...], tuple[int, ...]]
"""Dims and strides in elements, outermost first."""
Geometry = tuple[int, int]
"""Banks, and bytes of a line."""


def _first(axes: Axes, width: int, count: int) -> npt.NDArray[np.int64]:
    """Byte offsets of the first `count` elements in row-major order."""
    dims, strides = axes
    rest = np.arange(min(count, prod(dims)), dtype=np.int64)
    offsets = np.zeros_like(rest)
    for dim, stride in zip(reversed(dims), reversed(strides)):
        offsets += (rest % dim) * (stride * width)
        rest = rest // dim
    return offsets


def _busiest(geometry: Geometry, offsets: npt.NDArray[np.int64]) -> int:
    """Distinct lines in the bank that has most of them."""
    if offsets.size <= 1:
        return 1
    banks, bank_bytes = geometry
    lines = np.unique((offsets - offsets.min()) // bank_bytes)
    return int(np.bincount(lines % banks).max())


@lru_cache(maxsize=65536)
def _access(geometry: Geometry, axes: Axes, width: int, lanes: int) -> int:
    return _busiest(geometry, _first(axes, width, lanes))


@lru_cache(maxsize=65536)
def _feed(geometry: Geometry, vector: Axes, stream: Axes, width: int, lanes: int) -> float:
    across = _first(vector, width, lanes)
    steps = _first(stream, width, max(geometry[1] // width, 1))
    buffered = _busiest(geometry, (across[:, None] + steps).reshape(-1)) / max(len(steps), 1)
    return min(float(_busiest(geometry, across)), buffered)


def access_cycles(sram: Sram, dims: tuple[int, ...], strides: tuple[int, ...], width: int, lanes: int) -> int:
    """Cycles to read or write `lanes` elements (row-major order of `dims`, strides in elements) at once."""
    return _access((sram.banks, sram.bank_bytes), (dims, strides), width, lanes)


def feed_cycles(sram: Sram, vector: Axes, stream: Axes, width: int, lanes: int) -> float:
    """Cycles per step to feed `lanes` elements along `vector`, one step after the other along `stream`.

    Either one vector access per step, or line buffers: one line per lane, refilled after as many steps as a
    line has elements.
    """
    return _feed((sram.banks, sram.bank_bytes), vector, stream, width, lanes)


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
