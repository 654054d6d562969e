"""Which inputs of a program a value is computed from, and whether they give shapes rather than data."""

from __future__ import annotations

from xdsl.ir import Block, BlockArgument, SSAValue

from npucc.types import element_of, is_float, shape_of

MAX_SHAPE_ELEMENTS = 16
"""Most elements of an input that is taken for a shape, axes, sizes or an option."""


def arguments_behind(value: SSAValue) -> set[SSAValue]:
    """The arguments of the function's block that `value` is computed from. What only gives a shape does not count,
    since shapes are constants."""
    seen: set[SSAValue] = set()
    left = [value]
    while left:
        current = left.pop()
        if current in seen:
            continue
        seen.add(current)
        if isinstance(current.owner, Block):
            parent = current.owner.parent_op()
            left += [] if parent is None else list(parent.operands)
            continue
        left += [operand for op in current.owner.walk() for operand in op.operands]
    return {entry for entry in seen if isinstance(entry, BlockArgument) and entry.owner.parent_op() is None}


def is_shape_like(value: SSAValue) -> bool:
    """A short list (or scalar) of integers or booleans: another value of it is another program, as another shape is."""
    shape = shape_of(value)
    return not is_float(element_of(value)) and len(shape) <= 1 and (not shape or shape[0] <= MAX_SHAPE_ELEMENTS)
