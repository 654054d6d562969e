"""Elements of 8 bits and less: what every byte means, and how wider values become bytes.

Floats round once, to the nearest value, ties to even, whatever type they come from. Beyond the greatest value:

| type | infinity and beyond | NaN |
|---|---|---|
| f8e5m2 | infinity | NaN |
| f8e4m3fn, f8e4m3fnuz, f8e5m2fnuz | NaN | NaN |
| f6e2m3, f6e3m2, f4e2m1 | the greatest value | -0 (of a negative NaN: 0) |

The `fnuz` types have no -0. f8e8m0 holds powers of two: ties go to the greater, positive values below the least give
the least, and zero, negative numbers, infinity and what is beyond the greatest give NaN. (Sources: the table of ONNX's
Cast without saturation; OCP Microscaling Formats 1.0, 5.3.) A kernel that saturates clips before it stores.

Integers of 2 and 4 bits are the low bits of the number, floats truncate toward zero first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from npuisa.dtypes import NARROW_FLOATS, SUB_BYTE_INTEGERS, DType, dtype_of_numpy

from npusim.views import Array, Type

Bytes = npt.NDArray[np.uint8]

_STICKY = np.uint32(0xFFFF)


@dataclass(frozen=True)
class FloatFormat:
    """Fields of a narrow float. `nan` and `negative_nan` are codes; `top`: the code of the greatest finite value;
    `beyond`: the code of what rounds to more than it."""

    exponent_bits: int
    mantissa_bits: int
    bias: int
    top: int
    beyond: int
    nan: int
    negative_nan: int
    negative_zero: bool = True

    @property
    def sign(self) -> int:
        """The sign bit's weight."""
        return 1 << (self.exponent_bits + self.mantissa_bits)

    def value(self, code: int) -> float:
        """The number of a code without sign, of this or the next binade."""
        exponent, mantissa = code >> self.mantissa_bits, code & ((1 << self.mantissa_bits) - 1)
        hidden = 1 << self.mantissa_bits if exponent else 0
        return float(hidden + mantissa) * 2.0 ** (max(exponent, 1) - self.bias - self.mantissa_bits)


FORMATS: dict[str, FloatFormat] = {
    "f8e4m3fn": FloatFormat(4, 3, 7, top=0x7E, beyond=0x7F, nan=0x7F, negative_nan=0xFF),
    "f8e4m3fnuz": FloatFormat(4, 3, 8, top=0x7F, beyond=0x80, nan=0x80, negative_nan=0x80, negative_zero=False),
    "f8e5m2": FloatFormat(5, 2, 15, top=0x7B, beyond=0x7C, nan=0x7E, negative_nan=0xFE),
    "f8e5m2fnuz": FloatFormat(5, 2, 16, top=0x7F, beyond=0x80, nan=0x80, negative_nan=0x80, negative_zero=False),
    "f6e2m3": FloatFormat(2, 3, 1, top=0x1F, beyond=0x1F, nan=0x20, negative_nan=0x00),
    "f6e3m2": FloatFormat(3, 2, 3, top=0x1F, beyond=0x1F, nan=0x20, negative_nan=0x00),
    "f4e2m1": FloatFormat(2, 1, 1, top=0x7, beyond=0x7, nan=0x8, negative_nan=0x0),
}
"""Every narrow float but f8e8m0, which has neither sign nor mantissa."""


def is_narrow(dtype: Type) -> bool:
    """Whether the type has 8 bits and is a float, or fewer."""
    return dtype in _NARROW


def narrow_converter(source: Type, target: Type) -> Callable[[Array, Array], None]:
    """The conversion between two types, at least one of them narrow."""
    if is_narrow(source):
        table = decoding(dtype_of_numpy(source))
        if not is_narrow(target):
            return _Decoder(table.astype(target))
        store = _encoder(target)
        return _ByTable(store(table))
    return _Encoder(_encoder(target))


def rounding(dtype: DType) -> Callable[[Array, Array], None]:
    """`fn(x, out)`: f32 `out` = the values of `dtype` that the floats `x` are stored as."""

    def rounded(source: Array, out: Array) -> None:
        np.copyto(out, decoding(dtype)[_encoder(dtype.numpy)(source)])

    return rounded


class _Decoder:
    def __init__(self, table: Array) -> None:
        self._table = table

    def __call__(self, source: Array, out: Array) -> None:
        np.copyto(out, self._table[source.view(np.uint8)])


class _ByTable:
    def __init__(self, codes: Bytes) -> None:
        self._codes = codes

    def __call__(self, source: Array, out: Array) -> None:
        np.copyto(out.view(np.uint8), self._codes[source.view(np.uint8)])


class _Encoder:
    def __init__(self, encode: Callable[[Array], Bytes]) -> None:
        self._encode = encode

    def __call__(self, source: Array, out: Array) -> None:
        np.copyto(out.view(np.uint8), self._encode(source))


@cache
def decoding(dtype: DType) -> Array:
    """The numbers (f32, or int8 of an integer type) that the 256 bytes mean."""
    codes = np.arange(256, dtype=np.int64)
    if not dtype.is_float:
        value = codes & ((1 << dtype.bits) - 1)
        if not dtype.is_unsigned:
            value -= (value >> (dtype.bits - 1)) << dtype.bits
        return value.astype(np.int8)
    if dtype.name == "f8e8m0":
        return np.where(codes == 0xFF, np.nan, np.exp2(codes - 127.0)).astype(np.float32)
    form = FORMATS[dtype.name]
    magnitudes = np.array([form.value(code) for code in range(form.sign)])
    magnitudes[form.top + 1 :] = np.nan
    if form.beyond > form.top and form.beyond != (form.nan & (form.sign - 1)) and form.beyond < form.sign:
        magnitudes[form.beyond] = np.inf
    values = np.concatenate([magnitudes, -magnitudes])
    if not form.negative_zero:
        values[form.sign] = np.copysign(np.nan, -1.0)
    return np.resize(values, 256).astype(np.float32)


def _encoder(target: Type) -> Callable[[Array], Bytes]:
    """Bytes of wider values, in a narrow type."""
    dtype = dtype_of_numpy(target)
    if not dtype.is_float:
        mask = (1 << dtype.bits) - 1
        return lambda values: (_integers(values) & mask).astype(np.uint8)
    table = encoding(dtype)
    return lambda values: table[_round_to_odd(values)]


def _integers(values: Array) -> Array:
    """Integers as they are; floats truncated toward zero."""
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    with np.errstate(invalid="ignore"):
        return values.astype(np.int32)


def _round_to_odd(values: Array) -> npt.NDArray[np.uint16]:
    """The upper half of the f32 pattern, its last bit set where anything was cut off.

    Rounding that to fewer bits gives what rounding the value itself would give: the last bit says on which side of a
    tie it lies (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
    """
    single = values if values.dtype == np.float32 else _single_to_odd(values)
    bits = single.view(np.uint32)
    high = (bits >> np.uint32(16)).astype(np.uint16)
    high |= (bits & _STICKY) != 0
    return high


def _single_to_odd(values: Array) -> npt.NDArray[np.float32]:
    """Floats of other types and integers as f32, rounded to odd; i64 and u64 go by way of f64."""
    if values.dtype.itemsize <= 2:
        return values.astype(np.float32)
    wide = values.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.ascontiguousarray(wide.astype(np.float32)).reshape(wide.shape)
        inexact = (single != wide) & ~np.isnan(wide)
        above = np.abs(single.astype(np.float64)) > np.abs(wide)
    bits = single.view(np.uint32)
    bits -= (inexact & above).astype(np.uint32)
    bits |= inexact
    return single


@cache
def encoding(dtype: DType) -> Bytes:
    """The byte for every upper half of an f32 pattern."""
    patterns = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    with np.errstate(invalid="ignore"):
        values = patterns.view(np.float32).astype(np.float64)
    if dtype.name == "f8e8m0":
        return _encoded_powers(values)
    form = FORMATS[dtype.name]
    count = form.top + 1
    numbers = np.array([form.value(code) for code in range(count + 1)])
    ties = (numbers[:-1] + numbers[1:]) / 2
    magnitude = np.abs(values)
    codes = np.searchsorted(ties, magnitude)
    at_tie = magnitude == ties[np.minimum(codes, count - 1)]
    codes += at_tie & (codes % 2 == 1)
    codes = np.where(codes > form.top, form.beyond, codes)
    negative = np.signbit(values) & (form.negative_zero | (codes != 0))
    codes = np.where(negative, codes | form.sign, codes)
    nan = np.where(np.signbit(values), form.negative_nan, form.nan)
    return np.where(np.isnan(values), nan, codes).astype(np.uint8)


def _encoded_powers(values: npt.NDArray[np.float64]) -> Bytes:
    """f8e8m0: 2 ** (code - 127)."""
    numbers = np.exp2(np.arange(256) - 127.0)
    codes = np.searchsorted((numbers[:-1] + numbers[1:]) / 2, values, side="right")
    legal = (values > 0) & (codes < 255)
    return np.where(legal, codes, 255).astype(np.uint8)


_NARROW = frozenset(dtype.numpy for dtype in (*NARROW_FLOATS, *SUB_BYTE_INTEGERS))
