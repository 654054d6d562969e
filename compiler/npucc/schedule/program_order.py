"""Groups of a function in program order, those of loops and branches included: how often each runs, and how long a
buffer is in use when it is counted in groups."""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.ir import Block, Operation, SSAValue

from npucc.dialects import graph

ASSUMED_STEPS = 16
"""Steps of a loop whose number is only known at run time, where costs are weighed."""


class ProgramOrder:
    """Positions of the groups of a function."""

    def __init__(self, function: func.FuncOp) -> None:
        self.groups: list[graph.GroupOp] = []
        self.executions: list[int] = []
        """How often each group runs (of a branch: as if it were taken)."""
        self._span: dict[Operation, tuple[int, int]] = {}
        self._walk(function.body.block, 1)
        self.index = {group: position for position, group in enumerate(self.groups)}

    def _walk(self, block: Block, executions: int) -> None:
        for op in block.ops:
            first = len(self.groups)
            if isinstance(op, graph.GroupOp):
                self.groups.append(op)
                self.executions.append(executions)
            elif isinstance(op, graph.ControlOp):
                steps = expected_steps(op) if isinstance(op, graph.LoopOp) else 1
                for region in op.regions:
                    self._walk(region.block, executions * steps)
            self._span[op] = (first, max(len(self.groups) - 1, first))

    def in_use(self, op: Operation, root: SSAValue) -> tuple[int, int]:
        """First and last group during which the memory of `root` is in use because `op` accesses it: of what was made
        outside a loop, all groups of the loop."""
        owner = root.owner
        home = owner if isinstance(owner, Block) else owner.parent_block()
        current = op
        while current.parent_block() is not home:
            parent = current.parent_op()
            if parent is None or parent not in self._span:
                break
            current = parent
        return self._span[current]


def expected_steps(loop: graph.LoopOp) -> int:
    """How many steps costs are weighed with."""
    if loop.is_static:
        return max(loop.step_limit or 1, 1)
    return ASSUMED_STEPS if loop.step_limit is None else max(1, min(loop.step_limit, ASSUMED_STEPS))
