"""Simplifications of element-wise arithmetic with constants, and of scales after contractions.

Outside of contractions every rewriting is exact, or drops one rounding of the tensors' type. The weights and biases
of a contraction take up constant scales and terms behind it: a sum of many products has no order of rounding that
could be kept. Constants are combined in f64 and rounded once, and only where nothing overflows or becomes subnormal.
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
from npucc.passes.graph.value_facts import is_non_negative, never_negative_zero
from npucc.types import Array, element_of, is_float


def operand_and_constant(op: BinaryOp, rewriter: GraphRewriter) -> tuple[SSAValue, SSAValue, Array] | None:
    """(other operand, constant operand, its array) of an op with one constant operand; commutative ops only."""
    for constant, other in ((op.rhs, op.lhs), (op.lhs, op.rhs)):
        array = rewriter.array(constant)
        if array is not None and rewriter.array(other) is None:
            return other, constant, array
    return None


def finite_and_normal(array: Array) -> bool:
    """Whether no element is infinite, NaN, 0 or subnormal (integers: always)."""
    if array.dtype.kind in "iub":
        return True
    magnitude = np.abs(array.astype(np.float64))
    return bool(np.all(np.isfinite(magnitude) & (magnitude >= _smallest_normal(array))))


def powers_of_two(array: Array) -> bool:
    """Whether multiplying by any element, or dividing by it, only moves exponents."""
    return bool(np.all(np.abs(np.frexp(array.astype(np.float64))[0]) == 0.5))


def same_everywhere(array: Array) -> float | None:
    """The value of a constant whose elements are all equal (NaN: none)."""
    if array.size == 0:
        return None
    first = array.reshape(-1)[0] if array.ndim else array[()]
    return float(first) if array.size == 1 or bool(np.all(array == first)) else None


def neutral_operand(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """x + 0, x - 0, x * 1, x / 1, x ** 1 are x; of floats only x + -0 and x - +0, because -0 + +0 is +0."""
    if not isinstance(op, BinaryOp):
        return None
    neutral = 0 if isinstance(op, AddOp | SubOp) else 1
    pairs = [(op.rhs, op.lhs)] + ([(op.lhs, op.rhs)] if isinstance(op, AddOp | MulOp) else [])
    for constant, other in pairs:
        array = rewriter.array(constant)
        if array is None or other.type != op.result.type or same_everywhere(array) != neutral:
            continue
        negative = bool(np.any(np.signbit(array.astype(np.float64))))
        positive = not bool(np.all(np.signbit(array.astype(np.float64))))
        turns = positive if isinstance(op, AddOp) else isinstance(op, SubOp) and negative
        if not turns or never_negative_zero(other, rewriter.array):
            return other
    return None


def subtraction_to_addition(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """x - c = x + (-c) for floats, exactly."""
    array = rewriter.array(op.operands[1])
    if array is None or not is_float(element_of(op.result)):
        return None
    return rewriter.insert(AddOp(op.operands[0], rewriter.constant(-array, f"{symbol_of(op.operands[1])}.neg")))


def division_to_multiplication(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """x / c = x * (1 / c) for floats where that is exact: c is a power of two and 1 / c a normal number.

    Behind a contraction, any c: the product is on its way into the weights.
    """
    array = rewriter.array(op.operands[1])
    if array is None or not is_float(element_of(op.result)):
        return None
    with np.errstate(all="ignore"):
        inverse = (1.0 / array.astype(np.float64)).astype(array.dtype)
    if not finite_and_normal(inverse):
        return None
    if not powers_of_two(array) and not reaches_weights(op.operands[0], inverse, rewriter):
        return None
    return rewriter.insert(MulOp(op.operands[0], rewriter.constant(inverse, f"{symbol_of(op.operands[1])}.inv")))


def _smallest_normal(array: Array) -> float:
    return 2.0**-14 if array.dtype == np.float16 else 2.0**-126


def power_of_constant(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """x ** 2, 3, 0.5 and -1 of floats without a transcendental function.

    pow(-0, 0.5) is +0 and pow(-inf, 0.5) is +inf where the square root is -0 and NaN, so x must be known to be neither.
    """
    array = rewriter.array(op.operands[1])
    x = op.operands[0]
    if array is None or not is_float(element_of(x)) or x.type != op.result.type:
        return None
    match same_everywhere(array):
        case 2.0:
            return rewriter.insert(MulOp(x, x))
        case 3.0:
            return rewriter.insert(MulOp(rewriter.insert(MulOp(x, x)), x))
        case 0.5 if is_non_negative(x, rewriter.array):
            return rewriter.insert(SqrtOp(x))
        case -1.0:
            return rewriter.insert(ReciprocalOp(x))
        case _:
            return None


def constant_after_constant(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """(x + a) + b = x + (a + b), (x * a) * b = x * (a * b), where the inner result has no other user.

    Sums of floats need constants that do not cancel: (x + 1.5 * 2**23) - 1.5 * 2**23 rounds x on purpose. Behind a
    contraction (two biases per channel) they may cancel in some elements, but not in all. Products of floats need one
    power of two, and both to grow or both to shrink x, so that nothing overflows in between that does not in the end.
    """
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
    if combined is None or not _may_combine(op, before, found[2], combined, rewriter):
        return None
    return rewriter.insert(type(op)(before[0], rewriter.constant(combined, symbol_of(before[1]))), inner)


def _may_combine(
    op: AddOp | MulOp, inner: tuple[SSAValue, SSAValue, Array], outer: Array, combined: Array, rewriter: GraphRewriter
) -> bool:
    """Whether the constant `combined` may take the place of the inner and the outer one; see above."""
    if combined.dtype.kind in "iub":
        return True
    a, b, c = (np.abs(array.astype(np.float64)) for array in (inner[2], outer, combined))
    if isinstance(op, MulOp):
        same_direction = bool(np.all((a >= 1) & (b >= 1)) or np.all((a <= 1) & (b <= 1)))
        return finite_and_normal(combined) and same_direction and (powers_of_two(inner[2]) or powers_of_two(outer))
    kept = c >= np.maximum(a, b) / 2
    enough = kept.any() if contraction_of(inner[0], rewriter) else kept.all()
    return bool(enough and np.all(np.isfinite(c)))


def _combine(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array | None:
    """function(a, b) rounded once, unless broadcasting makes it larger than both."""
    if np.broadcast(a, b).size > max(a.size, b.size):
        return None
    if a.dtype.kind in "iub":
        return function(a, b)
    with np.errstate(over="ignore", invalid="ignore"):
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


def scaled_weights(weights: Array, scale: Array) -> Array | None:
    """weights * scale for a scale per output channel (the last axis); None if it is another, or digits get lost.

    Weights may become subnormal only in channels whose greatest weight stays normal: their error is then below that
    of the greatest weight's own rounding.
    """
    vector = per_last_axis(scale)
    scaled = None if vector is None else _combine(np.multiply, weights, vector)
    if scaled is None or vector is None or scaled.size == 0:
        return scaled
    greatest = np.abs(scaled.astype(np.float64)).reshape(-1, scaled.shape[-1]).max(axis=0)
    zero = (np.broadcast_to(vector, greatest.shape) == 0) | ~weights.reshape(-1, weights.shape[-1]).any(axis=0)
    normal = np.isfinite(greatest) & (greatest >= _smallest_normal(scaled))
    return scaled if bool(np.all(normal | (zero & (greatest == 0)))) else None


def reaches_weights(value: SSAValue, scale: Array, rewriter: GraphRewriter) -> bool:
    """Whether a product of `value` with `scale` goes into weights, perhaps after passing a bias."""
    if isinstance(value.owner, AddOp) and value.has_one_use():
        before = operand_and_constant(value.owner, rewriter)
        value = value if before is None or before[0].type != value.type else before[0]
    contraction = contraction_of(value, rewriter)
    return contraction is not None and scaled_weights(contraction[1], scale) is not None


def scale_into_weights(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """contraction(x, w) * c = contraction(x, w * c) for c per output channel (BatchNormalization)."""
    if not isinstance(op, MulOp) or (found := operand_and_constant(op, rewriter)) is None:
        return None
    contraction = contraction_of(found[0], rewriter)
    if contraction is None or found[0].type != op.result.type:
        return None
    root, weights = contraction
    scaled = scaled_weights(weights, found[2])
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
    contraction = None if before is None else contraction_of(before[0], rewriter)
    if before is None or contraction is None or found[0].type != op.result.type:
        return None
    bias = _combine(np.multiply, before[2], scale)
    if bias is None or before[0].type != op.result.type or not np.all(np.isfinite(bias.astype(np.float64))):
        return None
    if scaled_weights(contraction[1], found[2]) is None:
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
    """(operand, low, high) of a relu or clip, low <= high: a clip to an empty interval gives its upper bound."""
    if isinstance(op, ReluOp):
        return op.operand, 0.0, inf
    if isinstance(op, ClipOp):
        low, high = op.bounds
        top = inf if high is None else high
        return op.operand, -inf if low is None else min(low, top), top
    return None


def clip_of_clip(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """Clips one after the other are one clip."""
    outer = _interval(op)
    inner = _interval(op.operands[0].owner)
    if outer is None or inner is None or not op.operands[0].has_one_use():
        return None
    low, high = (min(max(bound, outer[1]), outer[2]) for bound in inner[1:])
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
