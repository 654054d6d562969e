"""Element by element: the box of the result is the broadcast of the boxes; nothing outside of it reaches it."""

from __future__ import annotations

from collections.abc import Sequence

from npucc.frontend.bounded.extents import broadcast
from npucc.frontend.bounded.rules import BoundedNode, bounded_rule, output
from npucc.frontend.node import Output
from npucc.types import shape_of

_UNARY = [
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu", "Cos",
    "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid",
    "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
]  # fmt: skip
_NARY = [
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub",
    "Sum", "Where", "Xor",
]  # fmt: skip


@bounded_rule(*_UNARY)
def unary(node: BoundedNode) -> Sequence[Output] | None:
    """One tensor, element by element."""
    return [output(node.values()[0], node.sizes(0))]


@bounded_rule(*_NARY)
def nary(node: BoundedNode) -> Sequence[Output] | None:
    """NumPy broadcasting of all inputs (opset 7 and later; before, `axis` aligned them)."""
    if node.view.opset < 7 and node.view.has_attribute("axis"):
        return None
    given = [(extents, node.view.shape(i)) for i, extents in enumerate(node.extents) if extents is not None]
    extents = broadcast(given)
    if extents is None:
        return None
    value = node.values()[0]
    return None if len(shape_of(value)) != len(extents) else [output(value, extents)]


@bounded_rule("Clip", "CastLike", "Dropout", "QuantizeLinear", "DequantizeLinear")
def parameters(node: BoundedNode) -> Sequence[Output] | None:
    """The first input element by element; the others hold one value (a type, limits, a scale)."""
    if (
        any(
            node.extents[index] is not None and node.view.shape(index) not in ((), (1,))
            for index in range(1, len(node.extents))
        )
        and node.view.op_type != "CastLike"
    ):
        return None
    if node.view.op_type == "Dropout" and node.view.uses_output(1):
        return None
    return [output(node.values()[0], node.sizes(0))]
