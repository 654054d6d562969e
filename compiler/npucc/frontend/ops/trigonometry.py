"""Tangent, hyperbolic functions and inverse functions, made of sine, cosine, exp, log and polynomials."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type

_ATAN = (8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1)
"""Coefficients of z^3, z^2, z, 1 with z = t^2 (Cephes, atanf.c): relative error below 2e-7 for |t| <= tan(pi / 8)."""
_ATAN_ABOVE = (
    *(-8.750608600031904122785e-1, -1.615753718733365076637e1, -7.500855792314704667340e1),
    *(-1.228866684490136173410e2, -6.485021904942025371773e1),
)
_ATAN_BELOW = (
    *(1.0, 2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2),
    *(4.853903996359136964868e2, 1.945506571482613964425e2),
)
"""Numerator and denominator for f64 (Cephes, atan.c): relative error below 2e-16."""


@onnx_op("Tan")
def tangent(node: ImportNode) -> SSAValue:
    """sin x / cos x."""
    x, build = node.input(0), node.build
    return build.div(build.emit(graph.SinOp(x)), build.emit(graph.CosOp(x)))


def _half_magnitude(node: ImportNode) -> SSAValue:
    """|x| / 2, wide. Its exponential is finite for every x whose hyperbolic functions are."""
    build = node.build
    return build.scaled(build.emit(graph.AbsOp(build.widened(node.input(0)))), 0.5)


@onnx_op("Sinh")
def hyperbolic_sine(node: ImportNode) -> SSAValue:
    """(exp x - exp -x) / 2 without cancellation near 0 and without overflow below the result's.

    With h = |x| / 2 and w = exp(h) - 1, 2 sinh h = w + w / (1 + w) and 2 cosh h = (1 + w) + 1 / (1 + w); then
    sinh |x| = 2 sinh h cosh h.
    """
    x, build = node.input(0), node.build
    half = _half_magnitude(node)
    limit = 700.0 if element_of(half) == element_type("f64") else 88.0  # exp(limit) is finite, its square is not
    grown = build.emit(graph.Expm1Op(build.emit(graph.MinOp(half, build.scalar(limit, half)))))
    power = build.shifted(grown, 1.0)
    sine = build.scaled(build.add(grown, build.div(grown, power)), 0.5)
    cosine = build.add(power, build.emit(graph.ReciprocalOp(power)))
    magnitude = build.mul(sine, cosine)
    negative = build.emit(graph.LessOp(x, build.scalar(0.0, x)))
    signed = build.emit(graph.WhereOp(negative, build.emit(graph.NegOp(magnitude)), magnitude))
    return build.cast(signed, element_of(x))


@onnx_op("Cosh")
def hyperbolic_cosine(node: ImportNode) -> SSAValue:
    """(exp x + exp -x) / 2 with each exponential as a square, so that nothing overflows below the result."""
    x, build = node.input(0), node.build
    root = build.emit(graph.ExpOp(_half_magnitude(node)))
    half = build.scaled(root, 0.5)
    decayed = build.div(build.emit(graph.ReciprocalOp(root)), build.scaled(root, 2.0))
    return build.cast(build.add(build.mul(half, root), decayed), element_of(x))


@onnx_op("Asinh")
def inverse_hyperbolic_sine(node: ImportNode) -> SSAValue:
    """sign(x) log(1 + |x| + x^2 / (1 + sqrt(x^2 + 1))), which cancels nowhere; log |x| + log 2 where x^2 overflows."""
    x, build = node.input(0), node.build
    magnitude = build.emit(graph.AbsOp(build.widened(x)))
    square = build.mul(magnitude, magnitude)
    root = build.sqrt(build.shifted(square, 1.0))
    small = build.emit(graph.Log1pOp(build.add(magnitude, build.div(square, build.shifted(root, 1.0)))))
    result = _unless_large(node, magnitude, small)
    negative = build.emit(graph.LessOp(x, build.scalar(0.0, x)))
    signed = build.emit(graph.WhereOp(negative, build.emit(graph.NegOp(result)), result))
    return build.cast(signed, element_of(x))


@onnx_op("Acosh")
def inverse_hyperbolic_cosine(node: ImportNode) -> SSAValue:
    """log(1 + t + sqrt(t) sqrt(t + 2)) with t = x - 1, which keeps its digits near 1; log x + log 2 for large x."""
    x, build = node.input(0), node.build
    wide = build.widened(x)
    above = build.shifted(wide, -1.0)
    root = build.mul(build.sqrt(above), build.sqrt(build.shifted(above, 2.0)))
    small = build.emit(graph.Log1pOp(build.add(above, root)))
    return build.cast(_unless_large(node, wide, small), element_of(x))


def _unless_large(node: ImportNode, x: SSAValue, small: SSAValue) -> SSAValue:
    """`small`, or log x + log 2 where x is so large that asinh and acosh are that in the type of x."""
    build = node.build
    limit = build.scalar(2.0**60 if element_of(x) == element_type("f64") else 2.0**30, x)
    large = build.shifted(build.emit(graph.LogOp(x)), math.log(2.0))
    return build.emit(graph.WhereOp(build.emit(graph.GreaterOp(x, limit)), large, small))


@onnx_op("Atanh")
def inverse_hyperbolic_tangent(node: ImportNode) -> SSAValue:
    """log(1 + 2 x / (1 - x)) / 2 for |x|, with the sign of x: cancels nowhere."""
    x, build = node.input(0), node.build
    magnitude = build.emit(graph.AbsOp(build.widened(x)))
    ratio = build.div(build.scaled(magnitude, 2.0), build.sub(build.scalar(1.0, magnitude), magnitude))
    result = build.scaled(build.emit(graph.Log1pOp(ratio)), 0.5)
    negative = build.emit(graph.LessOp(x, build.scalar(0.0, x)))
    signed = build.emit(graph.WhereOp(negative, build.emit(graph.NegOp(result)), result))
    return build.cast(signed, element_of(x))


def _arctangent(build: GraphBuilder, x: SSAValue) -> SSAValue:
    """The argument is brought below tan(pi / 8): atan a = pi / 2 - atan(1 / a) = pi / 4 + atan((a - 1) / (a + 1))."""

    def where(condition: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
        return build.emit(graph.WhereOp(condition, a, b))

    a = build.emit(graph.AbsOp(x))
    large = build.emit(graph.GreaterOp(a, build.scalar(math.tan(3 * math.pi / 8), a)))
    middle = build.emit(graph.GreaterOp(a, build.scalar(math.tan(math.pi / 8), a)))
    inverse = build.emit(graph.NegOp(build.emit(graph.ReciprocalOp(a))))
    shifted = build.div(build.shifted(a, -1.0), build.shifted(a, 1.0))
    t = where(large, inverse, where(middle, shifted, a))
    # A large argument is also a middle one: 0, 1 or 2 quarters of pi.
    quarters = build.add(build.cast(middle, element_of(a)), build.cast(large, element_of(a)))
    offset = build.scaled(quarters, math.pi / 4)
    z = build.mul(t, t)
    if element_of(x) == element_type("f64"):
        ratio = build.div(_polynomial(build, z, _ATAN_ABOVE), _polynomial(build, z, _ATAN_BELOW))
    else:
        ratio = _polynomial(build, z, _ATAN)
    angle = build.add(offset, build.add(t, build.mul(t, build.mul(ratio, z))))
    return build.mul(angle, build.emit(graph.SignOp(x)))


def _polynomial(build: GraphBuilder, z: SSAValue, coefficients: Sequence[float]) -> SSAValue:
    """By Horner's rule, the highest power first."""
    value = build.shifted(build.scaled(z, coefficients[0]), coefficients[1])
    for coefficient in coefficients[2:]:
        value = build.shifted(build.mul(value, z), coefficient)
    return value


@onnx_op("Atan")
def inverse_tangent(node: ImportNode) -> SSAValue:
    """Angle in (-pi / 2, pi / 2)."""
    return node.build.cast(_arctangent(node.build, node.build.widened(node.input(0))), element_of(node.input(0)))


@onnx_op("Asin")
def inverse_sine(node: ImportNode) -> SSAValue:
    """atan(x / sqrt((1 - x) (1 + x)))."""
    build, x = node.build, node.build.widened(node.input(0))
    legs = build.mul(build.sub(build.scalar(1.0, x), x), build.shifted(x, 1.0))
    angle = _arctangent(build, build.div(x, build.sqrt(legs)))
    return build.cast(angle, element_of(node.input(0)))


@onnx_op("Acos")
def inverse_cosine(node: ImportNode) -> SSAValue:
    """2 atan(sqrt((1 - x) / (1 + x))), which keeps its accuracy near 1."""
    build, x = node.build, node.build.widened(node.input(0))
    ratio = build.div(build.sub(build.scalar(1.0, x), x), build.shifted(x, 1.0))
    angle = build.scaled(_arctangent(build, build.sqrt(ratio)), 2.0)
    return build.cast(angle, element_of(node.input(0)))
