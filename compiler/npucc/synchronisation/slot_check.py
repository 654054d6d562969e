"""Checks that no pool slot is taken again while its buffer is still in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from npuisa.errors import ExitCode, NpuError, error_code

from npucc.analysis.tile_program import enclosing_group
from npucc.dialects.tile import PoolOp
from npucc.synchronisation.tree import Acquisition, Node, Scope, Tree

SLOT_IN_USE = error_code("NPU-E0823", ExitCode.BAD_INPUT, "A pool slot is taken again while it is in use")


def check_slots(tree: Tree) -> None:
    """Raise NpuError if an access comes after `depth` further acquires of its pool."""
    pools: dict[PoolOp, list[Acquisition]] = defaultdict(list)
    for acquisition in tree.acquisitions:
        pools[acquisition.op.pool_op].append(acquisition)
    for pool, acquisitions in pools.items():
        if not _one_at_a_time(acquisitions):
            _replay(tree, pool, acquisitions)


def _one_at_a_time(acquisitions: list[Acquisition]) -> bool:
    """Whether each buffer's last access stands before the next acquire, so that any depth will do."""
    ordered = sorted(acquisitions, key=lambda a: a.number)
    return all(not first.accesses or first.accesses[-1].first <= second.number for first, second in pairwise(ordered))


def _replay(tree: Tree, pool: PoolOp, acquisitions: list[Acquisition]) -> None:
    """Run through acquires and accesses in program order, a few iterations of each loop.

    One iteration more than the pool has slots shows every way in which neighbouring generations can meet.
    """
    depth = pool.depth.value.data
    present: dict[int, int] = {}
    taken = 0
    owners: dict[int, list[Acquisition]] = defaultdict(list)
    for acquisition in acquisitions:
        for node in acquisition.accesses:
            owners[id(node)].append(acquisition)
    by_scope: dict[int, list[Acquisition]] = defaultdict(list)
    for acquisition in acquisitions:
        by_scope[id(acquisition.scope)].append(acquisition)
    nodes = tree.group_nodes[acquisitions[0].group]
    for event in _events(tree.top, nodes, by_scope, depth + 1):
        if isinstance(event, Acquisition):
            present[id(event)] = taken
            taken += 1
            continue
        for acquisition in owners[id(event)]:
            if taken - present[id(acquisition)] > depth:
                raise _in_use(pool, acquisition, event)


def _events(
    scope: Scope, nodes: list[Node], acquisitions: dict[int, list[Acquisition]], iterations: int
) -> Iterator[Acquisition | Node]:
    """Acquires and instructions in program order; loops run at most `iterations` times."""
    waiting = sorted(acquisitions.get(id(scope), ()), key=lambda a: a.number)
    for node in nodes:
        while waiting and waiting[0].number < node.first:
            yield waiting.pop(0)
        if node.body is None:
            yield node
        else:
            for _ in range(min(iterations, node.trip_count)):
                yield from _events(node.body, node.body.nodes, acquisitions, iterations)
    yield from waiting


def _in_use(pool: PoolOp, acquisition: Acquisition, node: Node) -> NpuError:
    group = enclosing_group(pool)
    name = acquisition.op.result.name_hint
    buffer = f"%{name}" if name else "a buffer"
    return NpuError(
        SLOT_IN_USE,
        f'pool "{pool.label.data}" hands out a slot whose buffer is still in use',
        where=f'group "{group.label.data}"' if group is not None else "",
        found=f"{node.op.name} uses {buffer} after {pool.depth.value.data} more acquires of the pool",
        remedy="give the pool more slots, or the buffer a pool of its own",
    )
