"""What loops read and write in DRAM in every step: candidates for staying in SRAM during the loop.

Constants and inputs of the function get an identity group in front of the outermost loop, what a loop stacks for the
function's result one behind it. Residency is decided with these copies in place; those that are not between DRAM and
SRAM then are taken back.
"""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.ir import Block, Operation, SSAValue

from npucc.dialects import graph
from npucc.passes.graph.insert_copies import copy_before
from npucc.schedule.spaces import is_on_chip
from npucc.schedule.storage import Storage
from npucc.types import shape_of

Staging = dict[graph.GroupOp, SSAValue]
"""Copy -> the value that has to be on chip for the copy to make sense."""


def insert_staging(function: func.FuncOp) -> Staging:
    """The copies of all loops at the function's level."""
    made: Staging = {}
    for loop in list(function.body.block.ops):
        if isinstance(loop, graph.LoopOp) and loop.step_limit not in (0, 1):
            _stage_reads(loop, made)
            _stage_results(loop, made)
    return made


def remove_useless(function: func.FuncOp, staging: Staging) -> None:
    """Take back the copies whose value does not stay on chip."""
    storage = Storage(function)
    useless = [group for group, value in staging.items() if not is_on_chip(storage.root(value))]
    for group in useless:
        group.results[0].replace_all_uses_with(group.operands[0])
        group.detach()
        group.erase()


def _stage_reads(loop: graph.LoopOp, made: Staging) -> None:
    """Copies of what the loop scans, and of what its groups and inner loops read."""
    for value in dict.fromkeys((*loop.scanned, *graph.captured(loop))):
        scanned = range(len(loop.operands) - len(loop.scanned), len(loop.operands))
        own = [use for use in value.uses if use.operation is loop and use.index in scanned]
        readers = [use for use in value.uses if isinstance(use.operation, graph.GroupOp | graph.LoopOp)]
        uses = [*own, *(use for use in readers if _is_within(use.operation, loop))]
        if uses and isinstance(value.owner, graph.ConstantOp | Block) and 0 not in shape_of(value):
            copy = copy_before(value, loop)
            for use in uses:
                use.operation.operands[use.index] = copy
            _note(copy, copy, made)


def _stage_results(loop: graph.LoopOp, made: Staging) -> None:
    """Copies of what the loop stacks, where that is returned."""
    for stacked in loop.stacked_results:
        for value in (stacked, *(use.operation.results[0] for use in stacked.uses if _is_reshape(use.operation))):
            owner = value.owner
            returned = [use for use in value.uses if isinstance(use.operation, func.ReturnOp)]
            if len(returned) != 1 or not isinstance(owner, Operation) or owner.next_op is None:
                continue
            copy = copy_before(value, owner.next_op)
            returned[0].operation.operands[returned[0].index] = copy
            _note(copy, stacked, made)


def _note(copy: SSAValue, value: SSAValue, made: Staging) -> None:
    if isinstance(copy.owner, graph.GroupOp):
        made[copy.owner] = value


def _is_reshape(op: Operation) -> bool:
    return isinstance(op, graph.ReshapeOp)


def _is_within(op: Operation, loop: graph.LoopOp) -> bool:
    parent = op.parent_op()
    while parent is not None and parent is not loop:
        parent = parent.parent_op()
    return parent is loop
