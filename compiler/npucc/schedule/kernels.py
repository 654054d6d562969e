"""What a group's element-wise ops become: how many micro-operations, and how many cycles per vector of lanes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from npuisa.kernel import MicroClass
from npuisa.target import Target
from npusim.costs import passes_interval
from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import bf16, f16
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint

from npucc.dialects.graph_ops.base import tensor_type
from npucc.dialects.graph_ops.elementwise import ElementwiseOp, emit_scalar, into_type
from npucc.types import compute_type

SPECIAL = (
    *(math.ExpOp, math.ExpM1Op, math.LogOp, math.Log1pOp),
    *(math.TanhOp, math.ErfOp, math.SinOp, math.CosOp, math.PowFOp),
)
DIVIDING = (arith.DivfOp, arith.DivSIOp, arith.RemSIOp, math.SqrtOp)


def scalar_ops(op: ElementwiseOp) -> list[Operation]:
    """The scalar operations that compute one element of `op`, brought into its type for an op that follows."""
    block = Block(arg_types=[compute_type(tensor_type(value).element_type) for value in op.operands])
    builder = Builder(InsertPoint.at_end(block))
    result = emit_scalar(op, builder, block.args)
    if op.leaves_type:
        into_type(op, builder, result)
    return list(block.ops)


def micro_ops(ops: Iterable[ElementwiseOp], immediates: int) -> int:
    """Upper bound of the micro-operations of a kernel of `ops`: equal constants are one, nothing else is shared.

    `immediates`: scalar constants that the ops read; each is a micro-operation, too.
    """
    scalars = [scalar for op in ops for scalar in scalar_ops(op)]
    constants = {(scalar.value, scalar.result.type) for scalar in scalars if isinstance(scalar, arith.ConstantOp)}
    return sum(not isinstance(scalar, arith.ConstantOp) for scalar in scalars) + len(constants) + immediates


def kernel_interval(ops: Iterable[ElementwiseOp], target: Target, fused_ops: int) -> float:
    """Cycles per vector of lanes of a kernel of `ops`; at least one (moving data). Constants are free."""
    counts = Counter(_cost_class(scalar) for op in ops for scalar in scalar_ops(op) if _works(scalar))
    return passes_interval(target, counts, fused_ops)


def _works(op: Operation) -> bool:
    """Not constants, nor the second half of rounding to 16 bits, which is one micro-operation."""
    return not isinstance(op, arith.ConstantOp) and not (isinstance(op, arith.ExtFOp) and _is_short(op.operands[0]))


def _is_short(value: SSAValue) -> bool:
    return value.type in (f16, bf16)


def _cost_class(op: Operation) -> MicroClass:
    if isinstance(op, SPECIAL):
        return MicroClass.TRANSCENDENTAL
    return MicroClass.DIV if isinstance(op, DIVIDING) else MicroClass.ALU
