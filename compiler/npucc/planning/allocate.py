"""Static memory allocation: addresses for buffers with known lifetimes, in a memory of given size.

Buffers whose lifetimes meet must not overlap in addresses (dynamic storage allocation, NP-hard). A first-fit is tried
in several orders, which settles nearly all programs; if none fits, orders are repaired (buffers that did not fit move
forward, as in Maas et al., "TelaMalloc", ASPLOS 2023), and then the space is searched completely.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from npucc.planning.canonical_search import canonical_search


@dataclass(frozen=True, slots=True)
class Buffer:
    """`size` bytes, alive during the half-open interval of steps [start, end)."""

    size: int
    start: int
    end: int
    alignment: int = 1


@dataclass(frozen=True, slots=True)
class Placement:
    """An address per buffer; `failed` are the buffers that end above the capacity (empty: it fits)."""

    addresses: list[int]
    failed: list[int]


def allocate(buffers: Sequence[Buffer], capacity: int, time_limit: float = 1.0, seed: int = 0) -> list[int] | None:
    """An address per buffer within [0, capacity), or None where none was found in `time_limit` seconds.

    Deterministic as long as the time limit is not reached. None is a proof only if `peak` exceeds the capacity.
    """
    if peak(buffers)[0] > capacity:
        return None
    placement = place(buffers, capacity, time_limit, seed)
    return None if placement.failed else placement.addresses


def place(buffers: Sequence[Buffer], capacity: int, time_limit: float = 0.0, seed: int = 0) -> Placement:
    """The best placement found: one that fits, else one with the fewest bytes in buffers above the capacity.

    First greedy orders; then, up to `time_limit` seconds in all, repaired orders (a tenth of the time) and the
    complete search.
    """
    begin = monotonic()
    greedy = _Greedy(buffers, capacity)
    best = Placement([0] * len(buffers), list(range(len(buffers))))
    for order in greedy.first_orders():
        best = greedy.better(best, greedy.first_fit(order))
        if not best.failed:
            return best
    if time_limit <= 0 or peak(buffers)[0] > capacity:
        return best
    best = greedy.repair(best, begin + time_limit / 10, random.Random(seed))
    if best.failed:
        addresses = canonical_search(buffers, capacity, begin + time_limit, seed)
        best = best if addresses is None else Placement(addresses, [])
    return best


def peak(buffers: Sequence[Buffer]) -> tuple[int, int]:
    """Most bytes alive at once, and the first step at which they are: a lower bound of any allocation."""
    events = sorted(
        [(b.end, 0, -b.size) for b in buffers if b.end > b.start]
        + [(b.start, 1, b.size) for b in buffers if b.end > b.start]
    )
    alive = most = step = 0
    for time, _, change in events:
        alive += change
        if alive > most:
            most, step = alive, time
    return most, step


class _Greedy:
    """First-fit over orders of the buffers, with neighbours (buffers alive at the same time) computed once."""

    def __init__(self, buffers: Sequence[Buffer], capacity: int) -> None:
        self.buffers = buffers
        self.capacity = capacity
        self.neighbours = _neighbours(buffers)

    def first_orders(self) -> list[list[int]]:
        """Orders worth trying first, each a permutation of the buffers."""
        buffers, indices = self.buffers, range(len(self.buffers))
        crowd = [b.size + sum(buffers[n].size for n in self.neighbours[i]) for i, b in enumerate(buffers)]
        keys = (
            lambda i: (-buffers[i].size, -(buffers[i].end - buffers[i].start)),
            lambda i: (-buffers[i].size * (buffers[i].end - buffers[i].start), buffers[i].start),
            lambda i: (-(buffers[i].end - buffers[i].start), -buffers[i].size),
            lambda i: (-crowd[i], -buffers[i].size),
            lambda i: (buffers[i].start, -buffers[i].size),
            lambda i: (-buffers[i].end, -buffers[i].size),
        )
        return [sorted(indices, key=key) for key in keys]

    def first_fit(self, order: Sequence[int]) -> Placement:
        """Place buffers in this order, each at the lowest free address."""
        addresses = [-1] * len(self.buffers)
        failed: list[int] = []
        for index in order:
            addresses[index] = address = self._lowest(index, addresses)
            if address + self.buffers[index].size > self.capacity:
                failed.append(index)
        return Placement(addresses, failed)

    def better(self, a: Placement, b: Placement) -> Placement:
        """The one with fewer bytes above the capacity."""
        over_a, over_b = (sum(self.buffers[i].size for i in p.failed) for p in (a, b))
        return b if over_b < over_a else a

    def _lowest(self, index: int, addresses: list[int]) -> int:
        buffer = self.buffers[index]
        placed = sorted(
            (addresses[n], addresses[n] + self.buffers[n].size) for n in self.neighbours[index] if addresses[n] >= 0
        )
        address = 0
        for low, high in placed:
            if low - address >= buffer.size:
                break
            if high > address:
                address = -(-high // buffer.alignment) * buffer.alignment
        return address

    def repair(self, best: Placement, deadline: float, rng: random.Random) -> Placement:
        """Improve an order until it fits: buffers above capacity move forward among those they meet."""
        weight = {i: float(b.size) * (b.end - b.start) for i, b in enumerate(self.buffers)}
        order = sorted(weight, key=lambda i: -weight[i])
        while best.failed and monotonic() < deadline:
            attempt = self.first_fit(order)
            best = self.better(best, attempt)
            for index in attempt.failed:
                position = order.index(index)
                earliest = min((order.index(n) for n in self.neighbours[index]), default=position)
                order.pop(position)
                order.insert(rng.randint(min(earliest, position), position), index)
        return best


def _neighbours(buffers: Sequence[Buffer]) -> list[list[int]]:
    """For each buffer, the others that are alive at the same time."""
    result: list[list[int]] = [[] for _ in buffers]
    alive: list[int] = []
    for index in sorted(range(len(buffers)), key=lambda i: buffers[i].start):
        if buffers[index].end <= buffers[index].start:
            continue
        alive = [other for other in alive if buffers[other].end > buffers[index].start]
        for other in alive:
            result[index].append(other)
            result[other].append(index)
        alive.append(index)
    return result
