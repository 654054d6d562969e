"""Conversion between element types on NumPy arrays, for the interpreters and for constants.

Independent of the simulator's tables (`npusim.semantics.narrow_types`), which the tests compare it with: floats of 8
bits and less are rounded by ml_dtypes, whose casts do not saturate; f8e8m0 is rounded here.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
from npuisa.dtypes import NARROW_FLOATS, SUB_BYTE_INTEGERS

from npucc.types import Array

_POWERS = np.dtype(ml_dtypes.float8_e8m0fnu)
_SUB_BYTE = frozenset(dtype.numpy for dtype in SUB_BYTE_INTEGERS)
_NARROW_FLOATS = frozenset(dtype.numpy for dtype in NARROW_FLOATS)


def converted(x: Array, dtype: np.dtype) -> Array:
    """`x` as `dtype`: to bool "is not 0", to an integer toward zero and modulo 2 ** bits, to a float the nearest."""
    if x.dtype == dtype:
        return x
    with np.errstate(all="ignore"):
        x = _widened(x)
        if dtype == np.bool_:
            return x != 0
        if is_integer(dtype):
            return _to_integer(x, dtype)
        if dtype == _POWERS:
            return _to_powers(x)
        if dtype in _NARROW_FLOATS and (x.dtype == np.float64 or x.dtype.kind in "iub"):
            x = _to_odd_single(x.astype(np.float64, copy=False))
        return x.astype(dtype)


def reinterpreted(x: Array, dtype: np.dtype) -> Array:
    """The bytes of `x` as elements of another type; of bool, 1 is true."""
    if dtype == np.bool_:
        return x.view(np.uint8) != 0
    return np.asarray(x).view(dtype)


def is_integer(dtype: np.dtype) -> bool:
    """Integers of all widths; not bool."""
    return dtype.kind in "iu" or dtype in _SUB_BYTE


def _widened(x: Array) -> Array:
    """Narrow types as f32 or i8: not every pair of ml_dtypes has a cast."""
    if x.dtype in _NARROW_FLOATS:
        return x.astype(np.float32)
    return x.astype(np.int8) if x.dtype in _SUB_BYTE else x


def _to_integer(x: Array, dtype: np.dtype) -> Array:
    """By way of i64, so that what lies beyond a narrower type wraps."""
    if x.dtype != np.bool_ and not is_integer(x.dtype) and dtype.itemsize < 8:
        x = x.astype(np.int64)
    return x.astype(dtype)


def _to_odd_single(x: Array) -> Array:
    """f64 as f32, where it is inexact the one of both neighbours with an odd last bit, so that rounding again is
    rounding once (ml_dtypes goes by way of the nearest f32)."""
    single = np.asarray(x.astype(np.float32))
    wide = single.astype(np.float64)
    other = np.nextafter(single, np.where(x > wide, np.inf, -np.inf).astype(np.float32))
    even = single.view(np.uint32) % 2 == 0
    return np.where((wide != x) & even & ~np.isnan(x), other, single)


def _to_powers(x: Array) -> Array:
    """f8e8m0: the nearest power of two, the greater of two; 2 ** -127 at least; NaN unless 0 < x < 1.5 * 2 ** 127."""
    wide = x.astype(np.float64)
    fraction, exponent = np.frexp(wide)  # wide = fraction * 2 ** exponent, 0.5 <= fraction < 1
    power = np.maximum(exponent - 1 + (fraction >= 0.75), -127)
    legal = (wide > 0) & (power <= 127) & np.isfinite(wide)
    return np.where(legal, power + 127, 0xFF).astype(np.uint8).view(_POWERS)
