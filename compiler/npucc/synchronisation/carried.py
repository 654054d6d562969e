"""Rotations of loops: buffers that live outside a loop and that its iterations pass between engines."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from xdsl.ir import SSAValue

from npucc.synchronisation.knowledge import Knowledge
from npucc.synchronisation.rotation import Rotation, Spot
from npucc.synchronisation.tree import Node, Scope, Tree


@dataclass(frozen=True)
class _Carried:
    """`consumer` may begin node `wait` of the next iteration when `producer` has finished `post` in this one.

    Both are instructions inside the loop.
    """

    producer: str
    consumer: str
    post: Node
    wait: Node


def loop_rotations(tree: Tree, knowledge: Knowledge) -> list[Rotation]:
    """A rotation with one credit per loop and pair of engines that pass a buffer from iteration to iteration."""
    carried: dict[Node, dict[tuple[str, str], _Carried]] = defaultdict(dict)
    for root, accesses, scope in _shared_buffers(tree):
        for loop, inside in _loops(accesses, scope).items():
            for found in _carried(root, loop, inside, knowledge):
                pair = (found.producer, found.consumer)
                carried[loop][pair] = _wider(carried[loop].get(pair), found)
    return [
        _rotation(loop, dependence)
        for loop, by_pair in carried.items()
        for dependence in _reduced(loop, list(by_pair.values()), knowledge)
    ]


def _rotation(loop: Node, found: _Carried) -> Rotation:
    assert loop.body is not None
    wait, post = found.wait.item_in(loop.body), found.post.item_in(loop.body)
    return Rotation(
        found.producer,
        found.consumer,
        1,
        loop.group,
        loop.first,
        loop.last,
        [Spot(wait, False)],
        [Spot(post, True)],
    )


def _shared_buffers(tree: Tree) -> list[tuple[SSAValue, list[Node], Scope]]:
    """Every buffer of every group, its accesses, and the scope in whose executions it stays the same buffer."""
    found: list[tuple[SSAValue, list[Node], Scope]] = [
        (acquisition.op.result, acquisition.accesses, acquisition.scope) for acquisition in tree.acquisitions
    ]
    acquired = {root for root, _, _ in found}
    for nodes in tree.group_nodes:
        shared: dict[SSAValue, list[Node]] = defaultdict(list)
        for node in (instruction for item in nodes for instruction in item.instructions()):
            for root in dict.fromkeys((*node.reads, *node.writes)):
                if root not in acquired:
                    shared[root].append(node)
        found += [(root, accesses, tree.top) for root, accesses in shared.items()]
    return found


def _loops(accesses: list[Node], outside: Scope) -> dict[Node, list[Node]]:
    """Loops inside scope `outside` that hold accesses, with these in program order."""
    found: dict[Node, list[Node]] = {}
    for node in accesses:
        scope = node.scope
        while scope is not outside:
            assert scope.loop is not None
            found.setdefault(scope.loop, []).append(node)
            scope = scope.loop.scope
    return found


def _carried(root: SSAValue, loop: Node, accesses: list[Node], knowledge: Knowledge) -> list[_Carried]:
    """Pairs of engines between which iterations of `loop` need an edge because of buffer `root`.

    An access depends on conflicting ones of the iteration before that stand after it in the loop; those that
    stand before it are ordered by a forward edge of its own iteration.
    """
    first: dict[tuple[str, bool], Node] = {}
    last: dict[tuple[str, bool], Node] = {}
    for node in accesses:
        for write in {False, root in node.writes}:
            first.setdefault((node.engine, write), node)
            last[node.engine, write] = node
    engines = list(dict.fromkeys(node.engine for node in accesses))
    found: list[_Carried] = []
    for producer in engines:
        for consumer in engines:
            for post_writes, wait_writes in ((True, False), (False, True)):
                post, wait = last.get((producer, post_writes)), first.get((consumer, wait_writes))
                if producer == consumer or post is None or wait is None or post.first < wait.first:
                    continue
                if not knowledge.knows(consumer, producer, post.first, loop.last):
                    found.append(_Carried(producer, consumer, post, wait))
    return found


def _wider(a: _Carried | None, b: _Carried) -> _Carried:
    """One edge that implies both: the later post, the earlier wait."""
    if a is None:
        return b
    post = max(a.post, b.post, key=lambda node: node.first)
    wait = min(a.wait, b.wait, key=lambda node: node.first)
    return _Carried(a.producer, a.consumer, post, wait)


def _reduced(loop: Node, dependences: list[_Carried], knowledge: Knowledge) -> list[_Carried]:
    """Leave out dependences that another one implies."""
    chosen: list[_Carried] = []
    for candidate in sorted(dependences, key=lambda d: (-d.post.first, d.wait.first)):
        if not any(_implies(loop, other, candidate, knowledge) for other in chosen):
            chosen.append(candidate)
    return chosen


def _implies(loop: Node, other: _Carried, candidate: _Carried, knowledge: Knowledge) -> bool:
    """When `other` posts, its producer knows that the candidate's post is due; when the candidate's consumer
    gets to its wait, it knows that the other consumer has waited."""
    assert loop.body is not None
    other_post, other_wait = other.post.item_in(loop.body), other.wait.item_in(loop.body)
    wait = candidate.wait.item_in(loop.body)
    ends_later = knowledge.knows(other.producer, candidate.producer, candidate.post.first, other_post.last)
    if other.producer == candidate.producer:
        ends_later = candidate.post.first <= other_post.last
    if other.consumer == candidate.consumer:
        return ends_later and other_wait.first <= wait.first
    return ends_later and knowledge.knows(candidate.consumer, other.consumer, other.wait.first, candidate.wait.first)
