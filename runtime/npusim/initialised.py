"""Which bytes of a memory have been written, so that reads of leftovers are found."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from npusim.footprint import Footprint

ByteT = TypeVar("ByteT", np.uint8, np.bool_)


def strided_bytes(memory: npt.NDArray[ByteT], shape: Footprint, base: int) -> npt.NDArray[ByteT]:
    """The elements of `memory` (one per byte) that `shape` at index `base` covers: a view, runs innermost."""
    if not shape.run:
        return memory[:0]
    dims = (*(count for count, _ in shape.grid), shape.run)
    steps = (*(stride for _, stride in shape.grid), 1)
    return np.lib.stride_tricks.as_strided(memory[base + shape.low :], dims, steps)


class WrittenBytes:
    """One flag per byte of `size` bytes from address `base`; bytes stay written for good."""

    def __init__(self, base: int, size: int) -> None:
        self._base = base
        self._flags = np.zeros(size, dtype=np.bool_)
        self._done: set[tuple[Footprint, int]] = set()

    def write(self, shape: Footprint, base: int) -> None:
        """Mark `shape` at byte `base`, which lies inside."""
        if (shape, base) not in self._done:
            self._view(shape, base)[...] = True
            self._done.add((shape, base))

    def missing(self, shape: Footprint, base: int) -> int:
        """Number of bytes of `shape` at byte `base` that nothing has written."""
        if (shape, base) in self._done:
            return 0
        view = self._view(shape, base)
        absent = view.size - int(np.count_nonzero(view))
        if not absent:
            self._done.add((shape, base))
        return absent

    def _view(self, shape: Footprint, base: int) -> npt.NDArray[np.bool_]:
        return strided_bytes(self._flags, shape, base - self._base)
