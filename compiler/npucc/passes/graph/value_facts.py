"""What is known of the sign of a value's elements from the op that makes it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects.graph import (
    AbsOp,
    AddOp,
    CastOp,
    ClipOp,
    ContractionOp,
    DivOp,
    ExpandOp,
    ExpOp,
    GraphOp,
    MulOp,
    ReciprocalOp,
    ReduceOp,
    ReshapeOp,
    SigmoidOp,
    SliceOp,
    SoftmaxOp,
    SoftplusOp,
    SqrtOp,
    TransposeOp,
    WindowReduceOp,
)
from npucc.types import Array

Arrays = Callable[[SSAValue], Array | None]
"""The array of a constant, None for another value."""

DEPTH = 8
"""Ops that are followed upwards at most."""
_MOVEMENT = (ReshapeOp, TransposeOp, SliceOp, ExpandOp, CastOp)
_KEEPING = (AddOp, MulOp, DivOp, SqrtOp, ReciprocalOp, ReduceOp, WindowReduceOp)
_POSITIVE = (AbsOp, ExpOp, SigmoidOp, SoftmaxOp, SoftplusOp)


def is_non_negative(value: SSAValue, arrays: Arrays, depth: int = DEPTH) -> bool:
    """Whether no element is below 0 or -0 (elements may be NaN)."""
    array = arrays(value)
    if array is not None:
        return not bool(np.any(np.signbit(array.astype(np.float64))))
    op = value.owner
    if not isinstance(op, GraphOp) or depth == 0:
        return False
    if isinstance(op, _POSITIVE) or (isinstance(op, MulOp) and op.lhs is op.rhs):
        return True
    if isinstance(op, ClipOp):
        return all(bound is None or bound > 0 for bound in op.bounds) and op.bounds[0] is not None
    if isinstance(op, ReduceOp | WindowReduceOp) and op.fn.data == "max":
        return False  # of no elements, or of padding alone, it is -inf
    if isinstance(op, (*_KEEPING, *_MOVEMENT)):
        return all(is_non_negative(operand, arrays, depth - 1) for operand in op.operands)
    return False


def never_negative_zero(value: SSAValue, arrays: Arrays, depth: int = DEPTH) -> bool:
    """Whether no element is -0, or the sign of its zeros means nothing: ONNX gives sums of products no order."""
    op = value.owner
    if isinstance(op, ContractionOp) or (isinstance(op, ReduceOp | WindowReduceOp) and op.fn.data == "sum"):
        return True
    if depth and isinstance(op, _MOVEMENT):
        return never_negative_zero(op.operands[0], arrays, depth - 1)
    if depth and isinstance(op, AddOp):  # the sum is -0 only if both are
        return any(never_negative_zero(operand, arrays, depth - 1) for operand in op.operands)
    return is_non_negative(value, arrays, depth)
