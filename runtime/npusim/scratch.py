"""Working memory of the simulator: temporaries of instructions, reused so that no page is touched twice."""

from __future__ import annotations

import numpy as np

from npusim.memory import Bytes, aligned_bytes
from npusim.views import Array, Type


class Scratch:
    """Numbered slots of bytes. The content of a slot lives until the next `take` of the same slot."""

    def __init__(self) -> None:
        self._slots: dict[int, Bytes] = {}

    def take(self, slot: int, dims: tuple[int, ...], dtype: Type) -> Array:
        """A dense array in `slot`, uninitialised."""
        size = dtype.itemsize
        for dim in dims:
            size *= dim
        buffer = self._slots.get(slot)
        if buffer is None or buffer.size < size:
            buffer = self._slots[slot] = aligned_bytes(max(size, 1))
        return np.ndarray(dims, dtype, buffer)
