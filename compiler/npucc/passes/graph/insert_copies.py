"""Make every concatenation, result, and value of a loop or branch writable in place, by explicit copies where a value
cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from npucc.dialects import graph
from npucc.dialects.graph_ops.base import nodes_of, tensor_type, with_nodes
from npucc.passes.graph.functions import functions_of
from npucc.passes.graph.fuse import build_group
from npucc.schedule.in_place import initial_in_place, yielded_in_place


@dataclass(frozen=True)
class GraphInsertCopiesPass(ModulePass):
    """Before: groups, reshapes, concatenations, constants, loops, branches. After: each operand of a concatenation
    is the result of a group or concatenation used by no other concatenation, reshape, loop or return, so that
    its producer writes straight into the result's buffer; so is each initial value of a loop, and what its body
    and the regions of a branch yield (see `schedule/in_place.py`); each returned value is that of a group or
    concatenation, or stacked by a loop (or a reshape of one), with a buffer of its own. Identity groups are
    inserted for the rest.
    """

    name = "graph-insert-copies"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in functions_of(op):
            for each in list(graph.ops_within(function.body.block)):
                if isinstance(each, graph.ConcatOp):
                    _copy_operands(each)
                elif isinstance(each, graph.LoopOp):
                    _copy_initial_values(each)
                elif isinstance(each, graph.YieldOp):
                    _copy_yielded(each)
            last = function.body.block.last_op
            if isinstance(last, func.ReturnOp):
                _copy_results(last)


def _copy_operands(concat: graph.ConcatOp) -> None:
    seen: set[SSAValue] = set()
    for index, value in enumerate(concat.operands):
        if value in seen or not writable_in_place(value, concat):
            concat.operands[index] = copy_before(value, concat)
        seen.add(value)


def writable_in_place(value: SSAValue, concat: Operation) -> bool:
    """Whether the producer of a concatenation's operand can write into the result's buffer."""
    if not isinstance(value.owner, (graph.GroupOp, graph.ConcatOp)):
        return False
    if value.owner.parent_block() is not concat.parent_block():
        return False
    demanding = (graph.ConcatOp, graph.ReshapeOp, graph.ControlOp, graph.YieldOp, func.ReturnOp)
    return not any(isinstance(use.operation, demanding) and use.operation is not concat for use in value.uses)


def _copy_initial_values(loop: graph.LoopOp) -> None:
    first = len(loop.operands) - len(loop.carried) - len(loop.scanned)
    for index, value in enumerate(loop.carried):
        if not initial_in_place(loop, index):
            loop.operands[first + index] = copy_before(value, loop)


def _copy_yielded(last: graph.YieldOp) -> None:
    """What a step or a branch ends with. A carried value that becomes another one is saved before any is written.

    Last things first: of a value that is carried on and stacked, the stacked one is the copy.
    """
    control = last.parent_op()
    if not isinstance(control, graph.ControlOp):
        return
    carried = set(control.carried_args) if isinstance(control, graph.LoopOp) else set[SSAValue]()
    wanted = [i for i in range(len(last.operands)) if not yielded_in_place(control, last, i)]
    for index in wanted:
        if _memory_of(last.operands[index]) in carried:
            last.operands[index] = copy_before(last.operands[index], last)
    for index in reversed(wanted):
        if not yielded_in_place(control, last, index):
            last.operands[index] = copy_before(last.operands[index], last)


def _memory_of(value: SSAValue) -> SSAValue:
    while isinstance(value.owner, graph.ReshapeOp):
        value = value.owner.x
    return value


def _copy_results(last: func.ReturnOp) -> None:
    taken: set[SSAValue] = set()
    for index, value in enumerate(last.operands):
        owner = storage_owner(value)
        if owner is None or owner in taken:
            last.operands[index] = copy_before(value, last)
        else:
            taken.add(owner)


def storage_owner(value: SSAValue) -> SSAValue | None:
    """The value whose buffer can be the function's result, or None.

    A reshape passes its demand on only when its source has no other reshape (one buffer, one shape).
    """
    if isinstance(value.owner, graph.ReshapeOp):
        source = value.owner.operands[0]
        reshapes = [use for use in source.uses if isinstance(use.operation, graph.ReshapeOp)]
        demanding = (graph.ControlOp, graph.YieldOp, func.ReturnOp)
        demanded = any(isinstance(use.operation, demanding) for use in source.uses)
        return source if _has_storage(source) and len(reshapes) == 1 and not demanded else None
    return value if _has_storage(value) else None


def _has_storage(value: SSAValue) -> bool:
    """A group's or concatenation's result, or what a loop stacks. Carried values are read and written in every
    step, which is better done in a buffer of their own than in the function's result."""
    owner = value.owner
    if isinstance(owner, graph.LoopOp):
        return value in owner.stacked_results
    return isinstance(owner, (graph.GroupOp, graph.ConcatOp))


def copy_before(value: SSAValue, user: Operation) -> SSAValue:
    """The result of an identity group of `value`, placed before `user`."""
    shape = tensor_type(value).get_shape()
    copy = graph.SliceOp(value, [0] * len(shape), [1] * len(shape), list(shape))
    with_nodes(copy, nodes_of(user) or _producer_nodes(value) or _parent_nodes(user))
    Rewriter.insert_op(copy, InsertPoint.before(user))
    return build_group([copy]).results[0]


def _producer_nodes(value: SSAValue) -> tuple[str, ...]:
    return nodes_of(value.owner) if isinstance(value.owner, Operation) else ()


def _parent_nodes(user: Operation) -> tuple[str, ...]:
    parent = user.parent_op()
    return nodes_of(parent) if parent is not None else ()
