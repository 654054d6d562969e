"""Which element type the accumulators hold, so that a result is not read as another type than it was computed in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from npuisa.dtypes import DType, dtype_of_code

from npusim.footprint import Footprint
from npusim.initialised import strided_bytes


class AccumulatorTypes:
    """The type of the last write to every byte of the accumulators, in program order.

    Most programs use one type for all: nothing is stored per byte until a second one appears.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._only: int | None = None
        self._codes: npt.NDArray[np.uint8] | None = None

    def write(self, shape: Footprint, base: int, dtype: DType) -> None:
        """`shape` at byte `base`, which lies inside, now holds elements of `dtype`."""
        if self._codes is None:
            if self._only in (None, dtype.code):
                self._only = dtype.code
                return
            self._codes = np.full(self._size, self._only, dtype=np.uint8)
        strided_bytes(self._codes, shape, base)[...] = dtype.code

    def other(self, shape: Footprint, base: int, dtype: DType) -> DType | None:
        """A type other than `dtype` that some of these (written) bytes were written as, or None."""
        if self._codes is None:
            return None if self._only in (None, dtype.code) else dtype_of_code(self._only)
        codes = strided_bytes(self._codes, shape, base)
        wrong = codes[codes != dtype.code]
        return dtype_of_code(int(wrong[0])) if wrong.size else None
