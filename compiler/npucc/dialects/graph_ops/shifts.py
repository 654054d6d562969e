"""Shifts of the bits of integers."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import IntegerType
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition

from npucc.dialects.graph_ops.elementwise import U64, BinaryOp, Kinds
from npucc.dialects.graph_ops.scalar import ScalarBuilder
from npucc.numpy_functions import shift_left, shift_right
from npucc.types import Array, dtype_of


class ShiftOp(BinaryOp):
    """Moves the bits of `lhs` by `rhs` places. A negative number of places, or as many as the type has bits or more,
    moves all of them out."""

    ACCEPTS: ClassVar[Kinds] = "integer"

    def _moves_less_than(self, s: ScalarBuilder, count: SSAValue, bits: int) -> SSAValue:
        """Whether 0 <= count < bits."""
        not_too_far = s.compare("lt", count, s.constant(bits, count))
        if self.operand_types[0].element_type == U64:
            return not_too_far
        return s.and_(not_too_far, s.compare("ge", count, s.constant(0, count)))


@irdl_op_definition
class ShiftLeftOp(ShiftOp):
    """a * 2 ** b modulo 2 ** bits."""

    name = "graph.shift_left"
    OVERFLOWS: ClassVar[bool] = True

    def numpy(self, a: Array, b: Array) -> Array:
        return shift_left(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        inside = self._moves_less_than(s, b, dtype_of(self.operand_types[0].element_type).bits)
        return s.select(inside, s.shift_left(a, b), s.constant(0, a))


@irdl_op_definition
class ShiftRightOp(ShiftOp):
    """a / 2 ** b rounded down: signed types keep copies of the sign."""

    name = "graph.shift_right"

    def numpy(self, a: Array, b: Array) -> Array:
        return shift_right(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        inside = self._moves_less_than(s, b, dtype_of(self.operand_types[0].element_type).bits)
        if self.operand_types[0].element_type == U64:
            return s.select(inside, s.shift_right_unsigned(a, b), s.constant(0, a))
        # Narrower unsigned numbers are not negative in their compute type; its last place is copies of the sign.
        assert isinstance(a.type, IntegerType)
        return s.shift_right(a, s.select(inside, b, s.constant(a.type.width.data - 1, b)))
