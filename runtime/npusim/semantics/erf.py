"""The error function on arrays, without SciPy: f32 within 0.6 and f64 within 2 units in the last place.

f32: erf(x) = x P(x^2) / Q(x^2) on |x| <= 3.93 (beyond it erf rounds to 1), evaluated in f64 and rounded once. P and Q
are our own least-squares fit, reweighted towards the minimax error, of degrees 6 and 5: relative error 1.9e-9.
f64: the five intervals and coefficients of Sun's fdlibm `s_erf.c` (1993, freely distributable).
"""

from __future__ import annotations

import numpy as np

from npusim.semantics.conversion import F32
from npusim.views import Array

Floats = np.ndarray

_SATURATION = 3.93
_BLOCK = 16384
"""Elements per pass: the f64 temporaries stay in the second cache."""
_P = (
    1.128379169177997,
    0.18514762018052908,
    0.054254739273612525,
    0.0038402921329667365,
    0.0003771678412988297,
    4.62006734384836e-06,
    -1.2858012578602726e-08,
)
_Q = (
    1.0,
    0.49741621350270193,
    0.11388692925153357,
    0.015434838587236644,
    0.0013024097118792767,
    6.250094998834109e-05,
)

# fdlibm: numerator and denominator per interval of |x|.
_SMALL = (
    (
        1.28379167095512558561e-01,
        -3.25042107247001499370e-01,
        -2.84817495755985104766e-02,
        -5.77027029648944159157e-03,
        -2.37630166566501626084e-05,
    ),
    (
        1.0,
        3.97917223959155352819e-01,
        6.50222499887672944485e-02,
        5.08130628187576562776e-03,
        1.32494738004321644526e-04,
        -3.96022827877536812320e-06,
    ),
)
_ERX = 8.45062911510467529297e-01
_MIDDLE = (
    (
        -2.36211856075265944077e-03,
        4.14856118683748331666e-01,
        -3.72207876035701323847e-01,
        3.18346619901161753674e-01,
        -1.10894694282396677476e-01,
        3.54783043256182359371e-02,
        -2.16637559486879084300e-03,
    ),
    (
        1.0,
        1.06420880400844228286e-01,
        5.40397917702171048937e-01,
        7.18286544141962662868e-02,
        1.26171219808761642112e-01,
        1.36370839120290507362e-02,
        1.19844998467991074170e-02,
    ),
)
_LARGE = (
    (
        -9.86494403484714822705e-03,
        -6.93858572707181764372e-01,
        -1.05586262253232909814e01,
        -6.23753324503260060396e01,
        -1.62396669462573470355e02,
        -1.84605092906711035994e02,
        -8.12874355063065934246e01,
        -9.81432934416914548592e00,
    ),
    (
        1.0,
        1.96512716674392571292e01,
        1.37657754143519042600e02,
        4.34565877475229228821e02,
        6.45387271733267880336e02,
        4.29008140027567833386e02,
        1.08635005541779435134e02,
        6.57024977031928170135e00,
        -6.04244152148580987438e-02,
    ),
)
_TAIL = (
    (
        -9.86494292470009928597e-03,
        -7.99283237680523006574e-01,
        -1.77579549177547519889e01,
        -1.60636384855821916062e02,
        -6.37566443368389627722e02,
        -1.02509513161107724954e03,
        -4.83519191608651397019e02,
    ),
    (
        1.0,
        3.03380607434824582924e01,
        3.25792512996573918826e02,
        1.53672958608443695994e03,
        3.19985821950859553908e03,
        2.55305040643316442583e03,
        4.74528541206955367215e02,
        -2.24409524465858183362e01,
    ),
)


def erf(a: Array, out: Array) -> None:
    """Error function of f32 or f64 elements; NaN stays NaN, infinities give -1 and 1."""
    if a.dtype == F32:
        _erf_single(a, out)
    else:
        np.copyto(out, _erf_double(np.asarray(a, np.float64)))


def _polynomial(coefficients: tuple[float, ...], t: Floats) -> Floats:
    total = np.multiply(t, coefficients[-1])
    for coefficient in coefficients[-2:0:-1]:
        np.add(total, coefficient, out=total)
        np.multiply(total, t, out=total)
    return np.add(total, coefficients[0], out=total)


def _erf_single(a: Array, out: Array) -> None:
    if a.flags.c_contiguous and out.flags.c_contiguous and a.shape == out.shape:
        a, out = a.reshape(-1), out.reshape(-1)
        for first in range(0, a.size, _BLOCK):
            _erf_block(a[first : first + _BLOCK], out[first : first + _BLOCK])
    else:
        _erf_block(a, out)


def _erf_block(a: Array, out: Array) -> None:
    x = np.asarray(np.clip(a, -_SATURATION, _SATURATION), np.float64)
    t = np.multiply(x, x)
    np.multiply(x, _polynomial(_P, t), out=x)
    np.divide(x, _polynomial(_Q, t), out=out, casting="same_kind")


def _erf_double(x: Floats) -> Floats:
    size = np.abs(x)
    result = np.where(np.isnan(x), x, np.float64(1.0))
    small, middle = size < 0.84375, (size >= 0.84375) & (size < 1.25)
    large, tail = (size >= 1.25) & (size < 1 / 0.35), (size >= 1 / 0.35) & (size < 6)
    part = size[small]
    result[small] = part + part * _ratio(_SMALL, part * part)
    result[middle] = _ERX + _ratio(_MIDDLE, size[middle] - 1)
    for mask, coefficients in ((large, _LARGE), (tail, _TAIL)):
        part = size[mask]
        square = part * part
        result[mask] = 1 - np.exp(-square - 0.5625 + _ratio(coefficients, 1 / square)) / part
    return np.copysign(result, x)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], t: Floats) -> Floats:
    return _polynomial(coefficients[0], t) / _polynomial(coefficients[1], t)
