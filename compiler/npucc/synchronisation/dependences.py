"""Which engine must wait for which, and where: forward edges of a whole program.

An access depends on the latest conflicting accesses (at least one of the two writes) of every other engine to the
same buffer, or to the addresses that the buffer now occupies. A dependence that the waiting engine already knows
to be satisfied, directly or through other engines, needs nothing; every other one becomes an edge in the
innermost common scope. Between one pair of engines, the edges of a scope are then monotone on both sides (a later
wait belongs to a later post), so that one counting semaphore per pair and depth matches them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import SSAValue

from npucc.dialects.tile import AcquireOp, AllocOp, MemorySpace, PoolOp, memref_bytes, memref_of, space_of
from npucc.synchronisation.history import AddressMap, History
from npucc.synchronisation.knowledge import Knowledge
from npucc.synchronisation.tree import Node, Scope, Tree, common_scope

NOT_PLANNED = error_code("NPU-E0822", ExitCode.BAD_INPUT, "A buffer has no address yet")


@dataclass(frozen=True)
class Edge:
    """`consumer` waits before node `target` until `producer` is done with node `source` (both in `scope`)."""

    scope: Scope
    producer: str
    source: Node
    consumer: str
    target: Node


@dataclass(frozen=True)
class Extent:
    """Bytes [low, high) of a memory."""

    space: MemorySpace
    low: int
    high: int


def forward_edges(tree: Tree) -> tuple[list[Edge], Knowledge]:
    """All forward edges in program order of their targets, and the knowledge that they create.

    At the border of a loop or branch every engine is idle: nothing from before needs an edge.
    """
    analysis = _Forward(tree)
    for index in range(len(tree.groups)):
        if index in tree.borders:
            analysis.forget()
        analysis.run_group(index)
    return _without_dominated(analysis.edges), analysis.knowledge


def _without_dominated(edges: Iterable[Edge]) -> list[Edge]:
    """Of several edges between two engines with the same target, the latest source implies the others."""
    latest: dict[tuple[int, str, str, int], Edge] = {}
    for edge in edges:
        key = (id(edge.scope), edge.producer, edge.consumer, id(edge.target))
        if key not in latest or latest[key].source.first < edge.source.first:
            latest[key] = edge
    return list(latest.values())


class _Forward:
    """State of the walk: histories of the buffers in use and of addresses, and what engines know."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.knowledge = Knowledge()
        self.edges: list[Edge] = []
        self.forget()

    def forget(self) -> None:
        """All that was accessed so far is done."""
        self.memories = {space: AddressMap() for space in MemorySpace}
        self.arguments: dict[SSAValue, History] = {}
        self.buffers: dict[SSAValue, History] = {}

    def run_group(self, index: int) -> None:
        """Visit the instructions of one group; its buffers inherit what happened at their addresses before."""
        instructions = [node for item in self.tree.group_nodes[index] for node in item.instructions()]
        extents = {root: _extent(root) for node in instructions for root in (*node.reads, *node.writes)}
        # One history per extent, also for several acquires of a pool: it is what later groups have to respect.
        before = {e: self.memories[e.space].of_range(e.low, e.high) for e in extents.values() if e}
        after = {extent: history.copy() for extent, history in before.items()}
        for root, extent in extents.items():
            inherited = self.arguments.setdefault(root, History()) if extent is None else before[extent].copy()
            self.buffers[root] = inherited
        for node in instructions:
            self._visit(node)
        for root, extent in extents.items():
            if extent is not None:
                after[extent].merge(self.buffers.pop(root))
        for extent, history in after.items():
            self.memories[extent.space].replace(extent.low, extent.high, history)

    def _visit(self, node: Node) -> None:
        needed: dict[str, Node] = {}
        for roots, write in ((node.reads, False), (node.writes, True)):
            for root in roots:
                for earlier in self.buffers[root].conflicts(write):
                    known = needed.get(earlier.engine)
                    if earlier.engine != node.engine and (known is None or known.first < earlier.first):
                        needed[earlier.engine] = earlier
        for earlier in sorted(needed.values(), key=lambda n: -n.first):
            self._require(earlier, node)
        for roots, write in ((node.reads, False), (node.writes, True)):
            for root in roots:
                self.buffers[root].record(node, write)

    def _require(self, earlier: Node, later: Node) -> None:
        """Make sure that `later` starts after `earlier`; latest first, as that may imply the others."""
        if self.knowledge.knows(later.engine, earlier.engine, earlier.first, later.first):
            return
        scope = common_scope(earlier, later)
        source, target = earlier.item_in(scope), later.item_in(scope)
        self.edges.append(Edge(scope, earlier.engine, source, later.engine, target))
        self.knowledge.learn(later.engine, earlier.engine, source.last, later.first)


def _extent(root: SSAValue) -> Extent | None:
    """Addresses of a buffer: those of the whole pool for an acquired slot; None for an argument of @main."""
    owner = root.owner
    if isinstance(owner, AcquireOp):
        pool = owner.pool_op
        low = _address(pool.address, pool)
        return Extent(pool.space.data, low, low + pool.bytes)
    if isinstance(owner, AllocOp):
        type_ = memref_of(root)
        low = _address(owner.address, owner)
        return Extent(space_of(type_), low, low + memref_bytes(type_))
    return None


def _address(attribute: IntegerAttr | None, op: PoolOp | AllocOp) -> int:
    if attribute is None:
        raise NpuError(
            NOT_PLANNED,
            "semaphores depend on which buffers share addresses",
            where=f'{op.name} "{op.label.data}"',
            found="no address",
            remedy="run tile-plan-memory first",
        )
    return attribute.value.data
