"""All 16-bit floats of a function become f32."""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.ir import Attribute

from npucc.constants import ConstantStore
from npucc.dialects.graph import ConstantOp, GraphOp
from npucc.passes.graph.rebuilding import F32, Rebuilder
from npucc.types import element_of, element_type

NARROW = frozenset(element_type(name) for name in ("f16", "bf16"))


def widen_function(function: func.FuncOp, constants: ConstantStore) -> None:
    """Rewrite `function` so that nothing but its signature is f16 or bf16."""
    build = Rebuilder(function, constants)
    for op in list(function.body.block.ops):
        build.at(op)
        operands = [build.new(operand) for operand in op.operands]
        if isinstance(op, func.ReturnOp):
            wanted = [element_of(operand) for operand in op.operands]
            build.finish(op, [build.convert(value, element) for value, element in zip(operands, wanted)])
        elif isinstance(op, GraphOp) and not isinstance(op, ConstantOp):
            operands = [build.convert(value, _widened(element_of(value))) for value in operands]
            build.rebuild(op, operands, _widened(element_of(op.result)))


def _widened(element: Attribute) -> Attribute:
    return F32 if element in NARROW else element
