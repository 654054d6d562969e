"""Element-wise functions of one operand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode, Value
from npucc.frontend.problems import Malformed, NeedsHost, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.tensors import type_name
from npucc.types import element_of, element_of_numpy, element_type, is_float, numpy_dtype

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


@onnx_op("Erf")
def erf(node: ImportNode) -> SSAValue:
    """Of integers in f32, whose fraction is dropped, as in ONNX's evaluator: 0 below 4, where it rounds to 1."""
    build, x = node.build, node.input(0)
    if is_float(element_of(x)):
        return build.emit(graph.ErfOp(x))
    return build.cast(build.emit(graph.ErfOp(build.cast(x, element_type("f32")))), element_of(x))


@onnx_op("Identity")
def identity(node: ImportNode) -> Value:
    """The same tensor under another name."""
    return _passed_on(node)


@onnx_op("Dropout")
def dropout(node: ImportNode) -> list[Value]:
    """In inference, or with ratio 0: the identity, with a mask of ones."""
    trains = node.has(2) and bool(node.constant(2, "training_mode").reshape(-1)[0])
    if trains and (not node.has(1) or float(node.constant(1, "ratio").reshape(-1)[0]) != 0):
        raise NeedsHost("the NPU draws no random numbers", "training_mode = 1", "export the model with model.eval()")
    dtype = np.dtype(np.bool_) if node.opset >= 10 else numpy_dtype(element_of(node.input(0)))
    mask = np.broadcast_to(np.ones((), dtype), node.shape(0))
    return [_passed_on(node), mask]


def _passed_on(node: ImportNode) -> Value:
    known = node.known(0)
    return node.input(0) if known is None else known


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
