"""Footprints and their overlap against sets of bytes."""

from __future__ import annotations

from handmade import edge
from hypothesis import given, settings
from hypothesis import strategies as st
from npusim.footprint import footprint, overlap
from view_strategies import bytes_of, views

TARGET = edge()


@settings(max_examples=300, deadline=None)
@given(view=views())
def test_footprint_is_the_bytes_of_the_view(view: tuple[tuple[int, ...], tuple[int, ...], int]):
    shape = footprint(*view)
    covered = {start + byte for start in shape.starts().tolist() for byte in range(shape.run)} if shape.run else set()
    assert covered == bytes_of(*view)
    if covered:
        assert (min(covered), max(covered) + 1) == (shape.low, shape.high)


@settings(max_examples=400, deadline=None)
@given(first=views(), second=views(), distance=st.integers(-60, 60))
def test_overlap_is_exact(
    first: tuple[tuple[int, ...], tuple[int, ...], int],
    second: tuple[tuple[int, ...], tuple[int, ...], int],
    distance: int,
):
    shared = bytes_of(*first) & {byte + distance for byte in bytes_of(*second)}
    assert overlap(footprint(*first), footprint(*second), distance) == bool(shared)
