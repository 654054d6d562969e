"""Writes waits and posts into the program: into instruction headers, and as `tile.sync` where they do not fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from npuisa.instructions import MAX_POSTS, MAX_WAITS
from xdsl.ir import Operation
from xdsl.rewriter import InsertPoint, Rewriter

from npucc.dialects.tile import GroupOp, InstructionOp, SyncOp
from npucc.synchronisation.dependences import Edge
from npucc.synchronisation.naming import Adaption, Names
from npucc.synchronisation.rotation import Rotation, Spot
from npucc.synchronisation.tree import Node, Tree


def place_semaphores(tree: Tree, edges: Sequence[Edge], rotations: Sequence[Rotation], names: Names) -> None:
    """Insert the waits and posts of all edges and rotations, and the changes of credits between groups."""
    writer = _Writer()
    for edge, name in zip(edges, names.of_edge):
        writer.post(Spot(edge.source, True), edge.producer, name)
        writer.wait(Spot(edge.target, False), edge.consumer, name)
    for rotation, name in zip(rotations, names.of_rotation):
        for spot in rotation.posts:
            writer.post(spot, rotation.producer, name)
        for spot in rotation.waits:
            writer.wait(spot, rotation.consumer, name)
    writer.write()
    for adaption in reversed(names.adaptions):
        _adapt(tree.groups[adaption.group], adaption)


class _Writer:
    """Collects per place and engine, then writes once."""

    def __init__(self) -> None:
        self.waits: dict[tuple[Node, str], list[str]] = defaultdict(list)
        self.posts: dict[tuple[Node, str], list[str]] = defaultdict(list)
        self.anchored: dict[tuple[Operation, str], tuple[list[str], list[str]]] = {}

    def wait(self, spot: Spot, engine: str, name: str) -> None:
        """`engine` waits for `name` at `spot`."""
        if spot.node is not None:
            self.waits[spot.node, engine].append(name)
        else:
            self._anchored(spot, engine)[0].append(name)

    def post(self, spot: Spot, engine: str, name: str) -> None:
        """`engine` posts `name` at `spot`."""
        if spot.node is not None:
            self.posts[spot.node, engine].append(name)
        else:
            self._anchored(spot, engine)[1].append(name)

    def _anchored(self, spot: Spot, engine: str) -> tuple[list[str], list[str]]:
        assert spot.anchor is not None
        return self.anchored.setdefault((spot.anchor, engine), ([], []))

    def write(self) -> None:
        """Change the program."""
        for (node, engine), names in self.waits.items():
            kept = self._in_header(node, engine, names, MAX_WAITS)
            if kept:
                _instruction(node).set_sync(kept, _instruction(node).post_names)
            for sync in _syncs(engine, names[len(kept) :], waits=True):
                Rewriter.insert_op(sync, InsertPoint.before(node.op))
        for (node, engine), names in self.posts.items():
            kept = self._in_header(node, engine, names, MAX_POSTS)
            if kept:
                _instruction(node).set_sync(_instruction(node).wait_names, kept)
            for sync in _syncs(engine, names[len(kept) :], waits=False):
                Rewriter.insert_op(sync, InsertPoint.after(node.op))
        for (anchor, engine), (waits, posts) in self.anchored.items():
            syncs = [*_syncs(engine, waits, waits=True), *_syncs(engine, posts, waits=False)]
            Rewriter.insert_op(syncs, InsertPoint.after(anchor))

    @staticmethod
    def _in_header(node: Node, engine: str, names: list[str], room: int) -> list[str]:
        return names[:room] if node.engine == engine else []


def _instruction(node: Node) -> InstructionOp:
    assert isinstance(node.op, InstructionOp)
    return node.op


def _syncs(engine: str, names: Sequence[str], waits: bool) -> list[SyncOp]:
    """Steps that wait for, or post, all of `names`."""
    room = MAX_WAITS if waits else MAX_POSTS
    parts = [names[start : start + room] for start in range(0, len(names), room)]
    return [SyncOp(engine, waits=part) if waits else SyncOp(engine, posts=part) for part in parts]


def _adapt(group: GroupOp, adaption: Adaption) -> None:
    """At the start of the group (or its end): the producer adds credits, or the consumer takes some away."""
    if adaption.change > 0:
        sync = SyncOp(adaption.producer, posts=[adaption.semaphore], count=adaption.change)
    else:
        sync = SyncOp(adaption.consumer, waits=[adaption.semaphore], count=-adaption.change)
    pools = group.pools
    block = group.body.block
    if adaption.at_end:
        block.add_op(sync)
        return
    Rewriter.insert_op(sync, InsertPoint.after(pools[-1]) if pools else InsertPoint.at_start(block))
