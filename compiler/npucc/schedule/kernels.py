"""What a group's element-wise ops become: how many micro-operations, and how many cycles per vector of lanes."""

from __future__ import annotations

from collections.abc import Iterable

from npuisa.kernel import MicroClass
from npuisa.target import Target
from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.ir import Block, Operation
from xdsl.rewriter import InsertPoint

from npucc.dialects.graph_ops.base import tensor_type
from npucc.dialects.graph_ops.elementwise import ElementwiseOp, emit_scalar
from npucc.types import compute_type

SPECIAL = (math.ExpOp, math.LogOp, math.TanhOp, math.ErfOp, math.SinOp, math.CosOp, math.PowFOp)
DIVIDING = (arith.DivfOp, arith.DivSIOp, arith.RemSIOp, math.SqrtOp)


def scalar_ops(op: ElementwiseOp) -> list[Operation]:
    """The scalar operations that compute one element of `op`."""
    block = Block(arg_types=[compute_type(tensor_type(value).element_type) for value in op.operands])
    emit_scalar(op, Builder(InsertPoint.at_end(block)), block.args)
    return list(block.ops)


def micro_ops(op: ElementwiseOp) -> int:
    """Upper bound of the micro-operations of `op` (constants included, nothing shared yet)."""
    return len(scalar_ops(op))


def kernel_interval(ops: Iterable[ElementwiseOp], target: Target) -> float:
    """Cycles per vector of lanes of a kernel of `ops`; at least one (moving data). Constants are free."""
    total = sum(target.interval(_cost_class(scalar)) for op in ops for scalar in scalar_ops(op) if _works(scalar))
    return max(1.0, total)


def _works(op: Operation) -> bool:
    return not isinstance(op, arith.ConstantOp)


def _cost_class(op: Operation) -> MicroClass:
    if isinstance(op, SPECIAL):
        return MicroClass.TRANSCENDENTAL
    return MicroClass.DIV if isinstance(op, DIVIDING) else MicroClass.ALU
