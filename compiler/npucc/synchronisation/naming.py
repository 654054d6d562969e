"""Which semaphore an edge or a rotation uses; the machine has a limited number of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import SEMAPHORES

from npucc.dialects.tile import DMA_NAMES
from npucc.synchronisation.dependences import Edge
from npucc.synchronisation.rotation import Rotation
from npucc.synchronisation.tree import Scope

TOO_MANY = error_code("NPU-E0715", ExitCode.DOES_NOT_FIT, "A program needs more semaphores than the machine has")


@dataclass
class Adaption:
    """At the start of `group` (or its end), the credits of `semaphore` change by `change`: up by posts, down by
    waits."""

    group: int
    semaphore: str
    producer: str
    consumer: str
    change: int
    at_end: bool = False


@dataclass
class Names:
    """The semaphores of a program: initial values, who uses which, and changes of credits between groups."""

    initial: dict[str, int] = field(default_factory=dict[str, int])
    of_edge: list[str] = field(default_factory=list[str])
    of_rotation: list[str] = field(default_factory=list[str])
    adaptions: list[Adaption] = field(default_factory=list[Adaption])


@dataclass
class _Pooled:
    """A semaphore for rotations of one pair of engines: present credits and when it was last in use."""

    name: str
    credits: int
    group: int
    last: int
    adapted: int = -1
    """The group during which its credits are others."""


def assign_names(
    edges: Sequence[Edge], rotations: Sequence[Rotation], limit: int = SEMAPHORES, *, restore: bool = False
) -> Names:
    """Names and initial values for `edges` and `rotations` (both in program order), at most `limit`.

    Forward edges share one semaphore per pair of engines, except those of a loop during which an edge of an outer
    scope is under way. A rotation takes one of its pair
    that is not in use at the same time, with the same credits, and after some groups of rest, so that groups do not
    delay each other; if that takes too many, with less rest, and at last with adapted credits. NpuError if even
    this needs more than `limit`. `restore`: a group gives adapted credits back at its end, since it may run again, or
    not at all (a program with loops or branches around groups).
    """
    names = Names()
    for edge, index in zip(edges, _edge_indices(edges)):
        name = f"{edge.producer}.{edge.consumer}.full{index}"
        names.initial[name] = 0
        names.of_edge.append(name)
    for policy in _POLICIES:
        attempt = _RotationNames(limit - len(names.initial), policy, restore)
        if attempt.run(rotations):
            names.of_rotation = attempt.chosen
            names.adaptions = attempt.adaptions
            names.initial.update(attempt.initial)
            return names
    raise _too_many(names, rotations, limit)


def _edge_indices(edges: Sequence[Edge]) -> list[int]:
    """Which of its pair's semaphores each edge uses: within a scope the same, as its edges are monotone.

    The posts and waits of a loop would mix with those of an outer edge that is posted before the loop and
    awaited after it; so the loop takes the first index that no such outer scope has.
    """
    scopes: dict[tuple[str, str], dict[Scope, list[Edge]]] = defaultdict(dict)
    for edge in edges:
        scopes[edge.producer, edge.consumer].setdefault(edge.scope, []).append(edge)
    index: dict[tuple[str, str, Scope], int] = {}
    for (producer, consumer), by_scope in scopes.items():
        for scope in sorted(by_scope, key=lambda s: s.depth):
            taken = {index[producer, consumer, outer] for outer in _spanning(scope, by_scope)}
            index[producer, consumer, scope] = next(n for n in range(len(taken) + 1) if n not in taken)
    return [index[edge.producer, edge.consumer, edge.scope] for edge in edges]


def _spanning(scope: Scope, by_scope: Mapping[Scope, list[Edge]]) -> list[Scope]:
    """Scopes around `scope` with an edge from before the loop to after it."""
    found: list[Scope] = []
    loop = scope.loop
    while loop is not None:
        edges = by_scope.get(loop.scope, ())
        if any(edge.source.last < loop.first and loop.last < edge.target.first for edge in edges):
            found.append(loop.scope)
        loop = loop.scope.loop
    return found


@dataclass(frozen=True)
class _Policy:
    """How freely rotations take semaphores of their own.

    A DMA channel that waits for credits given back in group g cannot load ahead of g: so its semaphores rest for
    `dma_rest` groups (others `rest`) before they are used again. `adapt`: also take one with other credits.
    """

    dma_rest: int
    rest: int
    adapt: bool = False


_POLICIES = (
    _Policy(8, 1),
    _Policy(4, 1),
    _Policy(2, 1),
    _Policy(1, 1),
    _Policy(1, 0),
    _Policy(0, 0),
    _Policy(0, 0, adapt=True),
)
"""From the fastest program to the fewest semaphores."""


class _RotationNames:
    """One attempt at naming all rotations with at most `room` semaphores."""

    def __init__(self, room: int, policy: _Policy, restore: bool) -> None:
        self.room = room
        self.policy = policy
        self.restore = restore
        self.pairs: dict[tuple[str, str], list[_Pooled]] = defaultdict(list)
        self.initial: dict[str, int] = {}
        self.chosen: list[str] = []
        self.adaptions: list[Adaption] = []

    def run(self, rotations: Sequence[Rotation]) -> bool:
        """Choose for all rotations; False if the room does not suffice."""
        for rotation in rotations:
            pooled = self._find(rotation) or self._make(rotation)
            if pooled.credits != rotation.credits:
                self._adapt(pooled, rotation)
            pooled.group, pooled.last = rotation.group, rotation.last
            self.chosen.append(pooled.name)
        return len(self.initial) <= self.room

    def _adapt(self, pooled: _Pooled, rotation: Rotation) -> None:
        change, engines = rotation.credits - pooled.credits, (rotation.producer, rotation.consumer)
        self.adaptions.append(Adaption(rotation.group, pooled.name, *engines, change))
        if self.restore:
            self.adaptions.append(Adaption(rotation.group, pooled.name, *engines, -change, at_end=True))
            pooled.adapted = rotation.group
        else:
            pooled.credits = rotation.credits

    def _find(self, rotation: Rotation) -> _Pooled | None:
        rest = self.policy.dma_rest if rotation.consumer in DMA_NAMES else self.policy.rest
        pairs = self.pairs[rotation.producer, rotation.consumer]
        free = [p for p in pairs if p.last < rotation.first and p.adapted != rotation.group]
        same = [p for p in free if p.credits == rotation.credits]
        rested = [p for p in same if p.group == rotation.group or p.group + rest < rotation.group]
        if not rested and self.policy.adapt:
            rested = [p for p in free if p.group < rotation.group]
        return min(rested, key=lambda p: p.last, default=None)

    def _make(self, rotation: Rotation) -> _Pooled:
        pair = self.pairs[rotation.producer, rotation.consumer]
        name = f"{rotation.producer}.{rotation.consumer}.free{len(pair)}"
        self.initial[name] = rotation.credits
        made = _Pooled(name, rotation.credits, rotation.group, rotation.last)
        pair.append(made)
        return made


def _too_many(names: Names, rotations: Sequence[Rotation], limit: int) -> NpuError:
    attempt = _RotationNames(limit, _POLICIES[-1], restore=False)
    attempt.run(rotations)
    by_pair: dict[str, int] = defaultdict(int)
    for name in (*names.initial, *attempt.initial):
        by_pair[name.rpartition(".")[0]] += 1
    busiest = sorted(by_pair.items(), key=lambda item: -item[1])[:6]
    return NpuError(
        TOO_MANY,
        f"the program needs more than {limit} semaphores",
        found=f"{len(names.initial) + len(attempt.initial)}; most by engine pairs: "
        + ", ".join(f"{pair} {count}" for pair, count in busiest),
        remedy="use fewer pools per group, or fewer DMA channels for the same purpose",
    )
