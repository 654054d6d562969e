"""`tile.remf`: the scalar operation of kernels that xDSL's arith dialect lacks."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.irdl import irdl_op_definition


@irdl_op_definition
class RemFOp(arith.FloatingPointLikeBinaryOperation):
    """`arith.remf` of upstream MLIR (sign of the dividend), which xDSL 0.74 lacks."""

    name = "tile.remf"
