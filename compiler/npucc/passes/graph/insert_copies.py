"""Make every concatenation and result writable in place, by explicit copies where a value cannot be."""

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


@dataclass(frozen=True)
class GraphInsertCopiesPass(ModulePass):
    """Before: groups, reshapes, concatenations, constants. After: each operand of a concatenation is the result
    of a group or concatenation used by no other concatenation, reshape or return, so that its producer writes
    straight into the result's buffer; each returned value is that of a group or concatenation (or a reshape of
    one) with a buffer of its own. Identity groups are inserted for the rest.
    """

    name = "graph-insert-copies"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in functions_of(op):
            for concat in [o for o in function.body.block.ops if isinstance(o, graph.ConcatOp)]:
                _copy_operands(concat)
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
    demanding = (graph.ConcatOp, graph.ReshapeOp, func.ReturnOp)
    return not any(isinstance(use.operation, demanding) and use.operation is not concat for use in value.uses)


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
        returned = any(isinstance(use.operation, func.ReturnOp) for use in source.uses)
        return (
            source
            if isinstance(source.owner, (graph.GroupOp, graph.ConcatOp)) and len(reshapes) == 1 and not returned
            else None
        )
    return value if isinstance(value.owner, (graph.GroupOp, graph.ConcatOp)) else None


def copy_before(value: SSAValue, user: Operation) -> SSAValue:
    """The result of an identity group of `value`, placed before `user`."""
    shape = tensor_type(value).get_shape()
    copy = graph.SliceOp(value, [0] * len(shape), [1] * len(shape), list(shape))
    with_nodes(copy, nodes_of(user) or _producer_nodes(value))
    Rewriter.insert_op(copy, InsertPoint.before(user))
    return build_group([copy]).results[0]


def _producer_nodes(value: SSAValue) -> tuple[str, ...]:
    return nodes_of(value.owner) if isinstance(value.owner, Operation) else ()
