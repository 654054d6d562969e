"""Small views in memory: a strategy, and their bytes one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Small views: dims, strides (some 0, negative, overlapping), width."""
    rank = draw(st.integers(0, 3))
    dims = tuple(draw(st.lists(st.integers(0, 4), min_size=rank, max_size=rank)))
    strides = tuple(draw(st.lists(st.integers(-6, 12), min_size=rank, max_size=rank)))
    return dims, strides, draw(st.sampled_from([1, 2, 4]))


def bytes_of(dims: tuple[int, ...], strides: tuple[int, ...], width: int) -> set[int]:
    """Every byte of a view, one element at a time."""
    return {
        sum(i * s for i, s in zip(index, strides)) * width + byte
        for index in np.ndindex(*dims)
        for byte in range(width)
    }
