"""Vectorised functions that NumPy lacks, for the graph interpreter."""

from __future__ import annotations

import numpy as np

from npucc.types import Array

# W. J. Cody, "Rational Chebyshev Approximations for the Error Function", Math. Comp. 23 (1969): coefficients of
# the rational approximations on |x| <= 0.5, 0.5 < |x| <= 4 and |x| > 4 (relative error below 1.2e-16).
_SMALL_P = (
    1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2,
    3.20937758913846947e3,
)
_SMALL_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_MIDDLE_P = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2,
    8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
)
_MIDDLE_Q = (
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)
_LARGE_P = (
    1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
    1.60837851487422766e-2, 6.58749161529837803e-4,
)
_LARGE_Q = (
    1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2,
    2.33520497626869185e-3,
)


def erf(x: Array) -> Array:
    """The error function, computed in f64, in the type of `x`."""
    wide = np.abs(x.astype(np.float64))
    square = wide * wide
    small = wide * np.polyval(_SMALL_P, square) / np.polyval(_SMALL_Q, square)
    tail = np.exp(-square)
    middle = tail * np.polyval(_MIDDLE_P, wide) / np.polyval(_MIDDLE_Q, wide)
    inverse = 1.0 / np.maximum(square, 16.0)
    series = inverse * np.polyval(_LARGE_P, inverse) / np.polyval(_LARGE_Q, inverse)
    large = tail * (1.0 / np.sqrt(np.pi) - series) / np.maximum(wide, 4.0)
    result = np.where(wide <= 0.5, small, 1.0 - np.where(wide <= 4.0, middle, large))
    return np.where(np.isnan(x), np.nan, np.copysign(np.where(wide > 6.0, 1.0, result), x)).astype(x.dtype)


def power(a: Array, b: Array) -> Array:
    """a ** b as IEEE 754 has it. NumPy takes square roots for a scalar exponent of 0.5: wrong for -inf and -0."""
    as_root = (b == 0.5) & ((a == 0) | np.isneginf(a))
    result = np.power(a, b)
    return np.where(as_root, a * a, result) if as_root.any() else result


def integer_division(a: Array, b: Array) -> Array:
    """Integer quotient, truncated toward zero as hardware does (NumPy's `//` floors)."""
    if a.dtype.kind == "u":
        return a // b
    return ((a - np.fmod(a, b)) // b).astype(a.dtype, copy=False)


def integer_power(a: Array, b: Array) -> Array:
    """a ** b modulo the width of a; a negative exponent gives the truncated quotient 1 / a ** -b (0 ** -n is 0)."""
    magnitude = np.power(a, np.maximum(b, 0))
    sign = np.where(b & 1 == 1, a, np.ones((), a.dtype))
    reciprocal = np.where(np.abs(a) == 1, sign, np.zeros((), a.dtype))
    return np.where(b < 0, reciprocal, magnitude).astype(a.dtype, copy=False)


def shift_left(a: Array, b: Array) -> Array:
    """a * 2 ** b modulo the width of a; 0 where b is no number of bits of a."""
    return np.where(_is_position(a, b), np.left_shift(a, b), np.zeros((), a.dtype))


def shift_right(a: Array, b: Array) -> Array:
    """a / 2 ** b rounded down; where b is no number of bits of a, copies of the sign (unsigned: 0)."""
    sign = np.where(a < 0, np.full((), -1).astype(a.dtype), np.zeros((), a.dtype))
    return np.where(_is_position(a, b), np.right_shift(a, b), sign)


def shift_right_unsigned(a: Array, b: Array) -> Array:
    """The bits of a signed `a` moved right, zeros behind them; 0 where b is no number of bits of a."""
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    return shift_right(a.view(unsigned), np.where(_is_position(a, b), b, 64).astype(unsigned)).view(a.dtype)


def _is_position(a: Array, b: Array) -> Array:
    return (b >= 0) & (b < 8 * a.dtype.itemsize)
