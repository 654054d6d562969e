"""Simplifications of element-wise arithmetic with constants, and of scales after contractions.

Constants are combined in f64 and rounded once. Results may differ from the original order of operations by the
rounding of one operation of the tensors' type.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isinf

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects.graph import (
    AddOp,
    BinaryOp,
    ClipOp,
    ContractionOp,
    DivOp,
    GraphOp,
    MaxOp,
    MinOp,
    MulOp,
    PowOp,
    ReciprocalOp,
    ReluOp,
    SqrtOp,
    SubOp,
)
from npucc.passes.graph.rewriting import GraphRewriter, Rule, copy_of, symbol_of
from npucc.types import Array, element_of, is_float


def operand_and_constant(op: BinaryOp, rewriter: GraphRewriter) -> tuple[SSAValue, SSAValue, Array] | None:
    """(other operand, constant operand, its array) of an op with one constant operand; commutative ops only."""
    for constant, other in ((op.rhs, op.lhs), (op.lhs, op.rhs)):
        array = rewriter.array(constant)
        if array is not None and rewriter.array(other) is None:
            return other, constant, array
    return None


def same_everywhere(array: Array) -> float | None:
    """The value of a constant whose elements are all equal (NaN: none)."""
    if array.size == 0:
        return None
    first = array.reshape(-1)[0] if array.ndim else array[()]
    return float(first) if array.size == 1 or bool(np.all(array == first)) else None


def neutral_operand(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """x + 0, x - 0, x * 1, x / 1, x ** 1 are x."""
    if not isinstance(op, BinaryOp):
        return None
    neutral = 0 if isinstance(op, AddOp | SubOp) else 1
    pairs = [(op.rhs, op.lhs)] + ([(op.lhs, op.rhs)] if isinstance(op, AddOp | MulOp) else [])
    for constant, other in pairs:
        array = rewriter.array(constant)
        if array is not None and other.type == op.result.type and same_everywhere(array) == neutral:
            return other
    return None


def subtraction_to_addition(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """x - c = x + (-c) for floats, exactly."""
    array = rewriter.array(op.operands[1])
    if array is None or not is_float(element_of(op.result)):
        return None
    return rewriter.insert(AddOp(op.operands[0], rewriter.constant(-array, f"{symbol_of(op.operands[1])}.neg")))


def division_to_multiplication(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """x / c = x * (1 / c) for floats, off by one rounding of 1 / c, unless a reciprocal overflows or is subnormal."""
    array = rewriter.array(op.operands[1])
    if array is None or not is_float(element_of(op.result)):
        return None
    with np.errstate(all="ignore"):
        exact = 1.0 / array.astype(np.float64)
        inverse = exact.astype(array.dtype)
        normal = np.abs(inverse.astype(np.float64)) >= _smallest_normal(array)
    if not np.all(np.isfinite(inverse.astype(np.float64)) & normal):
        return None
    return rewriter.insert(MulOp(op.operands[0], rewriter.constant(inverse, f"{symbol_of(op.operands[1])}.inv")))


def _smallest_normal(array: Array) -> float:
    return 2.0**-14 if array.dtype == np.float16 else 2.0**-126


def power_of_constant(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """x ** 2, 3, 0.5 and -1 of floats without a transcendental function."""
    array = rewriter.array(op.operands[1])
    x = op.operands[0]
    if array is None or not is_float(element_of(x)) or x.type != op.result.type:
        return None
    match same_everywhere(array):
        case 2.0:
            return rewriter.insert(MulOp(x, x))
        case 3.0:
            return rewriter.insert(MulOp(rewriter.insert(MulOp(x, x)), x))
        case 0.5:
            return rewriter.insert(SqrtOp(x))
        case -1.0:
            return rewriter.insert(ReciprocalOp(x))
        case _:
            return None


def constant_after_constant(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """(x + a) + b = x + (a + b), (x * a) * b = x * (a * b), where the inner result has no other user."""
    if not isinstance(op, AddOp | MulOp):
        return None
    found = operand_and_constant(op, rewriter)
    if found is None or not found[0].has_one_use():
        return None
    inner = found[0].owner
    if not isinstance(inner, BinaryOp) or type(inner) is not type(op):
        return None
    before = operand_and_constant(inner, rewriter)
    if before is None or found[0].type != op.result.type:
        return None
    function = np.add if isinstance(op, AddOp) else np.multiply
    combined = _combine(function, before[2], found[2])
    if combined is None:
        return None
    return rewriter.insert(type(op)(before[0], rewriter.constant(combined, symbol_of(before[1]))), inner)


def _combine(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array | None:
    """function(a, b) rounded once, unless broadcasting makes it larger than both."""
    if np.broadcast(a, b).size > max(a.size, b.size):
        return None
    if a.dtype.kind in "iub":
        return function(a, b)
    return function(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)


def per_last_axis(array: Array) -> Array | None:
    """A constant as a vector over the last axis (or a scalar), if it depends on no other axis."""
    if array.size == 1:
        return array.reshape(())
    return array.reshape(-1) if array.shape[-1] == array.size else None


def contraction_of(value: SSAValue, rewriter: GraphRewriter) -> tuple[ContractionOp, Array] | None:
    """The contraction that makes `value` for one user only, and its constant weights of the result's float type."""
    owner = value.owner
    if not isinstance(owner, ContractionOp) or not value.has_one_use():
        return None
    weights = rewriter.array(owner.operands[1])
    same = element_of(owner.operands[1]) == element_of(value)
    return (owner, weights) if weights is not None and same and is_float(element_of(value)) else None


def scale_into_weights(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """contraction(x, w) * c = contraction(x, w * c) for c per output channel (BatchNormalization)."""
    if not isinstance(op, MulOp) or (found := operand_and_constant(op, rewriter)) is None:
        return None
    contraction, scale = contraction_of(found[0], rewriter), per_last_axis(found[2])
    if contraction is None or scale is None or found[0].type != op.result.type:
        return None
    root, weights = contraction
    scaled = _combine(np.multiply, weights, scale)
    if scaled is None:
        return None
    new = copy_of(root)
    new.operands = [root.operands[0], rewriter.constant(scaled, f"{symbol_of(root.operands[1])}.scaled")]
    return rewriter.insert(new, root)


def scale_before_bias(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """(contraction + b) * c = contraction * c + b * c, so that c reaches the weights."""
    if not isinstance(op, MulOp) or (found := operand_and_constant(op, rewriter)) is None:
        return None
    inner, scale = found[0].owner, per_last_axis(found[2])
    if not isinstance(inner, AddOp) or not found[0].has_one_use() or scale is None:
        return None
    before = operand_and_constant(inner, rewriter)
    if before is None or contraction_of(before[0], rewriter) is None or found[0].type != op.result.type:
        return None
    bias = _combine(np.multiply, before[2], scale)
    if bias is None or before[0].type != op.result.type:
        return None
    scaled = rewriter.insert(MulOp(before[0], found[1]), inner)
    return rewriter.insert(AddOp(scaled, rewriter.constant(bias, f"{symbol_of(before[1])}.scaled")), inner)


def bound_to_clip(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """max(x, c) and min(x, c) with one number c are a clip; max(x, 0) is a relu, max(x, -inf) and min(x, inf) are x."""
    if not isinstance(op, BinaryOp) or (found := operand_and_constant(op, rewriter)) is None:
        return None
    bound = same_everywhere(found[2])
    if bound is None or found[0].type != op.result.type or not is_float(element_of(op.result)):
        return None
    if isinf(bound):
        return found[0] if (bound > 0) == isinstance(op, MinOp) else None
    if isinstance(op, MinOp):
        return rewriter.insert(ClipOp(found[0], max=bound))
    return rewriter.insert(ReluOp(found[0]) if bound == 0 else ClipOp(found[0], min=bound))


def _interval(op: object) -> tuple[SSAValue, float, float] | None:
    """(operand, low, high) of a relu or clip."""
    if isinstance(op, ReluOp):
        return op.operand, 0.0, inf
    if isinstance(op, ClipOp):
        low, high = op.bounds
        return op.operand, -inf if low is None else low, inf if high is None else high
    return None


def clip_of_clip(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Clips one after the other are one clip (an empty interval: the outer bounds win)."""
    outer = _interval(op)
    inner = _interval(op.operands[0].owner)
    if outer is None or inner is None or not op.operands[0].has_one_use():
        return None
    low = min(max(inner[1], outer[1]), outer[2])
    high = max(min(inner[2], outer[2]), outer[1])
    source = op.operands[0].owner
    if not isinstance(source, GraphOp):
        return None
    if (low, high) == (0.0, inf):
        return rewriter.insert(ReluOp(inner[0]), source)
    bounds = (None if low == -inf else low, None if high == inf else high)
    return rewriter.insert(ClipOp(inner[0], *bounds), source) if bounds != (None, None) else inner[0]


ARITHMETIC_RULES: dict[type[GraphOp], tuple[Rule, ...]] = {
    AddOp: (neutral_operand, constant_after_constant),
    SubOp: (neutral_operand, subtraction_to_addition),
    MulOp: (neutral_operand, constant_after_constant, scale_into_weights, scale_before_bias),
    DivOp: (neutral_operand, division_to_multiplication),
    PowOp: (neutral_operand, power_of_constant),
    MaxOp: (bound_to_clip,),
    MinOp: (bound_to_clip,),
    ReluOp: (clip_of_clip,),
    ClipOp: (clip_of_clip,),
}
