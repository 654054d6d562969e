"""Element types of the machine: code in a descriptor, width, and the NumPy type that holds them."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class DType:
    """An element type. `code` is the 5-bit number in descriptors; `bits` the width in memory."""

    name: str
    code: int
    bits: int
    numpy: np.dtype
    is_float: bool

    @property
    def bytes(self) -> int:
        """Width in bytes (types below 8 bits are not byte-addressable and have no entry here yet)."""
        return self.bits // 8

    def __str__(self) -> str:
        return self.name


def _dtype(name: str, code: int, bits: int, numpy_type: npt.DTypeLike, is_float: bool = False) -> DType:
    return DType(name, code, bits, np.dtype(numpy_type), is_float)


DTYPES: tuple[DType, ...] = (
    _dtype("f32", 0, 32, np.float32, True),
    _dtype("f16", 1, 16, np.float16, True),
    _dtype("bf16", 2, 16, ml_dtypes.bfloat16, True),
    _dtype("f64", 3, 64, np.float64, True),
    _dtype("i8", 4, 8, np.int8),
    _dtype("u8", 5, 8, np.uint8),
    _dtype("i16", 6, 16, np.int16),
    _dtype("u16", 7, 16, np.uint16),
    _dtype("i32", 8, 32, np.int32),
    _dtype("u32", 9, 32, np.uint32),
    _dtype("i64", 10, 64, np.int64),
    _dtype("u64", 11, 64, np.uint64),
    _dtype("bool", 12, 8, np.bool_),
)
_BY_NAME = {dtype.name: dtype for dtype in DTYPES}
_BY_CODE = {dtype.code: dtype for dtype in DTYPES}
_BY_NUMPY = {dtype.numpy: dtype for dtype in DTYPES}


def dtype_named(name: str) -> DType:
    """The type called `name`; KeyError if there is none."""
    return _BY_NAME[name]


def dtype_of_code(code: int) -> DType:
    """The type with descriptor code `code`; KeyError if there is none."""
    return _BY_CODE[code]


def dtype_of_numpy(dtype: npt.DTypeLike) -> DType:
    """The machine type that a NumPy type is stored as; KeyError if the machine has none."""
    return _BY_NUMPY[np.dtype(dtype)]
