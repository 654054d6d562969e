"""All 16-bit floats of a function become f32."""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.ir import Attribute, Block, SSAValue
from xdsl.rewriter import Rewriter

from npucc.constants import ConstantStore
from npucc.dialects.graph import ConstantOp, ControlOp, GraphOp, YieldOp
from npucc.passes.graph.rebuilding import F32, Rebuilder
from npucc.types import element_of, element_type, shape_of, tensor

NARROW = frozenset(element_type(name) for name in ("f16", "bf16"))


def widen_function(function: func.FuncOp, constants: ConstantStore) -> None:
    """Rewrite `function` so that nothing but its signature is f16 or bf16."""
    _widen_block(function.body.block, Rebuilder(function, constants))


def _widen_block(block: Block, build: Rebuilder) -> None:
    for op in list(block.ops):
        build.at(op)
        operands = [build.new(operand) for operand in op.operands]
        if isinstance(op, func.ReturnOp):
            wanted = [element_of(operand) for operand in op.operands]
            build.finish(op, [build.convert(value, element) for value, element in zip(operands, wanted)])
        elif isinstance(op, YieldOp):
            build.finish(op, [build.convert(value, _widened(element_of(value))) for value in operands])
        elif isinstance(op, ControlOp):
            op.operands = [build.convert(value, _widened(element_of(value))) for value in operands]
            for region in op.regions:
                _widen_arguments(region.block)
                with build.region():
                    _widen_block(region.block, build)
            for result in list(op.results):
                _retype(result)
        elif isinstance(op, GraphOp) and not isinstance(op, ConstantOp):
            operands = [build.convert(value, _widened(element_of(value))) for value in operands]
            build.rebuild(op, operands, _widened(element_of(op.result)))


def _widen_arguments(block: Block) -> None:
    for argument in list(block.args):
        _retype(argument)


def _retype(value: SSAValue) -> None:
    """Give a value in place the widened type."""
    element = element_of(value)
    if _widened(element) != element:
        Rewriter.replace_value_with_new_type(value, tensor(shape_of(value), _widened(element)))


def _widened(element: Attribute) -> Attribute:
    return F32 if element in NARROW else element
