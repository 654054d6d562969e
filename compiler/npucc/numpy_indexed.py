"""NumPy semantics of gather and scatter on [b, s, r] tensors, by index arrays that broadcast."""

from __future__ import annotations

import numpy as np

from npucc.types import Array

SCATTER_FUNCTIONS = ("none", "add", "mul", "min", "max")
"""How an update meets what is there: "none" replaces it."""

_COMBINE = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def wrapped(indices: Array, size: int) -> tuple[Array, Array]:
    """i64 indices with negative ones counted from the end, and which of them lie inside [0, size)."""
    wide = indices.astype(np.int64)
    if indices.dtype == np.uint64:  # beyond i64 is outside, not negative
        wide = np.where(indices >= np.uint64(1) << np.uint64(63), size, wide)
    wide = np.where(wide < 0, wide + size, wide)
    return wide, (wide >= 0) & (wide < size)


def gather(x: Array, indices: Array) -> Array:
    """x [b, s, r], indices broadcast to [b, n, r]: y[b, i, r] = x[b, indices[b, i, r], r]; 0 where outside."""
    (batches, size, width), count = x.shape, indices.shape[1]
    if not size:
        return np.zeros((batches, count, width), x.dtype)
    places, inside = (np.broadcast_to(a, (batches, count, width)) for a in wrapped(indices, size))
    found = np.take_along_axis(x, np.where(inside, places, 0), axis=1)
    return np.where(inside, found, np.zeros((), x.dtype))


def scatter(x: Array, indices: Array, updates: Array, fn: str) -> Array:
    """A copy of x [b, s, r] in which updates [b, n, r] meet the elements at indices, one after the other in order of n.

    Updates with an index outside are dropped.
    """
    result = np.array(x)
    places, inside = (np.broadcast_to(a, updates.shape) for a in wrapped(indices, x.shape[1]))
    # Per element of x, `flatnonzero` lists its updates in order of n, and so do assignment and `ufunc.at` take them.
    batch, lane = np.indices((updates.shape[0], updates.shape[2]), sparse=True)
    kept = np.flatnonzero(inside)
    at = tuple(
        np.broadcast_to(axis, updates.shape).reshape(-1)[kept]
        for axis in (batch.reshape(-1, 1, 1), places, lane.reshape(1, 1, -1))
    )
    values = updates.reshape(-1)[kept]
    if fn == "none":
        result[at] = values
    else:
        _COMBINE[fn].at(result, at, values)
    return result
