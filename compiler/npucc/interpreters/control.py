"""Scalars that steer the loops and branches around groups of a tile program."""

from __future__ import annotations

from collections.abc import Mapping

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import Operation, SSAValue

BAD_SCALAR = error_code("NPU-E0817", ExitCode.BAD_INPUT, "Control flow of a tile program needs an unknown scalar")

_SIGNED_LESS = 2
"""Predicate `slt` of arith.cmpi."""


def scalar_value(value: SSAValue, known: Mapping[SSAValue, int]) -> int:
    """The value of an index, integer or bool. `known`: loop counters and what was loaded.

    NpuError for an operation that the sequencer has not (see `passes/npu/lower_control.py`).
    """
    if value in known:
        return known[value]
    match value.owner:
        case arith.ConstantOp(value=IntegerAttr() as number):
            return number.value.data
        case arith.IndexCastOp() as op:
            return scalar_value(op.input, known)
        case arith.AddiOp() as op:
            return scalar_value(op.lhs, known) + scalar_value(op.rhs, known)
        case arith.MuliOp() as op:
            return scalar_value(op.lhs, known) * scalar_value(op.rhs, known)
        case arith.AndIOp() as op:
            return scalar_value(op.lhs, known) & scalar_value(op.rhs, known)
        case arith.CmpiOp() as op if op.predicate.value.data == _SIGNED_LESS:
            return int(scalar_value(op.lhs, known) < scalar_value(op.rhs, known))
        case other:
            found = other.name if isinstance(other, Operation) else "a block argument"
            remedy = "use memref.load of one element, arith.constant, addi, muli, andi, index_cast, and cmpi slt"
            raise NpuError(BAD_SCALAR, "a scalar cannot be computed", "control flow", found, remedy)
