"""Is an output right? Element-wise tolerance for f32, signal-to-noise ratio for the 16-bit types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npucc.element_conversion import is_integer
from npucc.results import Array, TensorResult

SENTINEL = 1e30
"""Greater magnitudes are marks (masks, "minus infinity"), not data: they are compared relatively and set no scale."""
LARGEST_ERROR = 0.5
"""Of max|ref|: under the signal-to-noise rule no single element may be further off."""
TIE = 1e-3
"""Classes whose reference scores lie within this fraction of the best one count as tied."""


@dataclass(frozen=True)
class Tolerance:
    """An element passes when |x - ref| <= rtol |ref| + atol max|ref|; with `min_sqnr_db` the tensor as a whole
    must reach that ratio instead, and class scores must keep their best class."""

    rtol: float = 1e-3
    atol: float = 1e-4
    min_sqnr_db: float | None = None

    def __str__(self) -> str:
        if self.min_sqnr_db is not None:
            return f"SQNR >= {self.min_sqnr_db:g} dB, same best class"
        return f"|x - ref| <= {self.rtol:g} |ref| + {self.atol:g} max|ref|"


def default_tolerance(precision: str) -> Tolerance:
    """Tolerance for a computation in `precision`: 35 dB for 16-bit types (an f16 has about 66 dB per rounding)."""
    if precision == "f64":
        return Tolerance(rtol=1e-9, atol=1e-12)
    return Tolerance(min_sqnr_db=35.0) if precision in ("f16", "bf16") else Tolerance()


def scale(reference: npt.NDArray[np.float64]) -> float:
    """max|ref| of the finite elements, sentinels left out: one -FLT_MAX of a mask must not make the others pass."""
    magnitude = np.abs(reference[np.isfinite(reference)])
    return float(magnitude[magnitude < SENTINEL].max(initial=0.0))


def outside(actual: Array, reference: Array, tolerance: Tolerance) -> npt.NDArray[np.bool_]:
    """Elements of float arrays of one shape that break the element-wise rule.

    NaN and infinities must stand in the same places and agree; only finite values have an error.
    """
    x, ref = actual.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(ref)
    with np.errstate(invalid="ignore"):
        error = np.abs(x - np.where(finite, ref, 0.0))
        wrong = ~(error <= tolerance.rtol * np.abs(ref) + tolerance.atol * scale(ref))
    return np.where(finite, wrong, ~((x == ref) | (np.isnan(x) & np.isnan(ref))))


def compare(name: str, actual: Array, reference: Array, tolerance: Tolerance) -> TensorResult:
    """Errors of `actual` against `reference`; integers and booleans must be equal. Another shape or type fails."""
    result = TensorResult(name=name, shape=list(actual.shape), dtype=str(actual.dtype))
    if actual.shape != reference.shape or actual.dtype != reference.dtype:
        result.passed, result.mismatches = False, int(reference.size)
        return result
    if reference.dtype.kind in "OUS":  # strings
        result.mismatches = int(np.count_nonzero(actual != reference))
        result.passed = result.mismatches == 0
        return result
    if reference.dtype == np.bool_ or is_integer(reference.dtype):
        different = int(np.count_nonzero(actual != reference))
        result.passed, result.mismatches = different == 0, different
        gap = np.abs(actual.astype(np.float64) - reference.astype(np.float64))
        result.max_abs_err = float(gap.max(initial=0.0))
        return result
    return _compare_floats(result, actual.astype(np.float64), reference.astype(np.float64), tolerance)


def _compare_floats(
    result: TensorResult, actual: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], tolerance: Tolerance
) -> TensorResult:
    wrong = outside(actual, reference, tolerance)
    finite = np.isfinite(reference)
    ref = np.where(finite, reference, 0.0)
    with np.errstate(invalid="ignore"):
        error = np.where(finite, np.abs(actual - ref), 0.0)
    error = np.where(np.isnan(error), np.inf, error)
    result.max_abs_err = float(error.max(initial=0.0))
    nonzero = ref != 0
    result.max_rel_err = float((error[nonzero] / np.abs(ref[nonzero])).max(initial=0.0))
    result.mismatches = int(np.count_nonzero(wrong))
    data = np.abs(ref) < SENTINEL
    result.sqnr_db = sqnr_db(error[data], ref[data])
    if tolerance.min_sqnr_db is None:
        result.passed = result.mismatches == 0
        return result
    result.same_best_class = _same_best_class(actual, ref)
    enough = result.sqnr_db is None or result.sqnr_db >= tolerance.min_sqnr_db
    close = float(error[data].max(initial=0.0)) <= LARGEST_ERROR * scale(reference)
    special = wrong & (~finite | ~data)
    result.passed = enough and close and not special.any() and result.same_best_class is not False
    return result


def sqnr_db(error: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float | None:
    """Signal to quantisation noise in dB; None when there is no error. A zero reference with an error is -inf dB,
    given as -999 because JSON has no infinities."""
    noise, signal = float(np.square(error).sum()), float(np.square(reference).sum())
    if noise == 0.0:
        return None
    if signal == 0.0 or not np.isfinite(noise):
        return -999.0
    return float(10 * np.log10(signal / noise))


def _same_best_class(actual: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> bool | None:
    """For scores [n, classes] (axes of extent 1 behind them are ignored); None for other shapes."""
    shape = list(reference.shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape.pop()
    if len(shape) != 2 or shape[1] < 2:
        return None
    scores, expected = actual.reshape(shape), reference.reshape(shape)
    best = expected.max(axis=1)
    chosen = np.take_along_axis(expected, scores.argmax(axis=1)[:, None], axis=1)[:, 0]
    return bool(np.all(chosen >= best - TIE * np.abs(best)))


def worst(results: list[TensorResult]) -> TensorResult:
    """The tensor with the lowest SQNR, those that fail first."""
    return min(results, key=lambda r: (r.passed is not False, r.sqnr_db if r.sqnr_db is not None else np.inf))
