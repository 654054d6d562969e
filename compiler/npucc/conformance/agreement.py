"""Whether results agree, by the rule of `onnx.backend.test.runner` and nowhere more lenient.

Stricter than it: integers, bools and strings are equal, floats of 8 and 4 bits are equal, the type of an element of
a sequence counts, an empty optional equals nothing but an empty optional, and the numbers of elements agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np

TWO_BF16_ROUNDINGS = 2.0**-6
"""The runner's own relative tolerance for bfloat16."""
TOLERANT = frozenset(("float16", "bfloat16", "float32", "float64", "complex64", "complex128"))


def difference(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    """What is different, "" if nothing is. Lists and tuples are compared element by element."""
    if isinstance(expected, list | tuple):
        return _of_sequences(actual, expected, rtol, atol)
    if expected is None or actual is None:
        return "" if actual is expected else "only one of them is empty"
    if isinstance(actual, list | tuple):
        return f"a sequence of {len(actual)} for a tensor"
    return _of_tensors(np.asarray(actual), np.asarray(expected), rtol, atol)


def _of_sequences(actual: Any, expected: list[Any] | tuple[Any, ...], rtol: float, atol: float) -> str:
    if not isinstance(actual, list | tuple):
        return f"no sequence, but {type(actual).__name__}"
    if len(actual) != len(expected):
        return f"{len(actual)} elements for {len(expected)}"
    found = (difference(got, wanted, rtol, atol) for got, wanted in zip(actual, expected))
    return next((f"element {index}: {text}" for index, text in enumerate(found) if text), "")


def _of_tensors(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], rtol: float, atol: float) -> str:
    if actual.shape != expected.shape:
        return f"shape {list(actual.shape)} for {list(expected.shape)}"
    if is_text(actual) and is_text(expected):
        return "" if np.array_equal(actual.astype(object), expected.astype(object)) else "other strings"
    if actual.dtype != expected.dtype:
        return f"{actual.dtype} for {expected.dtype}"
    name = expected.dtype.name
    if name not in TOLERANT:
        return _of_exact(actual, expected)
    if name == "bfloat16":
        rtol, actual, expected = max(rtol, TWO_BF16_ROUNDINGS), actual.astype(np.float32), expected.astype(np.float32)
    close = np.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=True)
    return "" if close.all() else f"{int((~close).sum())} of {close.size} elements differ"


def _of_exact(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> str:
    """Integers, bools, and the types of ml_dtypes, whose values all are f32 values."""
    if actual.dtype.kind not in "biu":
        actual, expected = actual.astype(np.float32), expected.astype(np.float32)
    same = (actual == expected) | ((actual != actual) & (expected != expected))
    return "" if np.all(same) else f"{int(np.size(same) - np.sum(same))} of {np.size(same)} elements differ"


def is_text(array: np.ndarray[Any, Any]) -> bool:
    """Whether the elements are strings."""
    return array.dtype.kind in "OUST"
