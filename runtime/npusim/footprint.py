"""Which bytes a descriptor touches, as equal contiguous runs in a strided grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt
from npuisa.descriptor import Descriptor


@dataclass(frozen=True, slots=True)
class Footprint:
    """The bytes `low + sum(i * stride) + [0, run)` for all `0 <= i < count`, relative to a descriptor's base.

    `grid` lists `(count, stride)` in bytes, outermost (largest stride) first; strides are positive.
    """

    low: int
    run: int
    grid: tuple[tuple[int, int], ...]

    @property
    def runs(self) -> int:
        """Number of runs (rows that happen to touch each other are merged only where all of them do)."""
        return prod(count for count, _ in self.grid) if self.run else 0

    @property
    def high(self) -> int:
        """One past the highest byte."""
        return self.low + self.run + sum((count - 1) * stride for count, stride in self.grid)

    @property
    def bytes(self) -> int:
        """Distinct bytes, counting each run in full."""
        return self.runs * self.run

    def starts(self) -> npt.NDArray[np.int64]:
        """First byte of every run, sorted."""
        offsets = np.full(1, self.low, dtype=np.int64)
        for count, stride in self.grid:
            offsets = (offsets[:, None] + np.arange(count, dtype=np.int64) * stride).reshape(-1)
        return np.sort(offsets)


@lru_cache(maxsize=65536)
def footprint(dims: tuple[int, ...], strides: tuple[int, ...], width: int) -> Footprint:
    """Footprint of a view with `strides` in elements of `width` bytes, relative to its base.

    Broadcast dimensions (stride 0) touch nothing new and are dropped; negative strides are turned round.
    """
    if 0 in dims:
        return Footprint(0, 0, ())
    low = sum((dim - 1) * stride * width for dim, stride in zip(dims, strides) if stride < 0)
    axes = sorted((abs(stride) * width, dim) for dim, stride in zip(dims, strides) if stride and dim > 1)
    run = width
    grid: list[tuple[int, int]] = []
    for stride, dim in axes:
        if not grid and stride <= run:
            run += (dim - 1) * stride
        elif grid and stride == grid[-1][0] * grid[-1][1]:
            grid[-1] = (grid[-1][0] * dim, grid[-1][1])
        else:
            grid.append((dim, stride))
    return Footprint(low, run, tuple(reversed(grid)))


def footprint_of(view: Descriptor) -> Footprint:
    """Footprint of a descriptor, relative to its base."""
    return footprint(view.dims, view.strides, view.dtype.bytes)


@lru_cache(maxsize=65536)
def overlap(a: Footprint, b: Footprint, distance: int) -> bool:
    """Whether `a` at byte 0 and `b` at byte `distance` share a byte; exact.

    Ranges decide most cases. Otherwise the runs of the one that has fewer are looked up among the sorted
    runs of the other: O(n log n) in the number of runs, no bytes are expanded.
    """
    if not a.run or not b.run or a.low >= b.high + distance or b.low + distance >= a.high:
        return False
    if not a.grid and not b.grid:
        return True
    if a.runs > b.runs:
        return overlap(b, a, -distance)
    theirs = b.starts() + distance
    mine = a.starts()
    first = np.searchsorted(theirs, mine - b.run, side="right")
    inside = first < len(theirs)
    return bool(np.any(theirs[first[inside]] < mine[inside] + a.run))


def grid_in_order(
    dims: tuple[int, ...], strides: tuple[int, ...], width: int, order: tuple[int, ...]
) -> tuple[tuple[tuple[int, int], ...], int, int]:
    """`(count, stride in bytes) of the repeated runs, bytes per run, first byte of the first run` (from the base).

    The axes are walked in `order`, innermost axis first. A run grows while the next axis continues it; a broadcast
    axis inside the run re-reads nothing, outside of it the whole walk is repeated.
    """
    if 0 in dims:
        return (), 0, 0
    run, low, growing = width, 0, True
    grid: list[tuple[int, int]] = []
    for axis in order:
        dim, stride = dims[axis], strides[axis] * width
        if dim == 1 or (growing and run == width and stride == 0):
            continue
        if growing and abs(stride) == run:
            low += min(stride, 0) * (dim - 1)
            run *= dim
        else:
            growing = False
            grid.append((dim, stride))
    return tuple(grid), run, low
