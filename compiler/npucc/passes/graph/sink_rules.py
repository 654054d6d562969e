"""How a transpose passes each kind of op: op(transpose(y)) as transpose(op'(y))."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.ir import Attribute, SSAValue

from npucc.dialects.graph import (
    ELEMENTWISE_OPS,
    ConcatOp,
    ConstantOp,
    ExpandOp,
    GraphOp,
    LogSoftmaxOp,
    MatmulOp,
    ReduceOp,
    ReshapeOp,
    SliceOp,
    SoftmaxOp,
    TransposeOp,
    WindowReduceOp,
)
from npucc.dialects.graph_ops.base import ints
from npucc.passes.graph.axis_groups import axis_groups, hoist_through_reshape, sink_through_reshape
from npucc.passes.graph.fold import fold_rule
from npucc.passes.graph.movement_rules import moves_only_unit_axes, transpose_of_transpose
from npucc.passes.graph.rewriting import GraphRewriter, Rule, copy_of
from npucc.types import element_of, shape_of, tensor

MAX_GROWTH = 16
"""An `expand` (the upsampling of an image) lets a transpose pass if it multiplies the elements by at most this."""

Perm = tuple[int, ...]


def inverse(perm: Sequence[int]) -> Perm:
    """The permutation that undoes `perm`."""
    result = [0] * len(perm)
    for place, axis in enumerate(perm):
        result[axis] = place
    return tuple(result)


def transposed(value: SSAValue) -> TransposeOp | None:
    """The transpose that makes `value`."""
    return value.owner if isinstance(value.owner, TransposeOp) else None


def size_of(value: SSAValue) -> int:
    """Elements."""
    return prod(shape_of(value))


def identity_transpose(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """A transpose that moves nothing."""
    if isinstance(op, TransposeOp) and op.permutation == tuple(range(len(op.permutation))):
        return op.x
    return None


def cost_of_undoing(value: SSAValue, perm: Perm) -> int:
    """Elements moved more (less: negative) when `value` = transpose_perm(y) is replaced by y."""
    owner = transposed(value)
    if owner is not None and owner.permutation == perm:
        return -size_of(value)
    free = isinstance(value.owner, ConstantOp) or moves_only_unit_axes(_padded(value, len(perm)), inverse(perm))
    return 0 if free else size_of(value)


def _padded(value: SSAValue, rank: int) -> tuple[int, ...]:
    shape = shape_of(value)
    return (1,) * (rank - len(shape)) + shape


def undo(value: SSAValue, perm: Perm, rewriter: GraphRewriter) -> SSAValue:
    """y with `value` = transpose_perm(y), where `value` is first given the rank of `perm`."""
    owner = transposed(value)
    if owner is not None and owner.permutation == perm:
        return owner.x
    shape, back = _padded(value, len(perm)), inverse(perm)
    if moves_only_unit_axes(shape, back):
        return rewriter.insert(ReshapeOp(value, [shape[axis] for axis in back]))
    if len(shape_of(value)) < len(perm):
        value = rewriter.insert(ReshapeOp(value, shape))
    return rewriter.insert(TransposeOp(value, back))


def _best_permutation(op: GraphOp, operands: Sequence[SSAValue]) -> Perm | None:
    """The permutation of an operand's transpose that may pass `op` without moving more elements."""
    rank = len(shape_of(op.result))
    found = {owner.permutation for value in operands if (owner := transposed(value)) is not None}
    costs = {
        perm: size_of(op.result) + sum(cost_of_undoing(value, perm) for value in operands)
        for perm in found
        if len(perm) == rank
    }
    best = min(costs, key=costs.__getitem__, default=None)
    return best if best is not None and costs[best] <= 0 else None


def _elementwise(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Operands of one element stay, the others are undone."""
    operands = [value for value in op.operands if size_of(value) > 1]
    perm = _best_permutation(op, operands)
    if perm is None:
        return None
    sources = [undo(value, perm, rewriter) if size_of(value) > 1 else value for value in op.operands]
    ranks = [len(shape_of(value)) for value in sources]
    if max(ranks) < len(perm):
        return None
    new = copy_of(op)
    new.operands = sources
    shape = shape_of(op.result)
    result = tensor([shape[axis] for axis in inverse(perm)], element_of(op.result))
    return rewriter.insert(TransposeOp(rewriter.insert(_retyped(new, result)), perm))


def _retyped(op: GraphOp, result: Attribute) -> GraphOp:
    """`op` (a copy, not inserted) with another result type."""
    new = type(op).build(
        operands=list(op.operands), result_types=[result], attributes=dict(op.attributes),
        properties=dict(op.properties),
    )  # fmt: skip
    op.erase()
    return new


def _concat(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    if not isinstance(op, ConcatOp):
        return None
    perm = _best_permutation(op, list(op.inputs))
    if perm is None:
        return None
    sources = [undo(value, perm, rewriter) for value in op.inputs]
    return rewriter.insert(TransposeOp(rewriter.insert(ConcatOp(sources, perm[op.axis_index])), perm))


def _reduce(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    if not isinstance(op, ReduceOp) or (owner := transposed(op.x)) is None:
        return None
    axes = sorted(owner.permutation[axis] for axis in ints(op.axes))
    new = ReduceOp(owner.x, op.fn.data, axes, element_of(op.result))
    return rewriter.insert(TransposeOp(rewriter.insert(new), owner.permutation))


def _window_reduce(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    if not isinstance(op, WindowReduceOp) or (owner := transposed(op.x)) is None:
        return None
    perm = owner.permutation
    axes, sizes, strides, dilations, (low, low2, high, high2) = op.window
    pads = (low, low2, high, high2)
    axes = (perm[axes[0]], perm[axes[1]])
    if axes[0] > axes[1]:
        axes, sizes, strides, dilations = axes[::-1], sizes[::-1], strides[::-1], dilations[::-1]
        pads = (low2, low, high2, high)
    new = WindowReduceOp(owner.x, op.fn.data, axes, sizes, strides, dilations, pads, element_of(op.result))
    return rewriter.insert(TransposeOp(rewriter.insert(new), perm))


def _slice(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    if not isinstance(op, SliceOp) or (owner := transposed(op.x)) is None:
        return None
    ranges = [op.ranges[axis] for axis in inverse(owner.permutation)]
    starts, steps, sizes = zip(*ranges)
    return rewriter.insert(TransposeOp(rewriter.insert(SliceOp(owner.x, starts, steps, sizes)), owner.permutation))


def _expand(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    if not isinstance(op, ExpandOp) or (owner := transposed(op.x)) is None:
        return None
    shape = shape_of(op.result)
    if len(shape) != len(owner.permutation) or prod(shape) > MAX_GROWTH * size_of(op.x):
        return None
    new = ExpandOp(owner.x, [shape[axis] for axis in inverse(owner.permutation)])
    return rewriter.insert(TransposeOp(rewriter.insert(new), owner.permutation))


def _last_axis(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Softmax, if its axis stays the last."""
    owner = transposed(op.operands[0])
    if owner is None or owner.permutation[-1] != len(owner.permutation) - 1:
        return None
    new = SoftmaxOp if isinstance(op, SoftmaxOp) else LogSoftmaxOp
    inner = rewriter.insert(new(owner.x, element_of(op.result)))
    return rewriter.insert(TransposeOp(inner, owner.permutation))


def _reshape(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    if not isinstance(op, ReshapeOp) or (owner := transposed(op.x)) is None:
        return None
    passed = sink_through_reshape(owner.permutation, shape_of(op.x), shape_of(op.result))
    if passed is None:
        return None
    shape, perm = passed
    return rewriter.insert(TransposeOp(rewriter.insert(ReshapeOp(owner.x, shape)), perm))


def _transpose_of_merge(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """transpose(reshape(transpose(y))), where the reshape merges axes (a channel shuffle): one transpose."""
    if not isinstance(op, TransposeOp) or not isinstance(op.x.owner, ReshapeOp):
        return None
    merge = op.x.owner
    first = transposed(merge.x)
    if first is None:
        return None
    perm = hoist_through_reshape(op.permutation, shape_of(merge.x), shape_of(merge.result))
    if perm is None:
        return None
    combined = [first.permutation[axis] for axis in perm]
    moved = rewriter.insert(TransposeOp(first.x, combined), first)
    return rewriter.insert(ReshapeOp(moved, shape_of(op.result)), merge)


def _flattened_weights(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """matmul(reshape(transpose(y)), w) with constant w, where the reshape flattens k: reorder the rows of w instead."""
    if not isinstance(op, MatmulOp) or not isinstance(op.a.owner, ReshapeOp):
        return None
    owner = transposed(op.a.owner.x)
    weights = rewriter.array(op.b)
    if owner is None or weights is None or weights.ndim != 2:
        return None
    perm, shape = owner.permutation, shape_of(owner.result)
    groups = axis_groups(shape, shape_of(op.a))
    if groups is None or groups[-1].after != (len(shape_of(op.a)) - 1,):
        return None
    lead = groups[-1].before[0]
    if perm[:lead] != tuple(range(lead)):
        return None
    rows = rewriter.insert(ReshapeOp(op.b, (*shape[lead:], weights.shape[1])))
    order = [axis - lead for axis in inverse(perm)[lead:]]
    rows = rewriter.insert(TransposeOp(rows, (*order, len(order))))
    rows = rewriter.insert(ReshapeOp(rows, weights.shape))
    flat = rewriter.insert(ReshapeOp(owner.x, shape_of(op.a)), owner)
    return rewriter.insert(MatmulOp(flat, rows, element_of(op.result)))


SINK_RULES: dict[type[GraphOp], tuple[Rule, ...]] = {
    **{op: (fold_rule, _elementwise) for op in ELEMENTWISE_OPS},
    TransposeOp: (fold_rule, identity_transpose, transpose_of_transpose),
    ConcatOp: (_concat,),
    ReduceOp: (_reduce,),
    WindowReduceOp: (_window_reduce,),
    SliceOp: (_slice,),
    ExpandOp: (_expand,),
    SoftmaxOp: (_last_axis,),
    LogSoftmaxOp: (_last_axis,),
    ReshapeOp: (fold_rule, _reshape),
    MatmulOp: (_flattened_weights,),
}

HOIST_RULES: dict[type[GraphOp], tuple[Rule, ...]] = {TransposeOp: (_transpose_of_merge,)}
"""For when no transpose can sink any further: earlier, they would pull up one that was to meet its inverse below."""
