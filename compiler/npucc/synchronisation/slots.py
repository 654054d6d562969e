"""Rotations of pools: which engines begin and end the use of a slot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from npucc.dialects.tile import PoolOp
from npucc.synchronisation.knowledge import Knowledge
from npucc.synchronisation.rotation import Rotation, Spot
from npucc.synchronisation.tree import Acquisition, Node, Tree


def pool_rotations(tree: Tree, knowledge: Knowledge) -> list[Rotation]:
    """Rotations of all pools that are acquired more often than they have slots."""
    pools: dict[PoolOp, list[Acquisition]] = defaultdict(list)
    for acquisition in tree.acquisitions:
        pools[acquisition.op.pool_op].append(acquisition)
    found: list[Rotation] = []
    for pool, acquisitions in pools.items():
        if sum(a.executions for a in acquisitions) > pool.depth.value.data:
            found += _rotations_of(pool, acquisitions, knowledge)
    return found


@dataclass(frozen=True)
class _Engines:
    """First and last access of a generation per engine, as nodes of the acquire's scope."""

    first: dict[str, Node]
    last: dict[str, Node]
    first_access: dict[str, Node]
    last_access: dict[str, Node]


def _engines(acquisition: Acquisition) -> _Engines:
    first: dict[str, Node] = {}
    last: dict[str, Node] = {}
    for node in acquisition.accesses:
        first.setdefault(node.engine, node)
        last[node.engine] = node
    scope = acquisition.scope
    return _Engines(
        {engine: node.item_in(scope) for engine, node in first.items()},
        {engine: node.item_in(scope) for engine, node in last.items()},
        first,
        last,
    )


def _beginners(engines: _Engines, knowledge: Knowledge) -> list[str]:
    """Engines that must wait themselves: not those that begin after another one of these has begun."""
    chosen: list[str] = []
    for engine, node in sorted(engines.first_access.items(), key=lambda item: item[1].first):
        implied = any(knowledge.knows(engine, other, engines.first_access[other].first, node.first) for other in chosen)
        if not implied:
            chosen.append(engine)
    return chosen


def _enders(engines: _Engines, knowledge: Knowledge) -> list[str]:
    """Engines that must post themselves: not those whose end another one of these knows when it ends."""
    chosen: list[str] = []
    for engine, node in sorted(engines.last_access.items(), key=lambda item: -item[1].last):
        implied = any(knowledge.knows(other, engine, node.first, engines.last[other].last) for other in chosen)
        if not implied:
            chosen.append(engine)
    return chosen


def _rotations_of(pool: PoolOp, acquisitions: list[Acquisition], knowledge: Knowledge) -> list[Rotation]:
    """Every acquisition of the pool takes part in every rotation, as generations go on across them."""
    parts = [(acquisition, _engines(acquisition)) for acquisition in acquisitions]
    enders = dict.fromkeys(e for _, engines in parts for e in _enders(engines, knowledge))
    beginners = dict.fromkeys(e for _, engines in parts for e in _beginners(engines, knowledge))
    first, last = _activity(acquisitions)
    found: list[Rotation] = []
    for producer in enders:
        for consumer in beginners:
            if producer == consumer:
                continue
            rotation = Rotation(producer, consumer, pool.depth.value.data, acquisitions[0].group, first, last)
            for acquisition, engines in parts:
                fallback = Spot(None, True, acquisition.op)
                begin, end = engines.first.get(consumer), engines.last.get(producer)
                rotation.waits.append(Spot(begin, False) if begin else fallback)
                rotation.posts.append(Spot(end, True) if end else fallback)
            found.append(rotation)
    return found


def _activity(acquisitions: Iterable[Acquisition]) -> tuple[int, int]:
    """Numbers between which the pool is in use, whole loops around its acquires included."""
    firsts: list[int] = []
    lasts: list[int] = []
    for acquisition in acquisitions:
        outermost = acquisition.scope.loop
        while outermost is not None and outermost.scope.loop is not None:
            outermost = outermost.scope.loop
        nodes = [node.item_in(acquisition.scope) for node in acquisition.accesses]
        span = [outermost] if outermost is not None else nodes
        firsts += [node.first for node in span] or [acquisition.number]
        lasts += [node.last for node in span] or [acquisition.number]
    return min(firsts), max(lasts)
