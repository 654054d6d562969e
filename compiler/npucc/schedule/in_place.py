"""Which values can be written straight into the memory of what they become a part of.

The carried value of a loop has one buffer: the initial value is written there before the loop, every step reads it and
leaves the next value in it, and it is the loop's result. An element of a stacked result has its place in that
result, and what a branch yields the buffer of the branch's result. A group whose result is meant for such a place
writes there itself where nobody is disturbed; else the value is copied (`graph-insert-copies`).
"""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.ir import Block, Operation, SSAValue

from npucc.dialects import graph
from npucc.dialects.graph_ops.base import tensor_type
from npucc.schedule.groups import root_of

DEMANDING = (graph.ConcatOp, graph.ReshapeOp, graph.ControlOp, graph.YieldOp, func.ReturnOp)
"""Ops that see the memory of their operands, or write it, in a form of their own."""


def writes_itself(value: SSAValue, user: Operation, *, only_use: bool = False) -> bool:
    """Whether `value` is made by a group in the block of `user`, and no op but `user` (once) demands its memory.

    `only_use`: nor does anybody read it.
    """
    owner = value.owner
    if not isinstance(owner, graph.GroupOp) or owner.parent_block() is not user.parent_block():
        return False
    uses = list(value.uses)
    if only_use:
        return len(uses) == 1
    demands = [use for use in uses if isinstance(use.operation, DEMANDING)]
    return len(demands) == 1 and demands[0].operation is user


def initial_in_place(loop: graph.LoopOp, index: int) -> bool:
    """Whether the initial value of a carried one is written straight into the loop's buffer, which changes it."""
    value = loop.carried[index]
    return writes_itself(value, loop, only_use=True) and loop.trip is not value


def yielded_in_place(control: graph.ControlOp, last: graph.YieldOp, index: int) -> bool:
    """Whether value `index` that the region of `control` ends with is written where it belongs.

    A carried value may be: if nothing after its group needs the present one, and the group itself reads it, if at
    all, element by element where it writes.
    """
    value = last.operands[index]
    if not isinstance(control, graph.LoopOp):
        return writes_itself(value, last)
    if index >= len(control.carried):
        return writes_itself(value, last, only_use=True)
    argument = control.carried_args[index]
    if value is argument:
        return True
    if not writes_itself(value, last) or not isinstance(value.owner, graph.GroupOp):
        return False
    return _nobody_reads_after(argument, value.owner)


def _nobody_reads_after(argument: SSAValue, writer: graph.GroupOp) -> bool:
    block = writer.parent_block()
    order = {op: position for position, op in enumerate(block.ops)} if block is not None else {}
    for reader, is_view in _readers(argument):
        top = _in_block(reader, block)
        if top is None or order[top] > order[writer]:
            return False
        if top is writer and (is_view or not _reads_where_it_writes(writer, argument)):
            return False
    return True


def _readers(value: SSAValue, is_view: bool = False) -> list[tuple[Operation, bool]]:
    """Ops that read the memory of `value`, and whether they see it in another shape."""
    found: list[tuple[Operation, bool]] = []
    for use in value.uses:
        found.append((use.operation, is_view))
        if isinstance(use.operation, graph.ReshapeOp):
            found += _readers(use.operation.result, True)
        elif isinstance(use.operation, graph.LoopOp):
            position = use.index - len(use.operation.operands) + len(use.operation.scanned)
            found += _readers(use.operation.scanned_args[position], True) if position >= 0 else []
    return found


def _in_block(op: Operation, block: Block | None) -> Operation | None:
    """The op of `block` that is, or contains, `op`."""
    current: Operation | None = op
    while current is not None and current.parent_block() is not block:
        current = current.parent_op()
    return current


def _reads_where_it_writes(group: graph.GroupOp, value: SSAValue) -> bool:
    """Whether only the group's kernel reads `value`, once and in the result's own shape: then, tile by tile, nothing
    is read that was written before."""
    places = [index for index, operand in enumerate(group.operands) if operand is value]
    root = root_of(group)
    own = 0 if isinstance(root, graph.ElementwiseOp) else len(root.operands)
    same = tensor_type(value).get_shape() == tensor_type(group.results[0]).get_shape()
    return same and len(places) == 1 and places[0] >= own
