"""Scalar code for u64 elements, which kernels hold as the bit patterns of i64."""

from __future__ import annotations

from xdsl.dialects.builtin import i64
from xdsl.ir import Attribute, SSAValue

from npucc.dialects.graph_ops.scalar import Comparison, ScalarBuilder
from npucc.types import is_float

_SIGN = -(1 << 63)
_LARGEST = (1 << 63) - 1


class Unsigned64Builder(ScalarBuilder):
    """i64 operands mean numbers from 0 to 2**64 - 1; sums, products and bitwise operations are the signed ones."""

    def constant(self, value: float, like: SSAValue) -> SSAValue:
        """A number from 2**63 on as the i64 with the same bits."""
        return super().constant(value - (1 << 64) if like.type == i64 and value > _LARGEST else value, like)

    def compare(self, kind: Comparison, a: SSAValue, b: SSAValue) -> SSAValue:
        """Order: flipping the sign bits maps the unsigned order to the signed one."""
        if a.type != i64 or kind in ("eq", "ne"):
            return super().compare(kind, a, b)
        sign = self.constant(_SIGN, a)
        return super().compare(kind, self.xor(a, sign), self.xor(b, sign))

    def minimum(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """The smaller."""
        return self.select(self.compare("lt", a, b), a, b)

    def maximum(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """The greater."""
        return self.select(self.compare("lt", a, b), b, a)

    def abs(self, a: SSAValue) -> SSAValue:
        """The number itself."""
        return a

    def div(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Quotient, toward zero (Warren, "Hacker's Delight", 9-3): half of `a` is not negative; twice its quotient
        is at most 1 too small. A divisor of 2**63 or more goes 0 times or once."""
        if a.type != i64:
            return super().div(a, b)
        half = super().div(self._half(a), b)
        twice = self.add(half, half)
        rest = self.sub(a, self.mul(twice, b))
        quotient = self.add(twice, self._one_where(self.compare("ge", rest, b)))
        once = self._one_where(self.compare("ge", a, b))
        return self.select(self._negative(b), once, quotient)

    def rem(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a - a / b * b."""
        return self.sub(a, self.mul(self.div(a, b), b)) if a.type == i64 else super().rem(a, b)

    def pow(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Of an exponent of 2**63 or more: 0 and 1 are their own powers; an even number has the power 0, and an odd one
        that of the exponent modulo 2**62, since the order of every odd number divides 2**62 (the group of units
        modulo 2**64)."""
        if a.type != i64:
            return super().pow(a, b)
        order = (1 << 62) - 1
        reduced = self.and_(b, self.constant(order, b))
        even = self.compare("eq", self.and_(a, self.constant(1, a)), self.constant(0, a))
        large = self.compare("ne", reduced, b)
        vanishing = self.constant(64, b)
        return super().pow(a, self.select(self.and_(even, large), vanishing, reduced))

    def mod(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """The remainder: there are no signs."""
        return self.rem(a, b)

    def cast(self, a: SSAValue, target: Attribute) -> SSAValue:
        """As for signed integers, but to and from floats the greatest bit counts 2**63."""
        if a.type == i64 and is_float(target):
            return self._to_float(a, target)
        if is_float(a.type) and target == i64:
            return self._from_float(a, target)
        return super().cast(a, target)

    def _to_float(self, a: SSAValue, target: Attribute) -> SSAValue:
        """From 2**63 on twice the half, whose last bit keeps what is shifted out, so that it rounds as `a` would."""
        sticky = self.or_(self._half(a), self.and_(a, self.constant(1, a)))
        half = super().cast(sticky, target)
        return self.select(self._negative(a), self.add(half, half), super().cast(a, target))

    def _from_float(self, a: SSAValue, target: Attribute) -> SSAValue:
        """Numbers from 2**63 on are converted without it, which then is the sign bit."""
        limit = self.constant(2.0**63, a)
        large = super().compare("ge", a, limit)
        small = super().cast(self.select(large, self.sub(a, limit), a), target)
        return self.select(large, self.xor(small, self.constant(_SIGN, small)), small)

    def _half(self, a: SSAValue) -> SSAValue:
        """`a` shifted right by one: the signed quotient of an even number is exact, then the sign bit goes."""
        even = self.and_(a, self.constant(-2, a))
        return self.and_(super().div(even, self.constant(2, a)), self.constant(_LARGEST, a))

    def _one_where(self, condition: SSAValue) -> SSAValue:
        return super().cast(condition, i64)

    def _negative(self, a: SSAValue) -> SSAValue:
        """Whether the greatest bit is set."""
        return super().compare("lt", a, self.constant(0, a))
