"""Complete search for a static allocation: buffers are placed in the order of their addresses.

The search space of Moffitt, "MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated Machine Learning"
(ASPLOS 2023): if there is a solution, then there is one in which every buffer rests on address 0 or on another
buffer; it is found by placing buffers by non-decreasing address, each on the skyline of those before.

* A buffer is a candidate only if no other one would fit completely below it.
* A branch is cut when, in some section of time, the buffers that can lie no lower than some address do not fit above
  it. A buffer that has been passed over can no longer have its own lowest address.
* A buffer on which nothing will rest can be placed without trying alternatives.
* Waiting buffers that fall apart into parts that never meet are solved part by part.

The run time varies wildly with the order among candidates of equal address; so several orders are tried in turn,
each with a budget that grows (restarts).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_NEVER = 1 << 50
"""Floor of a buffer that does not wait; above any address."""
_FIRST_BUDGET = 8000
_RANDOM_ORDERS = 4
_RANDOM_SHARE = 4
"""Random orders get this fraction of the budget of the others."""


class Interval(Protocol):
    """What the search needs of a buffer."""

    @property
    def size(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def alignment(self) -> int: ...


class _OutOfBudget(Exception):
    """The budget of placements or the time is used up."""


def canonical_search(buffers: Sequence[Interval], capacity: int, deadline: float, seed: int = 0) -> list[int] | None:
    """Addresses within [0, capacity), or None if there are none or `deadline` (of `monotonic`) came first."""
    living = [index for index, buffer in enumerate(buffers) if buffer.end > buffer.start and buffer.size > 0]
    addresses = [0] * len(buffers)
    if not living:
        return addresses
    search = _Search([buffers[index] for index in living], capacity, deadline)
    budget = _FIRST_BUDGET
    rng = np.random.default_rng(seed)
    while monotonic() < deadline:
        for rank, share in search.ranks(rng):
            try:
                if not search.run(rank, budget // share):
                    return None
            except _OutOfBudget:
                continue
            for index, address in zip(living, search.addresses):
                addresses[index] = int(address)
            return addresses
        budget *= 2
    return None


@dataclass
class _Node:
    """A state of the search.

    `floors`: lowest address per buffer (_NEVER if it does not wait in this part); `bytes` and `crossing`: per
    section, the bytes that wait, and how many waiting buffers live on into the next one; `candidates` in the
    order in which they are tried, from `next`.
    """

    floors: Ints
    bytes: Ints
    crossing: Ints
    candidates: list[int]
    next: int = 0


class _Search:
    """The buffers in order of their starts, and the sections of time in which they live."""

    def __init__(self, buffers: Sequence[Interval], capacity: int, deadline: float) -> None:
        self.capacity = capacity
        self.deadline = deadline
        self.budget = 0
        self.sizes = np.array([b.size for b in buffers], np.int64)
        self.steps = np.array([b.alignment for b in buffers], np.int64)
        starts = np.array([b.start for b in buffers], np.int64)
        ends = np.array([b.end for b in buffers], np.int64)
        self.width = ends - starts
        alive = _maximal(_sections(starts, ends))
        self.first = alive.argmax(axis=0)
        self.end = len(alive) - alive[::-1].argmax(axis=0)
        self.alive = alive
        self.dead = np.where(alive, 0, _NEVER)
        self.sized = np.where(alive, self.sizes, 0)
        """[section, buffer]: bytes of the buffer where it lives; `dead`: _NEVER where it does not."""
        meets = (self.first[:, None] < self.end) & (self.first < self.end[:, None])
        np.fill_diagonal(meets, False)
        by_size = np.argsort(self.sizes, kind="stable")
        self.meets = [by_size[row[by_size]] for row in meets]
        """Buffers that meet each one, smallest first."""
        self.addresses = np.zeros(len(buffers), np.int64)
        self.rank = np.zeros(len(buffers), np.int64)

    def ranks(self, rng: np.random.Generator) -> Iterator[tuple[Ints, int]]:
        """Orders among candidates: by the load of their time, lifetime and area; then with random changes.

        With each the divisor of the budget it deserves.
        """
        load = np.array([(self.alive @ self.sizes)[a:b].max() for a, b in zip(self.first, self.end)])
        area = self.width * self.sizes
        yield _ranks(load, self.width, area), 1
        yield _ranks(self.width, area, load), 1
        yield _ranks(load, area, self.width), 1
        for _ in range(_RANDOM_ORDERS):
            noise = rng.uniform(0.8, 1.25, (2, len(load)))
            yield _ranks(load * noise[0], self.width * noise[1], area), _RANDOM_SHARE
            yield _ranks(self.width * noise[1], area, load), _RANDOM_SHARE

    def run(self, rank: Ints, budget: int) -> bool:
        """Search the whole space with an order; False proves that there is no solution."""
        self.rank, self.budget = rank, budget
        return self._solve_parts(np.zeros(len(self.sizes), np.int64))

    def _solve_parts(self, floors: Ints) -> bool:
        """Solve each group of waiting buffers that are connected in time."""
        return all(self._solve(part) for part in self._connected(floors))

    def _connected(self, floors: Ints) -> list[Ints]:
        """Floors per part: _NEVER for the buffers of the other parts."""
        waiting = np.flatnonzero(floors < _NEVER)
        waiting = waiting[np.argsort(self.first[waiting], kind="stable")]
        reach = np.maximum.accumulate(self.end[waiting])
        cuts = np.flatnonzero(self.first[waiting][1:] >= reach[:-1]) + 1
        parts: list[Ints] = []
        for members in np.split(waiting, cuts):
            part = np.full_like(floors, _NEVER)
            part[members] = floors[members]
            parts.append(part)
        return parts

    def _solve(self, floors: Ints) -> bool:
        """Depth-first over the candidates of one part, with a stack of its own."""
        waiting = floors < _NEVER
        crossing = (self.alive[:-1] & self.alive[1:]) @ waiting.astype(np.int64)
        stack = [self._node(floors, self.alive @ (self.sizes * waiting), crossing, 0, -1)]
        rows = slice(int(self.first[waiting].min()), int(self.end[waiting].max()))
        if self._hopeless(stack[0], rows, 0, -1):
            return False
        while stack:
            node = stack[-1]
            if node.next >= len(node.candidates):
                stack.pop()
                continue
            chosen = node.candidates[node.next]
            node.next += 1
            child = self._place(node, chosen)
            if child is None:
                return True
            if not (child.floors[self.meets[chosen]] < _NEVER).any():
                # Nothing waits that could rest on it, so that no other choice does better than this one.
                node.next = len(node.candidates)
            address, rank = int(self.addresses[chosen]), int(self.rank[chosen])
            if self._hopeless(child, rows, address, rank):
                continue
            a, b = int(self.first[chosen]), int(self.end[chosen])
            if b - a > 1 and not child.crossing[a : b - 1].all():
                if self._solve_parts(child.floors):
                    return True
                continue
            stack.append(self._node(child.floors, child.bytes, child.crossing, address, rank))
        return False

    def _place(self, node: _Node, chosen: int) -> _Node | None:
        """The state after placing a buffer on its floor; None if it was the last one."""
        self.budget -= 1
        if self.budget < 0 or (self.budget % 128 == 0 and monotonic() > self.deadline):
            raise _OutOfBudget
        address, size = int(node.floors[chosen]), int(self.sizes[chosen])
        self.addresses[chosen] = address
        floors = node.floors.copy()
        meets = self.meets[chosen]
        top = -(-(address + size) // self.steps[meets]) * self.steps[meets]
        floors[meets] = np.maximum(floors[meets], top)
        floors[chosen] = _NEVER
        if floors.min() >= _NEVER:
            return None
        waiting, crossing = node.bytes.copy(), node.crossing.copy()
        a, b = int(self.first[chosen]), int(self.end[chosen])
        waiting[a:b] -= size
        crossing[a : b - 1] -= 1
        return _Node(floors, waiting, crossing, [])

    def _hopeless(self, node: _Node, rows: slice, address: int, rank: int) -> bool:
        """Whether some section cannot hold what waits there.

        A waiting buffer that comes before the last choice, (address, rank), has been passed over: another one
        must still come between it and its floor, at `address` or above.
        """
        floors = node.floors
        passed = np.flatnonzero((floors < address) | ((floors == address) & (self.rank < rank)))
        if len(passed):
            bounds = floors.copy()
            for index in passed:
                meets = self.meets[index]
                waits = floors[meets] < _NEVER
                smallest = int(waits.argmax()) if len(meets) else 0
                if not len(meets) or not waits[smallest]:
                    return True
                bounds[index] = address + self.sizes[meets[smallest]]
            floors = bounds
        lowest = (floors + self.dead[rows]).min(axis=1)
        if ((lowest < _NEVER) & (lowest + node.bytes[rows] > self.capacity)).any():
            return True
        # The same for every other floor: what cannot lie lower than it must fit between it and the capacity.
        order = np.argsort(-floors)
        order = order[floors[order] < _NEVER]
        sizes = self.sized[rows, order]
        return bool(((sizes.cumsum(axis=1) + floors[order] > self.capacity) & (sizes > 0)).any())

    def _node(self, floors: Ints, waiting: Ints, crossing: Ints, address: int, rank: int) -> _Node:
        """A state with its choices after the last one, (address, rank); none that another one fits below."""
        lowest_top = (floors + self.sizes).min()
        later = (floors > address) | ((floors == address) & (self.rank > rank))
        candidates = np.flatnonzero(later & (floors < lowest_top))
        order = np.lexsort((self.rank[candidates], floors[candidates]))
        return _Node(floors, waiting, crossing, candidates[order].tolist())


def _ranks(*keys: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> Ints:
    """Position of each buffer when sorted by `keys`, greatest first, the first key counting most."""
    return np.argsort(np.lexsort([-key for key in reversed(keys)]))


def _sections(starts: Ints, ends: Ints) -> npt.NDArray[np.bool_]:
    """[section, buffer]: which buffers live in each of the sections into which starts cut time."""
    moments = np.unique(starts)
    return (starts[None, :] <= moments[:, None]) & (moments[:, None] < ends[None, :])


def _maximal(alive: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Sections whose buffers are not all alive in a neighbouring one: the others say nothing new."""
    kept: list[int] = []
    for index in range(len(alive)):
        while kept and not (alive[kept[-1]] & ~alive[index]).any():
            kept.pop()
        if not kept or (alive[index] & ~alive[kept[-1]]).any():
            kept.append(index)
    return alive[kept]
