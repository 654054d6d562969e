"""Static allocation: placements are legal, and published instances are solved as far as recorded."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.planning.allocate import Buffer, allocate, peak, place
from npucc.planning.canonical_search import canonical_search

DATA = Path(__file__).parent.parent / "data" / "minimalloc"


def check(buffers: list[Buffer], addresses: list[int], capacity: int) -> None:
    """Inside the capacity, aligned, and no two buffers that live at the same time overlap."""
    for i, (a, low) in enumerate(zip(buffers, addresses)):
        assert low >= 0 and low + a.size <= capacity and low % a.alignment == 0
        for b, other in zip(buffers[:i], addresses):
            together = a.start < b.end and b.start < a.end
            assert not together or low + a.size <= other or other + b.size <= low


@st.composite
def instances(draw: st.DrawFn) -> list[Buffer]:
    found = []
    for _ in range(draw(st.integers(0, 25))):
        start = draw(st.integers(0, 20))
        size, alignment = draw(st.integers(1, 400)), draw(st.sampled_from([1, 16, 64]))
        found.append(Buffer(size, start, start + draw(st.integers(1, 8)), alignment))
    return found


@given(instances())
@settings(max_examples=100, deadline=None)
def test_placements_are_legal(buffers: list[Buffer]) -> None:
    total = sum(-(-b.size // 64) * 64 for b in buffers)
    addresses = allocate(buffers, total, time_limit=0.0)
    assert addresses is not None
    check(buffers, addresses, total)


@given(instances())
@settings(max_examples=60, deadline=None)
def test_what_does_not_fit_is_named(buffers: list[Buffer]) -> None:
    most, step = peak(buffers)
    assert most == max((sum(b.size for b in buffers if b.start <= t < b.end) for t in range(30)), default=0)
    assert not buffers or sum(b.size for b in buffers if b.start <= step < b.end) == most
    if most:
        assert allocate(buffers, most - 1, time_limit=0.0) is None
        placement = place(buffers, most - 1)
        fitting = [i for i in range(len(buffers)) if i not in placement.failed]
        check([buffers[i] for i in fitting], [placement.addresses[i] for i in fitting], most - 1)


def load(name: str) -> tuple[list[Buffer], int]:
    """An instance and its capacity (the number in the file's name)."""
    path = next(DATA.glob(f"{name}.*.csv"))
    rows = csv.DictReader(path.open())
    buffers = [Buffer(int(r["size"]), int(r["lower"]), int(r["upper"])) for r in rows]
    return buffers, int(path.name.split(".")[1])


def test_example_of_minimalloc() -> None:
    buffers, capacity = load("input")
    addresses = allocate(buffers, capacity)
    assert addresses is not None
    check(buffers, addresses, capacity)


@pytest.mark.parametrize("name", ["F", "G", "J", "K"])
def test_challenging_instances_of_minimalloc(name: str) -> None:
    """Full to the last byte (F, G, K) or nearly; greedy orders fail. A, C and D take a few seconds more."""
    buffers, capacity = load(name)
    assert place(buffers, capacity).failed
    addresses = allocate(buffers, capacity, time_limit=10.0)
    assert addresses is not None
    check(buffers, addresses, capacity)


@given(instances())
@settings(max_examples=60, deadline=None)
def test_search_is_complete(buffers: list[Buffer]) -> None:
    """At the least capacity for which a placement is known, and one below, the search agrees with brute force."""
    few = buffers[:5]
    least = least_capacity(few)
    found = canonical_search(few, least, monotonic() + 10)
    assert found is not None
    check(few, found, least)
    assert not few or canonical_search(few, least - 1, monotonic() + 10) is None


def least_capacity(buffers: list[Buffer]) -> int:
    """The best first-fit over all orders: an optimal solution is the first-fit of its own order of addresses."""
    best = sum(b.size + b.alignment for b in buffers)
    for order in itertools.permutations(range(len(buffers))):
        placed: list[tuple[int, int]] = []
        for index in order:
            buffer = buffers[index]
            address = 0
            for low, other in sorted(placed):
                meets = buffers[other].start < buffer.end and buffer.start < buffers[other].end
                if meets and low < address + buffer.size and low + buffers[other].size > address:
                    address = -(-(low + buffers[other].size) // buffer.alignment) * buffer.alignment
            placed.append((address, index))
        best = min(best, max((low + buffers[i].size for low, i in placed), default=0))
    return best
