"""Converted, padded or gathered copies of matrix operands, kept while the bytes they came from stay unwritten.

A tile loop that keeps one operand and streams the other would convert the kept one (f16 or i8 to f32), or collect
its convolution windows, again for every tile. The simulator reports every write to SRAM, which drops the copies it
overlaps; so a kept copy always equals what a new one would be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.memory import Bytes, aligned_bytes
from npusim.views import Array, Type

SLOTS = 4
"""Copies kept: both operands of an instruction and of the one before. Each costs a comparison per write."""


@dataclass(slots=True)
class _Copy:
    """What `owner` made of the array `source` (compared by identity; the reference keeps it alive), in `buffer`.

    `low` and `high` are the machine addresses that `source` spans.
    """

    owner: object
    source: Array
    low: int
    high: int
    buffer: Bytes
    array: Array
    """The copy: in `buffer`."""


class Staging:
    """Copies by owner and source array, in `SLOTS` buffers.

    `keep=False`: every copy is made anew, for users who do not report writes.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._copies: list[_Copy] = []
        """Least recently used first."""
        self._spare: list[Bytes] = []

    @property
    def holding(self) -> bool:
        """Whether there are copies at all, so that writes matter."""
        return bool(self._copies)

    def take(self, owner: object, source: Array, dims: tuple[int, ...], dtype: Type) -> tuple[Array, bool]:
        """An array for `owner`'s copy of `source`, and whether it already holds it.

        The array stays `owner`'s for as long as others take fewer than `SLOTS` copies.
        """
        for position, copy in enumerate(self._copies if self._keep else ()):
            if copy.owner is owner and copy.source is source:
                if position + 1 < len(self._copies):
                    self._copies.append(self._copies.pop(position))
                return copy.array, True
        if len(self._copies) >= SLOTS:
            self._spare.append(self._copies.pop(0).buffer)
        return self._new(owner, source, dims, dtype), False

    def _new(self, owner: object, source: Array, dims: tuple[int, ...], dtype: Type) -> Array:
        size = dtype.itemsize
        for dim in dims:
            size *= dim
        buffer = self._spare.pop() if self._spare else aligned_bytes(0)
        if buffer.size < size:
            buffer = aligned_bytes(size)
        low, high = address_range(source)
        array = np.ndarray(dims, dtype, buffer)
        self._copies.append(_Copy(owner, source, low, high, buffer, array))
        return array

    def written(self, low: int, high: int) -> None:
        """The bytes at the machine addresses `low` to `high` (exclusive) have changed."""
        for copy in self._copies:
            if low < copy.high and copy.low < high:
                self._drop(low, high)
                return

    def _drop(self, low: int, high: int) -> None:
        kept: list[_Copy] = []
        for copy in self._copies:
            if low < copy.high and copy.low < high:
                self._spare.append(copy.buffer)
            else:
                kept.append(copy)
        self._copies = kept

    def forget(self) -> None:
        """Drop every copy."""
        self._spare += [copy.buffer for copy in self._copies]
        self._copies = []


def address_range(array: Array) -> tuple[int, int]:
    """Lowest machine address of an array's elements and one past the highest."""
    low = high = array.__array_interface__["data"][0]
    for dim, stride in zip(array.shape, array.strides):
        reach = (dim - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + array.itemsize
