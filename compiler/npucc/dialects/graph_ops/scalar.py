"""Scalar code of element-wise ops: upstream arith and math ops of one compute type (f32, f64, i32, i64 or i1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import AnyFloat, Float32Type, Float64Type, FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Operation, SSAValue

from npucc.dialects.tile_ops.remainder import RemFOp
from npucc.types import BOOL, is_float

Comparison = Literal["eq", "ne", "lt", "le", "gt", "ge"]


@dataclass(frozen=True)
class ScalarBuilder:
    """Inserts scalar ops; nearly every method inserts one op and returns its result.

    Values given to one call have the same type.
    """

    builder: Builder

    def _insert(self, op: Operation) -> SSAValue:
        return self.builder.insert(op).results[0]

    def constant(self, value: float, like: SSAValue) -> SSAValue:
        """A constant of the type of `like`."""
        if is_float(like.type):
            return self._insert(arith.ConstantOp(FloatAttr(float(value), cast(AnyFloat, like.type))))
        return self._insert(arith.ConstantOp(IntegerAttr(int(value), cast(IntegerType, like.type))))

    def add(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a + b."""
        return self._insert(arith.AddfOp(a, b) if is_float(a.type) else arith.AddiOp(a, b))

    def sub(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a - b."""
        return self._insert(arith.SubfOp(a, b) if is_float(a.type) else arith.SubiOp(a, b))

    def mul(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a * b."""
        return self._insert(arith.MulfOp(a, b) if is_float(a.type) else arith.MuliOp(a, b))

    def div(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a / b; integers truncate toward zero."""
        return self._insert(arith.DivfOp(a, b) if is_float(a.type) else arith.DivSIOp(a, b))

    def rem(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Remainder with the sign of the dividend."""
        return self._insert(RemFOp(a, b) if is_float(a.type) else arith.RemSIOp(a, b))

    def mod(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Remainder with the sign of the divisor: where the signs differ, the divisor is added (several ops)."""
        rest = self.rem(a, b)
        zero = self.constant(0, rest)
        signs_differ = self.xor(self.compare("lt", rest, zero), self.compare("lt", b, zero))
        correct = self.and_(self.compare("ne", rest, zero), signs_differ)
        return self.select(correct, self.add(rest, b), rest)

    def minimum(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """The smaller; NaN if either is."""
        return self._insert(arith.MinimumfOp(a, b) if is_float(a.type) else arith.MinSIOp(a, b))

    def maximum(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """The greater; NaN if either is."""
        return self._insert(arith.MaximumfOp(a, b) if is_float(a.type) else arith.MaxSIOp(a, b))

    def pow(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a ** b; of integers it wraps, and a negative exponent gives 1 / a ** -b, truncated."""
        return self._insert(math.PowFOp(a, b) if is_float(a.type) else math.IPowIOp(a, b))

    def neg(self, a: SSAValue) -> SSAValue:
        """-a (integers: 0 - a)."""
        return self._insert(arith.NegfOp(a)) if is_float(a.type) else self.sub(self.constant(0, a), a)

    def abs(self, a: SSAValue) -> SSAValue:
        """|a|."""
        return self._insert(math.AbsFOp(a) if is_float(a.type) else math.AbsIOp(a))

    def exp(self, a: SSAValue) -> SSAValue:
        """e ** a."""
        return self._insert(math.ExpOp(a))

    def log(self, a: SSAValue) -> SSAValue:
        """Natural logarithm."""
        return self._insert(math.LogOp(a))

    def expm1(self, a: SSAValue) -> SSAValue:
        """e ** a - 1, precise near 0."""
        return self._insert(math.ExpM1Op(a))

    def log1p(self, a: SSAValue) -> SSAValue:
        """log(1 + a), precise near 0."""
        return self._insert(math.Log1pOp(a))

    def sqrt(self, a: SSAValue) -> SSAValue:
        """Square root."""
        return self._insert(math.SqrtOp(a))

    def tanh(self, a: SSAValue) -> SSAValue:
        """Hyperbolic tangent."""
        return self._insert(math.TanhOp(a))

    def erf(self, a: SSAValue) -> SSAValue:
        """Error function."""
        return self._insert(math.ErfOp(a))

    def sin(self, a: SSAValue) -> SSAValue:
        """Sine of radians."""
        return self._insert(math.SinOp(a))

    def cos(self, a: SSAValue) -> SSAValue:
        """Cosine of radians."""
        return self._insert(math.CosOp(a))

    def floor(self, a: SSAValue) -> SSAValue:
        """Largest integer <= a."""
        return self._insert(math.FloorOp(a))

    def ceil(self, a: SSAValue) -> SSAValue:
        """Smallest integer >= a."""
        return self._insert(math.CeilOp(a))

    def round(self, a: SSAValue) -> SSAValue:
        """Nearest integer, halves to even."""
        return self._insert(math.RoundEvenOp(a))

    def compare(self, kind: Comparison, a: SSAValue, b: SSAValue) -> SSAValue:
        """i1: `a kind b`; with a NaN only 'ne' holds. i1 operands compare as 0 < 1."""
        if is_float(a.type):
            return self._insert(arith.CmpfOp(a, b, "une" if kind == "ne" else f"o{kind}"))
        unsigned = a.type == BOOL and kind not in ("eq", "ne")
        signed = "u" if unsigned else "s"
        return self._insert(arith.CmpiOp(a, b, kind if kind in ("eq", "ne") else signed + kind))

    def select(self, condition: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
        """a where the i1 holds, else b."""
        return self._insert(arith.SelectOp(condition, a, b))

    def and_(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Bitwise (i1: logical) and."""
        return self._insert(arith.AndIOp(a, b))

    def or_(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Bitwise or."""
        return self._insert(arith.OrIOp(a, b))

    def xor(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Bitwise exclusive or."""
        return self._insert(arith.XOrIOp(a, b))

    def not_(self, a: SSAValue) -> SSAValue:
        """Bitwise complement."""
        return self.xor(a, self.constant(-1, a))

    def shift_left(self, a: SSAValue, count: SSAValue) -> SSAValue:
        """a moved up by `count` bits, which must be less than its width."""
        return self._insert(arith.ShLIOp(a, count))

    def shift_right(self, a: SSAValue, count: SSAValue) -> SSAValue:
        """a moved down by `count` bits, which must be less than its width; copies of the sign behind."""
        return self._insert(arith.ShRSIOp(a, count))

    def shift_right_unsigned(self, a: SSAValue, count: SSAValue) -> SSAValue:
        """a moved down by `count` bits, which must be less than its width; zeros behind."""
        return self._insert(arith.ShRUIOp(a, count))

    def cast(self, a: SSAValue, target: Attribute) -> SSAValue:
        """Convert between compute types: to an integer toward zero, to i1 'is not 0'; nothing for equal types."""
        source = a.type
        if source == target:
            return a
        if target == BOOL:
            return self.compare("ne", a, self.constant(0, a))
        if source == BOOL:
            return self._from_bool(a, target)
        if is_float(source) and is_float(target):
            wider = isinstance(target, Float64Type)
            return self._insert(arith.ExtFOp(a, target) if wider else arith.TruncFOp(a, target))
        if is_float(source):
            return self._insert(arith.FPToSIOp(a, cast(IntegerType, target)))
        if is_float(target):
            return self._insert(arith.SIToFPOp(a, cast(AnyFloat, target)))
        target = cast(IntegerType, target)
        wider = target.width.data > cast(IntegerType, source).width.data
        return self._insert(arith.ExtSIOp(a, target) if wider else arith.TruncIOp(a, target))

    def rounded(self, a: SSAValue, narrow: Attribute) -> SSAValue:
        """The f32 that is the nearest value of a narrower float type."""
        short = self._insert(arith.TruncFOp(a, cast(AnyFloat, narrow)))
        return self._insert(arith.ExtFOp(short, Float32Type()))

    def _from_bool(self, a: SSAValue, target: Attribute) -> SSAValue:
        """0 or 1: unsigned, because i1 is -1 or 0 when signed."""
        if is_float(target):
            return self._insert(arith.UIToFPOp(a, cast(AnyFloat, target)))
        return self._insert(arith.ExtUIOp(a, cast(IntegerType, target)))
