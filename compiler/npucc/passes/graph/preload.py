"""Constants and inputs that the groups of a loop read in every step: candidates for staying in SRAM during the loop.

Before residency is decided each gets an identity group in front of the outermost loop; those whose copy does not
stay on chip are taken back afterwards.
"""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.ir import Block, Operation, SSAValue

from npucc.dialects import graph
from npucc.passes.graph.insert_copies import copy_before
from npucc.schedule.spaces import is_on_chip
from npucc.types import shape_of


def insert_preloads(function: func.FuncOp) -> list[graph.GroupOp]:
    """The copies, one per loop at the function's level and value."""
    made: list[graph.GroupOp] = []
    for loop in list(function.body.block.ops):
        if not isinstance(loop, graph.LoopOp) or loop.step_limit in (0, 1):
            continue
        for value in graph.captured(loop):
            readers = [use for use in value.uses if isinstance(use.operation, graph.GroupOp)]
            inside = [use for use in readers if _is_within(use.operation, loop)]
            if not inside or not _is_interface(value) or 0 in shape_of(value):
                continue
            copy = copy_before(value, loop)
            for use in inside:
                use.operation.operands[use.index] = copy
            if isinstance(copy.owner, graph.GroupOp):
                made.append(copy.owner)
    return made


def remove_useless(preloads: list[graph.GroupOp]) -> None:
    """Take back the copies that do not stay on chip."""
    for group in preloads:
        if not is_on_chip(group.results[0]):
            group.results[0].replace_all_uses_with(group.operands[0])
            group.detach()
            group.erase()


def _is_interface(value: SSAValue) -> bool:
    return isinstance(value.owner, (graph.ConstantOp, Block))


def _is_within(op: Operation, loop: graph.LoopOp) -> bool:
    parent = op.parent_op()
    while parent is not None and parent is not loop:
        parent = parent.parent_op()
    return parent is loop
