"""Element-wise functions of one operand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode, Value
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.tensors import type_name
from npucc.types import element_of, element_of_numpy, element_type, is_float

UnaryClass = Callable[[SSAValue], graph.GraphOp]

UNARY: dict[str, UnaryClass] = {
    "Abs": graph.AbsOp,
    "Neg": graph.NegOp,
    "Exp": graph.ExpOp,
    "Log": graph.LogOp,
    "Sqrt": graph.SqrtOp,
    "Reciprocal": graph.ReciprocalOp,
    "Floor": graph.FloorOp,
    "Ceil": graph.CeilOp,
    "Round": graph.RoundOp,
    "Sign": graph.SignOp,
    "Tanh": graph.TanhOp,
    "Erf": graph.ErfOp,
    "Sin": graph.SinOp,
    "Cos": graph.CosOp,
    "Sigmoid": graph.SigmoidOp,
    "Relu": graph.ReluOp,
    "Softplus": graph.SoftplusOp,
    "Not": graph.NotOp,
    "BitwiseNot": graph.NotOp,
}


def _register(name: str, make: UnaryClass) -> None:
    @onnx_op(name)
    def _import(node: ImportNode) -> SSAValue:
        return node.build.emit(make(node.input(0)))


for _name, _make in UNARY.items():
    _register(_name, _make)


@onnx_op("Identity")
def identity(node: ImportNode) -> Value:
    """The same tensor under another name."""
    return _passed_on(node)


@onnx_op("Dropout")
def dropout(node: ImportNode) -> list[Value]:
    """In inference: the identity, with a mask of ones."""
    if node.has(2) and bool(node.constant(2, "training_mode").reshape(-1)[0]):
        raise Unsupported("Dropout runs in inference mode", "training_mode = 1", "export the model with model.eval()")
    dtype = np.bool_ if node.opset >= 10 else np.float32
    mask = np.broadcast_to(np.ones((), dtype), node.shape(0))
    return [_passed_on(node), mask]


def _passed_on(node: ImportNode) -> Value:
    known = node.known(0)
    return node.input(0) if known is None else known


@onnx_op("Cast")
def cast(node: ImportNode) -> SSAValue:
    """Conversion to the element type `to`."""
    return node.build.cast(node.input(0), element_of_onnx(node.attribute("to")))


@onnx_op("CastLike")
def cast_like(node: ImportNode) -> SSAValue:
    """Conversion to the element type of the second input."""
    return node.build.cast(node.input(0), element_of(node.input(1)))


def element_of_onnx(element_type: int | str) -> Attribute:
    """The graph's element type for a TensorProto data type (before opset 6: its name)."""
    known = dict(TensorProto.DataType.items())
    if isinstance(element_type, str):
        element_type = known.get(element_type, -1)
    if element_type not in known.values():
        raise Malformed("`to` is an element type of ONNX", str(element_type))
    try:
        return element_of_numpy(helper.tensor_dtype_to_np_dtype(element_type))
    except KeyError:
        rule = "tensors have an element type of the machine"
        raise Unsupported(rule, type_name(element_type)) from None


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


@onnx_op("IsNaN")
def is_nan(node: ImportNode) -> SSAValue:
    """Only NaN differs from itself."""
    x, build = node.input(0), node.build
    return build.emit(graph.NotOp(build.emit(graph.EqualOp(x, x))))


@onnx_op("IsInf")
def is_infinite(node: ImportNode) -> SSAValue:
    """Infinities of the signs asked for."""
    x, build = node.input(0), node.build
    positive, negative = node.integer("detect_positive", 1), node.integer("detect_negative", 1)
    if not is_float(element_of(x)):
        raise Unsupported("IsInf has a float operand", str(element_of(x)))
    if positive and negative:
        x = build.emit(graph.AbsOp(x))
    limit = build.scalar(np.inf if positive else -np.inf, x)
    if not positive and not negative:
        return build.emit(graph.LessOp(x, x))
    return build.emit(graph.EqualOp(x, limit))
