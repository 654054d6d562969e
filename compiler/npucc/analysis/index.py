"""Index arithmetic of tile programs as linear functions of loop counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import affine, arith, scf
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import BlockArgument, SSAValue
from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
    AffineSymExpr,
)

NOT_LINEAR = error_code("NPU-E0811", ExitCode.BAD_INPUT, "An index is not linear in the loop counters")
BAD_BOUNDS = error_code("NPU-E0812", ExitCode.BAD_INPUT, "Loop bounds are not constants with a positive step")


@dataclass(frozen=True, slots=True)
class LinearIndex:
    """`constant + sum(coefficient * counter)` over counters of `scf.for`, each once and not times 0."""

    constant: int = 0
    terms: tuple[tuple[SSAValue, int], ...] = ()

    def __add__(self, other: LinearIndex) -> LinearIndex:
        merged = dict(self.terms)
        for counter, coefficient in other.terms:
            merged[counter] = merged.get(counter, 0) + coefficient
        return LinearIndex(
            self.constant + other.constant, tuple((value, c) for value, c in merged.items() if c != 0)
        )

    def scaled(self, factor: int) -> LinearIndex:
        """Every part times `factor`."""
        if factor == 0:
            return LinearIndex()
        return LinearIndex(self.constant * factor, tuple((value, c * factor) for value, c in self.terms))

    @property
    def is_constant(self) -> bool:
        """Whether no loop counter takes part."""
        return not self.terms

    def evaluate(self, counters: Mapping[SSAValue, int]) -> int:
        """Its value for given values of the counters; KeyError for one that is missing."""
        return self.constant + sum(c * counters[value] for value, c in self.terms)


ZERO = LinearIndex()


@dataclass(frozen=True, slots=True)
class LoopBounds:
    """`for counter = lower to upper step step`, all constant."""

    lower: int
    upper: int
    step: int

    @property
    def count(self) -> int:
        """Number of iterations."""
        return max(0, -(-(self.upper - self.lower) // self.step))

    def values(self) -> range:
        """The values that the counter takes."""
        return range(self.lower, self.upper, self.step)


def loop_bounds(loop: scf.ForOp) -> LoopBounds:
    """The bounds of a loop; NpuError if they are not constant or the step is not positive."""
    bounds = [linear_index(value) for value in (loop.lb, loop.ub, loop.step)]
    if any(not bound.is_constant for bound in bounds) or bounds[2].constant < 1:
        raise NpuError(
            BAD_BOUNDS,
            "tile loops need constant bounds and a positive step",
            where="scf.for",
            found=", ".join(str(bound.constant) if bound.is_constant else "not constant" for bound in bounds),
            remedy="split the loop at compile time so that every bound is a constant",
        )
    lower, upper, step = (bound.constant for bound in bounds)
    return LoopBounds(lower, upper, step)


def linear_index(value: SSAValue) -> LinearIndex:
    """`value` as a linear function of loop counters.

    Follows constants, addition, subtraction, multiplication by a constant and `affine.apply`. Raises NpuError
    for anything else, as the machine's address registers could not follow it.
    """
    if isinstance(value, BlockArgument):
        loop = value.block.parent_op()
        if isinstance(loop, scf.ForOp | scf.WhileOp) and value.index == 0:
            return LinearIndex(0, ((value, 1),))
        raise _not_linear(value, "a block argument that is not a loop counter")
    op = value.owner
    if isinstance(op, arith.ConstantOp) and isinstance(op.value, IntegerAttr):
        return LinearIndex(op.value.value.data)
    if isinstance(op, arith.AddiOp):
        return linear_index(op.lhs) + linear_index(op.rhs)
    if isinstance(op, arith.SubiOp):
        return linear_index(op.lhs) + linear_index(op.rhs).scaled(-1)
    if isinstance(op, arith.MuliOp):
        return _product(value, linear_index(op.lhs), linear_index(op.rhs))
    if isinstance(op, affine.ApplyOp):
        operands = [linear_index(operand) for operand in op.mapOperands]
        map_ = op.map.data
        return _affine(value, map_.results[0], operands[: map_.num_dims], operands[map_.num_dims :])
    raise _not_linear(value, getattr(op, "name", "a block"))


def _product(value: SSAValue, a: LinearIndex, b: LinearIndex) -> LinearIndex:
    if a.is_constant:
        return b.scaled(a.constant)
    if b.is_constant:
        return a.scaled(b.constant)
    raise _not_linear(value, "a product of two loop counters")


def _affine(
    value: SSAValue, expr: AffineExpr, dims: list[LinearIndex], symbols: list[LinearIndex]
) -> LinearIndex:
    if isinstance(expr, AffineConstantExpr):
        return LinearIndex(expr.value)
    if isinstance(expr, AffineDimExpr):
        return dims[expr.position]
    if isinstance(expr, AffineSymExpr):
        return symbols[expr.position]
    if isinstance(expr, AffineBinaryOpExpr):
        lhs, rhs = _affine(value, expr.lhs, dims, symbols), _affine(value, expr.rhs, dims, symbols)
        if expr.kind is AffineBinaryOpKind.Add:
            return lhs + rhs
        if expr.kind is AffineBinaryOpKind.Mul:
            return _product(value, lhs, rhs)
        if lhs.is_constant and rhs.is_constant and rhs.constant > 0:
            return LinearIndex(_fold(expr.kind, lhs, rhs))
    raise _not_linear(value, f"affine expression {expr}")


def _fold(kind: AffineBinaryOpKind, lhs: LinearIndex, rhs: LinearIndex) -> int:
    if kind is AffineBinaryOpKind.Mod:
        return lhs.constant % rhs.constant
    if kind is AffineBinaryOpKind.FloorDiv:
        return lhs.constant // rhs.constant
    return -(-lhs.constant // rhs.constant)


def _not_linear(value: SSAValue, found: str) -> NpuError:
    return NpuError(
        NOT_LINEAR,
        "an index of a tile program is not linear in the loop counters",
        where=f"%{value.name_hint}" if value.name_hint else "index value",
        found=found,
        remedy="use constants, loop counters, arith.addi / subi / muli by a constant, or affine.apply",
    )
