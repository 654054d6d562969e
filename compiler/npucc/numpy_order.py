"""NumPy semantics of ordering, running sums and compaction along the last axis; independent of the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np

from npucc.numpy_kernels import neutral
from npucc.types import Array

_FUNCTIONS = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
PADDING = -1
"""Position behind the last hit of a line: the last element of a lookup, never one of its own."""


def argsort(x: Array, count: int, descending: bool) -> Array:
    """Positions of the first `count` elements of each line in order; ties by position, NaN above everything."""
    keys = x.astype(np.float64) if x.dtype.kind in "fV" else x
    if not descending:
        return np.argsort(keys, axis=-1, kind="stable")[..., :count]
    # Stable from the back, then turned round: the greatest first, of equal ones the first one first.
    backwards = np.argsort(keys[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return x.shape[-1] - 1 - backwards[..., :count]


def scan(x: Array, fn: str, exclusive: bool, reverse: bool) -> Array:
    """Running `fn` in the type of x; exclusive: of the elements before; reverse: from the end."""
    line = x[..., ::-1] if reverse else x
    if exclusive:
        start = np.full((*x.shape[:-1], min(1, x.shape[-1])), neutral(fn, x.dtype), x.dtype)
        line = np.concatenate([start, line[..., :-1]], axis=-1)
    total = _FUNCTIONS[fn].accumulate(line, axis=-1, dtype=x.dtype) if x.size else line
    return total[..., ::-1] if reverse else total


def nonzero(mask: Array, count: int) -> Array:
    """The first `count` positions of each line at which it is not 0; PADDING behind the last."""
    hits = mask.astype(bool)
    order = np.argsort(~hits, axis=-1, kind="stable")[..., :count]
    return np.where(_valid(hits, count), order, PADDING)


def compress(x: Array, mask: Array, count: int) -> Array:
    """The first `count` elements of each line of x at which mask is not 0; 0 behind the last."""
    places = nonzero(mask, count)
    taken: Array = np.take_along_axis(x, np.maximum(places, 0), axis=-1) if x.size else x[..., :count]
    zero: Any = np.zeros((), x.dtype)
    return np.where(places == PADDING, zero, taken)


def _valid(hits: Array, count: int) -> Array:
    return np.arange(count) < hits.sum(axis=-1, keepdims=True)
