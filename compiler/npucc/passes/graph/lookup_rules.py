"""Element-wise ops behind a lookup: in the lookup's own shape, so that they can join its group.

A lookup has three axes, what the model sees of it is a reshape: f(reshape(gather)) is reshape(f(gather)).
"""

from __future__ import annotations

from math import prod

from xdsl.ir import SSAValue

from npucc.dialects.graph import ElementwiseOp, GatherOp, GraphOp, ReshapeOp
from npucc.passes.graph.axis_groups import AxisGroup, axis_groups
from npucc.passes.graph.rewriting import TENSOR, GraphRewriter
from npucc.types import element_of, shape_of, tensor

_LONGEST_CHAIN = 16

Shape = tuple[int, ...]


def epilogue_of_lookup(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """f(reshape(y), others) as reshape(f(y, others')) where y is a lookup, or element-wise ops on one."""
    if not isinstance(op, ElementwiseOp):
        return None
    shape = shape_of(op.result)
    views = {shape_of(each.owner.x) for each in op.operands if isinstance(each.owner, ReshapeOp)}
    if len(views) > 1:
        return None  # two lookups would each ask for their own shape, again and again
    for operand in op.operands:
        view = operand.owner
        if not isinstance(view, ReshapeOp) or shape_of(operand) != shape or not _looked_up(operand, _LONGEST_CHAIN):
            continue
        inner = shape_of(view.x)
        groups = axis_groups(inner, shape)
        plans = None if groups is None else [_within(shape_of(each), shape, groups, inner) for each in op.operands]
        if plans is None or any(plan is None for plan in plans):
            continue
        sources = [
            view.x if each is operand else _reshaped(each, plan, rewriter)
            for each, plan in zip(op.operands, plans)
            if plan is not None
        ]
        new = type(op).build(
            operands=sources,
            result_types=[tensor(inner, element_of(op.result))],
            attributes={name: value for name, value in op.attributes.items() if name != TENSOR},
            properties=dict(op.properties),
        )
        return rewriter.insert(ReshapeOp(rewriter.insert(new), shape))
    return None


def _looked_up(value: SSAValue, longest: int) -> bool:
    """Whether `value`, which nothing else uses, is a lookup or comes from one by reshapes and element-wise ops."""
    if not value.has_one_use() or longest == 0:
        return False
    owner = value.owner
    if isinstance(owner, ReshapeOp):
        return _looked_up(owner.x, longest - 1)
    if isinstance(owner, ElementwiseOp):
        shape = shape_of(value)
        return any(shape_of(each) == shape and _looked_up(each, longest - 1) for each in owner.operands)
    return isinstance(owner, GatherOp)


def _within(operand: Shape, outer: Shape, groups: list[AxisGroup], inner: Shape) -> Shape | None:
    """Shape in which an operand that broadcasts to `outer` broadcasts to `inner`; None if there is none."""
    padded = (1,) * (len(outer) - len(operand)) + operand
    found = list(inner)
    for group in groups:
        sizes = [padded[axis] for axis in group.after]
        if prod(sizes) == 1:
            for axis in group.before:
                found[axis] = 1
        elif sizes != [outer[axis] for axis in group.after]:
            return None
    return tuple(found)


def _reshaped(value: SSAValue, shape: Shape, rewriter: GraphRewriter) -> SSAValue:
    if prod(shape) == 1 and len(shape_of(value)) <= len(shape):
        return value  # a scalar is shared as it is
    return value if shape_of(value) == shape else rewriter.insert(ReshapeOp(value, shape))
