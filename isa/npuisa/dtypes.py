"""Element types of the machine: code in a descriptor, width, and the NumPy type that holds them.

A type narrower than a byte takes one byte per element in every memory: the value in the low bits, zeros above, which
a load ignores. Packing several into a byte is a storage format (the `format` field of a descriptor), not a type.
"""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class DType:
    """An element type. `code` is the 5-bit number in descriptors; `bits` the width of a value."""

    name: str
    code: int
    bits: int
    numpy: np.dtype
    is_float: bool

    @property
    def bytes(self) -> int:
        """Bytes of an element in memory; a type below 8 bits has a byte of its own."""
        return self.numpy.itemsize

    @property
    def is_unsigned(self) -> bool:
        """u64, u32 ... u2 (not bool)."""
        return self.name.startswith("u")

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
    _dtype("f8e4m3fn", 13, 8, ml_dtypes.float8_e4m3fn, True),
    _dtype("f8e4m3fnuz", 14, 8, ml_dtypes.float8_e4m3fnuz, True),
    _dtype("f8e5m2", 15, 8, ml_dtypes.float8_e5m2, True),
    _dtype("f8e5m2fnuz", 16, 8, ml_dtypes.float8_e5m2fnuz, True),
    _dtype("f8e8m0", 17, 8, ml_dtypes.float8_e8m0fnu, True),
    _dtype("f6e2m3", 18, 6, ml_dtypes.float6_e2m3fn, True),
    _dtype("f6e3m2", 19, 6, ml_dtypes.float6_e3m2fn, True),
    _dtype("f4e2m1", 20, 4, ml_dtypes.float4_e2m1fn, True),
    _dtype("i4", 21, 4, ml_dtypes.int4),
    _dtype("u4", 22, 4, ml_dtypes.uint4),
    _dtype("i2", 23, 2, ml_dtypes.int2),
    _dtype("u2", 24, 2, ml_dtypes.uint2),
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


NARROW_FLOATS: tuple[DType, ...] = tuple(dtype for dtype in DTYPES if dtype.is_float and dtype.bits <= 8)
"""Float types that exist in memory only: kernels load them as f32 and round to them on the store."""
SUB_BYTE_INTEGERS: tuple[DType, ...] = tuple(dtype for dtype in DTYPES if not dtype.is_float and dtype.bits < 8)
"""i4, u4, i2, u2: kernels load them as i32 and wrap on the store."""
