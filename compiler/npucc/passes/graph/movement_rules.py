"""Simplifications of ops that move elements."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from npucc.dialects.graph import (
    CastOp,
    ConcatOp,
    ElementwiseOp,
    ExpandOp,
    GraphOp,
    ReduceOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from npucc.dialects.graph_ops.base import broadcast_shape, ints
from npucc.dialects.graph_ops.elementwise import holds
from npucc.passes.graph.rewriting import GraphRewriter, Rule
from npucc.types import element_of, is_float, shape_of


def moves_only_unit_axes(shape: Sequence[int], perm: Sequence[int]) -> bool:
    """Whether a transpose of `shape` keeps the row-major order of the elements."""
    real = [axis for axis in perm if shape[axis] != 1]
    return real == sorted(real)


def transpose_of_transpose(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Two transposes are one."""
    if not isinstance(op, TransposeOp) or not isinstance(op.x.owner, TransposeOp):
        return None
    inner = op.x.owner
    perm = [inner.permutation[axis] for axis in op.permutation]
    return rewriter.insert(TransposeOp(inner.x, perm), inner)


def transpose_to_reshape(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """A transpose that moves axes of extent 1 only is a view (the identity is a reshape to the same shape)."""
    if isinstance(op, TransposeOp) and moves_only_unit_axes(shape_of(op.x), op.permutation):
        return rewriter.insert(ReshapeOp(op.x, shape_of(op.result)))
    return None


def reshape_of_reshape(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Only the last of two reshapes counts."""
    if isinstance(op, ReshapeOp) and isinstance(op.x.owner, ReshapeOp):
        return rewriter.insert(ReshapeOp(op.x.owner.x, shape_of(op.result)), op.x.owner)
    return None


def identity(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """A reshape, expand, cast or concat to the operand's own type is the operand."""
    return op.operands[0] if op.operands[0].type == op.result.type else None


def whole_slice(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """A slice of everything, in order."""
    if not isinstance(op, SliceOp) or op.x.type != op.result.type:
        return None
    in_order = all(step == 1 or size == 1 for _, step, size in op.ranges)
    return op.x if in_order else None


def slice_of_slice(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Element j is start + step * (start' + step' * j) of the source."""
    if not isinstance(op, SliceOp) or not isinstance(op.x.owner, SliceOp):
        return None
    inner = op.x.owner
    pairs = list(zip(inner.ranges, op.ranges))
    starts = [first + step * start for (first, step, _), (start, _, _) in pairs]
    steps = [outer * step for (_, outer, _), (_, step, _) in pairs]
    return rewriter.insert(SliceOp(inner.x, starts, steps, ints(op.sizes)), inner)


def cast_of_cast(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """A cast through a float type that holds every value of the source changes nothing on the way."""
    if not isinstance(op, CastOp) or not isinstance(op.operand.owner, CastOp):
        return None
    source, middle = op.operand.owner.operand, element_of(op.operand)
    first = element_of(source)
    if not (is_float(first) and is_float(middle) and is_float(element_of(op.result))):
        return None
    changes_nothing = holds(middle, first)
    return rewriter.insert(CastOp(source, element_of(op.result)), op.operand.owner) if changes_nothing else None


def concat_of_concat(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Operands that are concatenations along the same axis, used only here, are spliced in."""
    if not isinstance(op, ConcatOp):
        return None
    inner = [_nested(operand, op.axis_index) for operand in op.inputs]
    if not any(inner):
        return None
    parts = [part for operand, nested in zip(op.inputs, inner) for part in (nested.inputs if nested else [operand])]
    return rewriter.insert(ConcatOp(parts, op.axis_index), *(each for each in inner if each))


def _nested(operand: SSAValue, axis: int) -> ConcatOp | None:
    owner = operand.owner
    return owner if isinstance(owner, ConcatOp) and owner.axis_index == axis and operand.has_one_use() else None


def reduce_of_unit_axes(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Any reduction of one element is that element."""
    if isinstance(op, ReduceOp) and op.x.type == op.result.type:
        return op.x
    return None


def implicit_broadcast(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """An element-wise op broadcasts by itself: an `expand` of an operand is dropped if the shape stays."""
    if not isinstance(op, ElementwiseOp):
        return None
    sources = [_expanded(operand) for operand in op.operands]
    if sources == list(op.operands):
        return None
    if broadcast_shape(op.name, [shape_of(source) for source in sources]) != shape_of(op.result):
        return None
    new = op.clone()
    new.operands = sources
    return rewriter.insert(new)


def _expanded(operand: SSAValue) -> SSAValue:
    return operand.owner.x if isinstance(operand.owner, ExpandOp) else operand


MOVEMENT_RULES: dict[type[GraphOp], tuple[Rule, ...]] = {
    TransposeOp: (transpose_of_transpose, transpose_to_reshape),
    ReshapeOp: (identity, reshape_of_reshape),
    SliceOp: (whole_slice, slice_of_slice),
    ExpandOp: (identity,),
    CastOp: (identity, cast_of_cast),
    ConcatOp: (identity, concat_of_concat),
    ReduceOp: (reduce_of_unit_axes,),
}
