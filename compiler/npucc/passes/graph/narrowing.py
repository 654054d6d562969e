"""The rules by which `graph-precision` chooses between f32 and a 16-bit type, value by value."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import func
from xdsl.ir import Attribute, SSAValue

from npucc.constants import ConstantStore
from npucc.dialects.graph import (
    AddOp,
    CastOp,
    ConcatOp,
    ConstantOp,
    ContractionOp,
    ElementwiseOp,
    ExpOp,
    GraphOp,
    LogSoftmaxOp,
    MulOp,
    PowOp,
    ReduceOp,
    SoftmaxOp,
    WhereOp,
    WindowReduceOp,
    nodes_of,
)
from npucc.passes.graph.rebuilding import F32, Rebuilder
from npucc.passes.graph.rewriting import constant_array, symbol_of
from npucc.types import Array, element_of, numpy_dtype

OUT_OF_RANGE = error_code("NPU-E0603", ExitCode.DOES_NOT_FIT, "Weights exceed the range of the 16-bit type")
SENTINEL = 1e30
"""Magnitude from which an added constant is a mask."""


class Narrowing:
    """One function from f32 to `narrow` (f16 or bf16). Values of other types are not touched.

    A value is *unsafe* if 16 bits may overflow (squares, powers, exponentials and what sums of them give) and
    *small* if it comes from sums alone. Both stay f32 until a contraction or a value of full size takes them up.
    """

    def __init__(self, function: func.FuncOp, constants: ConstantStore, narrow: Attribute) -> None:
        self.function = function
        self.constants = constants
        self.narrow = narrow
        self.build = Rebuilder(function, constants)
        self.keep_wide: set[SSAValue] = set()
        """Original values that stay f32."""
        self.small: set[SSAValue] = set()
        self.root: dict[SSAValue, int] = {}
        """Position of the op from which a chain of element-wise ops starts."""
        self.position = 0

    def run(self) -> None:
        """Rewrite the function."""
        for position, op in enumerate(list(self.function.body.block.ops)):
            self.position = position
            self.build.at(op)
            self.root.update(dict.fromkeys(op.results, self.position))
            if isinstance(op, func.ReturnOp):
                wanted = [element_of(operand) for operand in op.operands]
                results = [self.build.convert(self.build.new(v), e) for v, e in zip(op.operands, wanted)]
                self.build.finish(op, results)
            elif isinstance(op, GraphOp) and not isinstance(op, ConstantOp):
                self._convert(op)

    def _convert(self, op: GraphOp) -> None:
        match op:
            case _ if not any(element_of(value) == F32 for value in (*op.operands, op.result)):
                operands = [self.build.new(operand) for operand in op.operands]
                if operands != list(op.operands):
                    self.build.rebuild(op, operands, element_of(op.result))
            case ContractionOp():
                self._contraction(op)
            case ReduceOp() | WindowReduceOp():
                self._reduction(op)
            case SoftmaxOp() | LogSoftmaxOp():
                self.build.rebuild(op, [self.build.new(op.operands[0])], self.narrow)
            case CastOp():
                self._cast(op)
            case ElementwiseOp():
                self._elementwise(op)
            case _:
                self._movement(op)

    def _contraction(self, op: ContractionOp) -> None:
        for operand in op.operands:
            self._check_range(op, operand)
        operands = [self.build.convert(self.build.new(operand), self.narrow) for operand in op.operands]
        self.build.rebuild(op, operands, F32)
        self._round(op)

    def _check_range(self, op: ContractionOp, operand: SSAValue) -> None:
        """NPU-E0603 if weights have finite values that the narrow type has not."""
        if self._fits(operand):
            return
        array = constant_array(operand, self.constants)
        found = "" if array is None else f"{greatest_finite(array):g}"
        where = ", ".join(nodes_of(op)) or op.name
        limit = range_of(self.narrow)
        remedy = "use --precision bf16 or f32"
        raise NpuError(OUT_OF_RANGE, f"a weight exceeds {limit:g}", where=where, found=found, remedy=remedy)

    def _reduction(self, op: ReduceOp | WindowReduceOp) -> None:
        """max and min are exact in the operand's type; sums and products accumulate and stay in f32."""
        operand = self.build.new(op.x)
        exact = op.fn.data in ("max", "min")
        self.build.rebuild(op, [operand], element_of(operand) if exact else F32)
        if op.x in self.keep_wide:
            self.keep_wide.add(op.result)
        if isinstance(op, ReduceOp) and not exact:
            self.small.add(op.result)
        self._round(op)

    def _cast(self, op: CastOp) -> None:
        operand, element = self.build.new(op.operand), element_of(op.result)
        if element_of(operand) == element:
            self.build.values[op.result] = operand
            return
        self.build.rebuild(op, [operand], element)
        self._round(op)

    def _elementwise(self, op: ElementwiseOp) -> None:
        """f32 if an operand that is no constant is f32 now, or the result may be too large for 16 bits."""
        floats = [operand for operand in op.operands if element_of(operand) == F32]
        varying = [operand for operand in dict.fromkeys(floats) if not isinstance(operand.owner, ConstantOp)]
        self._round_all_but_one(varying)
        unsafe = _grows(op)
        tamed = {operand: self._tame(op, self.build.new(operand)) for operand in floats}
        wide = any(element_of(tamed[operand]) == F32 for operand in varying)
        wide |= any(not self._fits(tamed[operand]) for operand in floats if operand not in varying)
        operands = [
            self._typed(tamed[operand], wide, unsafe) if operand in tamed else self.build.new(operand)
            for operand in op.operands
        ]
        element = F32 if wide or unsafe else self.narrow
        result = element_of(op.result)
        self.build.rebuild(op, operands, element if result == F32 else result)
        starts = [self.root.get(operand, self.position) for operand in varying]
        self.root[op.result] = min(starts, default=self.position)
        if unsafe:
            self.keep_wide.add(op.result)
        if varying and all(operand in self.small for operand in varying):
            self.small.add(op.result)
        self._round(op)

    def _typed(self, value: SSAValue, wide: bool, unsafe: bool) -> SSAValue:
        """An operand in the type it is needed in. Next to an f32 operand nothing needs a cast: widths may mix."""
        return value if wide else self.build.convert(value, F32 if unsafe else self.narrow)

    def _fits(self, constant: SSAValue) -> bool:
        """Whether the finite values of a constant are finite in the narrow type."""
        array = constant_array(constant, self.constants)
        return array is None or greatest_finite(array) <= range_of(self.narrow)

    def _tame(self, op: ElementwiseOp, value: SSAValue) -> SSAValue:
        """Masks: a constant selected or added to mean 'minus infinity' gets a finite 16-bit value.

        Selected values beyond the range become its end. Added ones of 1e30 or more, to which no 16-bit number
        makes a difference, become half of it, so that the sum is finite: softmax of a row that is masked out
        altogether must not be NaN.
        """
        array = constant_array(value, self.constants)
        if array is None or not isinstance(op, AddOp | WhereOp) or self._fits(value):
            return value
        end = range_of(self.narrow)
        tamed = np.clip(array, -end, end)
        if isinstance(op, AddOp):
            tamed = np.where(np.abs(array) >= SENTINEL, np.sign(array) * array.dtype.type(end / 2), array)
        tamed = np.where(np.isinf(array), array, tamed).astype(array.dtype)
        return self.build.constant(tamed, f"{symbol_of(value)}.finite")

    def _round_all_but_one(self, varying: Sequence[SSAValue]) -> None:
        """Of several unrounded results only one can be in the group of this op; the others are stored, so round them.

        The one that stays is the one whose chain starts first: fusion grows groups in program order.
        """
        pending = [
            value
            for value in varying
            if element_of(self.build.new(value)) == F32 and value not in self.keep_wide and value not in self.small
        ]
        pending.sort(key=lambda value: self.root.get(value, 0))
        for value in pending[1:]:
            self.build.values[value] = self.build.convert(self.build.new(value), self.narrow)

    def _movement(self, op: GraphOp) -> None:
        """Moved elements keep their type; the parts of a concatenation get one type."""
        operands = [self.build.new(operand) for operand in op.operands]
        element = element_of(operands[0])
        if isinstance(op, ConcatOp):
            varying = [v for v in operands if not isinstance(v.owner, ConstantOp)]
            wide = all(element_of(v) == F32 for v in varying)
            element = F32 if wide else self.narrow
            operands = [self.build.convert(operand, element) for operand in operands]
        self.build.rebuild(op, operands, element)
        for kept in (self.keep_wide, self.small):
            if all(operand in kept for operand in op.operands):
                kept.add(op.result)
        self._round(op)

    def _round(self, op: GraphOp) -> None:
        """Round the result of `op` here, unless only one element-wise op or the caller wants it, or it must stay."""
        new = self.build.new(op.result)
        if element_of(new) != F32 or op.result in self.keep_wide or op.result in self.small:
            return
        users = [use.operation for use in op.result.uses]
        epilogue = len(users) == 1 and isinstance(users[0], ElementwiseOp | func.ReturnOp)
        if not epilogue:
            self.build.values[op.result] = self.build.convert(new, self.narrow)


def greatest_finite(array: Array) -> float:
    """Greatest magnitude among the finite elements; 0 if there are none."""
    if array.size == 0:
        return 0.0
    extremes = np.abs(np.array([array.min(), array.max()], dtype=np.float64))
    if np.isfinite(extremes).all():
        return float(extremes.max())
    finite = array[np.isfinite(array)].astype(np.float64)
    return float(np.abs(finite).max(initial=0))


def range_of(element: Attribute) -> float:
    """Greatest finite value of f16 or bf16."""
    return float(ml_dtypes.finfo(numpy_dtype(element)).max)


def _grows(op: ElementwiseOp) -> bool:
    """Whether the result can exceed 65504 for operands of ordinary size."""
    operands: Sequence[SSAValue] = op.operands
    return isinstance(op, ExpOp | PowOp) or (isinstance(op, MulOp) and operands[0] is operands[1])
