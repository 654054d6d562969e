"""Comparisons, logic and selection."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode, Value
from npucc.frontend.ops.arithmetic import BinaryClass, binary_operands
from npucc.frontend.registry import onnx_op
from npucc.types import shape_of

COMPARISONS: dict[str, BinaryClass] = {
    "Equal": graph.EqualOp,
    "Less": graph.LessOp,
    "LessOrEqual": graph.LessOrEqualOp,
    "Greater": graph.GreaterOp,
    "GreaterOrEqual": graph.GreaterOrEqualOp,
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


@onnx_op("And")
def conjunction(node: ImportNode) -> Value:
    """a and b; known where an operand is known to be false."""
    return _decided(node, graph.AndOp, False)


@onnx_op("Or")
def disjunction(node: ImportNode) -> Value:
    """a or b; known where an operand is known to be true."""
    return _decided(node, graph.OrOp, True)


def _decided(node: ImportNode, make: BinaryClass, decisive: bool) -> Value:
    """A loop's condition may be known for its last step alone: then it decides how many steps there are at most."""
    result = node.build.emit(make(*binary_operands(node)))
    known = [array for index in (0, 1) if (array := node.known(index)) is not None]
    if any(array.size and (array == decisive).all() for array in known):
        return np.full(shape_of(result), decisive)
    return result


@onnx_op("Where")
def where(node: ImportNode) -> SSAValue:
    """The second operand where the condition holds, else the third."""
    return node.build.emit(graph.WhereOp(node.input(0), node.input(1), node.input(2)))
