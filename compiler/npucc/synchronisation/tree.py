"""A tile program as a tree of instructions and loops, numbered in program order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import scf
from xdsl.ir import Block, Operation, SSAValue

from npucc.analysis.index import loop_bounds
from npucc.analysis.tile_program import Outline
from npucc.analysis.views import root_of
from npucc.dialects.tile import AcquireOp, ConstantOp, GroupOp, InstructionOp

BAD_STRUCTURE = error_code("NPU-E0821", ExitCode.BAD_INPUT, "A group holds an operation that cannot be synchronised")


@dataclass(eq=False)
class Scope:
    """A sequence of nodes that executes as often as its loop says.

    The outermost scope (depth 0, no loop) holds the top-level nodes of all groups one after the other.
    """

    depth: int
    loop: Node | None = None
    nodes: list[Node] = field(default_factory=list["Node"])


@dataclass(eq=False)
class Node:
    """An instruction, or a loop with everything in it; `first` and `last` are its numbers in program order.

    `reads` and `writes` are buffers (results of acquire / alloc, arguments); constants are left out, as nobody
    writes them.
    """

    op: Operation
    scope: Scope
    group: int
    first: int
    last: int = 0
    engine: str = ""
    """Empty for a loop."""
    reads: tuple[SSAValue, ...] = ()
    writes: tuple[SSAValue, ...] = ()
    body: Scope | None = None

    def item_in(self, scope: Scope) -> Node:
        """The node of `scope` that is, or contains, this one."""
        node = self
        while node.scope is not scope:
            assert node.scope.loop is not None, "the scope does not contain the node"
            node = node.scope.loop
        return node

    @property
    def trip_count(self) -> int:
        """Iterations of a loop; 1 for an instruction."""
        return loop_bounds(self.op).count if isinstance(self.op, scf.ForOp) else 1

    def instructions(self) -> Iterator[Node]:
        """The instructions of this node in program order."""
        if self.body is None:
            yield self
        else:
            for node in self.body.nodes:
                yield from node.instructions()


@dataclass
class Acquisition:
    """One `tile.acquire`: the scope whose executions make generations, and the accesses to its buffer."""

    op: AcquireOp
    scope: Scope
    group: int
    number: int
    accesses: list[Node] = field(default_factory=list[Node])

    @property
    def executions(self) -> int:
        """How many generations it makes in its group."""
        count, loop = 1, self.scope.loop
        while loop is not None:
            count *= loop.trip_count
            loop = loop.scope.loop
        return count


@dataclass
class Tree:
    """The program: the outermost scope, the top-level nodes of each group, and all acquisitions.

    Loops and branches around groups are no nodes: at their borders all engines are idle, so that what lies between
    two borders is synchronised by itself, and may run any number of times.
    """

    top: Scope
    groups: list[GroupOp]
    group_nodes: list[list[Node]]
    acquisitions: list[Acquisition]
    borders: set[int] = field(default_factory=set[int])
    """Groups before which a region begins or ends: all engines are idle there."""


def common_scope(a: Node, b: Node) -> Scope:
    """The innermost scope that contains both."""
    around: set[int] = set()
    scope: Scope | None = a.scope
    while scope is not None:
        around.add(id(scope))
        scope = None if scope.loop is None else scope.loop.scope
    scope = b.scope
    while id(scope) not in around:
        assert scope.loop is not None
        scope = scope.loop.scope
    return scope


def build_tree(program: Outline) -> Tree:
    """Number the instructions of all groups. Loops that never run must have been removed.

    NpuError for operations with a region that is not a loop.
    """
    builder = _Builder()
    builder.tree.borders = program.borders
    for index, group in enumerate(program.groups):
        builder.group = index
        before = len(builder.tree.top.nodes)
        builder.fill(group.body.block, builder.tree.top)
        builder.tree.groups.append(group)
        builder.tree.group_nodes.append(builder.tree.top.nodes[before:])
    return builder.tree


class _Builder:
    def __init__(self) -> None:
        self.tree = Tree(Scope(0), [], [], [])
        self.group = 0
        self.number = 0
        self.acquired: dict[SSAValue, Acquisition] = {}

    def fill(self, block: Block, scope: Scope) -> None:
        for op in block.ops:
            if isinstance(op, InstructionOp):
                self._instruction(op, scope)
            elif isinstance(op, AcquireOp):
                acquisition = Acquisition(op, scope, self.group, self.number)
                self.acquired[op.result] = acquisition
                self.tree.acquisitions.append(acquisition)
            elif isinstance(op, scf.ForOp):
                self._loop(op, scope)
            elif op.regions:
                raise NpuError(
                    BAD_STRUCTURE,
                    "only scf.for may hold instructions inside a group",
                    where=f"group {self.group}",
                    found=op.name,
                    remedy="lower it to scf.for with constant bounds first",
                )

    def _instruction(self, op: InstructionOp, scope: Scope) -> None:
        self.number += 1
        node = Node(op, scope, self.group, self.number, self.number, op.engine)
        node.reads, node.writes = _buffers(op.reads()), _buffers(op.writes())
        scope.nodes.append(node)
        for root in dict.fromkeys((*node.reads, *node.writes)):
            if root in self.acquired:
                self.acquired[root].accesses.append(node)

    def _loop(self, op: scf.ForOp, scope: Scope) -> None:
        self.number += 1
        node = Node(op, scope, self.group, self.number)
        node.body = Scope(scope.depth + 1, node)
        scope.nodes.append(node)
        self.fill(op.body.block, node.body)
        node.last = self.number


def _buffers(values: tuple[SSAValue, ...]) -> tuple[SSAValue, ...]:
    roots = (root_of(value) for value in values)
    return tuple(dict.fromkeys(root for root in roots if not isinstance(root.owner, ConstantOp)))
