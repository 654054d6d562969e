"""Comparisons, logic and selection."""

from __future__ import annotations

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.arithmetic import BinaryClass, binary_operands
from npucc.frontend.registry import onnx_op

COMPARISONS: dict[str, BinaryClass] = {
    "Equal": graph.EqualOp,
    "Less": graph.LessOp,
    "LessOrEqual": graph.LessOrEqualOp,
    "Greater": graph.GreaterOp,
    "GreaterOrEqual": graph.GreaterOrEqualOp,
    "And": graph.AndOp,
    "Or": graph.OrOp,
    "Xor": graph.XorOp,
    "BitwiseAnd": graph.AndOp,
    "BitwiseOr": graph.OrOp,
    "BitwiseXor": graph.XorOp,
}


def _register(name: str, make: BinaryClass) -> None:
    @onnx_op(name)
    def _import(node: ImportNode) -> SSAValue:
        return node.build.emit(make(*binary_operands(node)))


for _name, _make in COMPARISONS.items():
    _register(_name, _make)


@onnx_op("Where")
def where(node: ImportNode) -> SSAValue:
    """The second operand where the condition holds, else the third."""
    return node.build.emit(graph.WhereOp(node.input(0), node.input(1), node.input(2)))
