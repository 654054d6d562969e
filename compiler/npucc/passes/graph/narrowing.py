"""The rules by which `graph-precision` chooses between f32 and a 16-bit type, value by value."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import func
from xdsl.ir import Attribute, Block, SSAValue

from npucc.constants import ConstantStore
from npucc.dialects.graph import (
    AbsOp,
    AddOp,
    ArgsortOp,
    BitcastOp,
    CastOp,
    ClipOp,
    ConcatOp,
    ConstantOp,
    ContractionOp,
    ControlOp,
    ElementwiseOp,
    ExpOp,
    GraphOp,
    LogSoftmaxOp,
    MulOp,
    NegOp,
    NonzeroOp,
    PowOp,
    ReduceOp,
    ScanOp,
    SoftmaxOp,
    SubOp,
    WhereOp,
    WindowReduceOp,
    YieldOp,
    nodes_of,
)
from npucc.passes.graph.rebuilding import F32, Rebuilder, saturated
from npucc.passes.graph.rewriting import constant_array, symbol_of
from npucc.passes.graph.sensitivity import Sensitivity, comes_from_wide_integer
from npucc.types import Array, element_of, numpy_dtype

OUT_OF_RANGE = error_code("NPU-E0603", ExitCode.DOES_NOT_FIT, "Weights exceed the range of the 16-bit type")
_KEEPS_RANGE = (AddOp, SubOp, MulOp, NegOp, AbsOp, WhereOp)
"""Ops whose result is beyond the range where an operand is."""
SENTINEL = 1e30
"""Magnitude from which an added constant is a mask."""


class Narrowing:
    """One function from f32 to `narrow` (f16 or bf16). Values of other types are not touched.

    A value is *unsafe* if 16 bits may overflow (squares, powers, exponentials, what sums of them give, what is
    scaled beyond the range) or a jump depends on it (`Sensitivity.exact`). It is *fine* if it comes from sums,
    maxima, integers and constants too small for 16 bits alone. Both stay f32 until a contraction or a value of full
    size takes them up. Whether products, quotients and sums of products stay in range depends on the data: the
    simulator counts the elements that do not.
    """

    def __init__(self, function: func.FuncOp, constants: ConstantStore, narrow: Attribute) -> None:
        self.function = function
        self.constants = constants
        self.narrow = narrow
        self.build = Rebuilder(function, constants)
        sensitivity = Sensitivity(function)
        self.masked = sensitivity.masked
        self.keep_wide: set[SSAValue] = set(sensitivity.exact)
        """Original values that stay f32."""
        self.fine: set[SSAValue] = set()
        self.beyond: set[SSAValue] = set()
        """Values with a finite constant beyond the range as a term or factor."""
        self.powers: set[SSAValue] = set()
        self.root: dict[SSAValue, int] = {}
        """Position of the op from which a chain of element-wise ops starts."""
        self.position = 0

    def run(self) -> None:
        """Rewrite the function."""
        self._block(self.function.body.block)

    def _block(self, block: Block) -> None:
        """Rewrite a block. What enters and leaves a loop or branch keeps its type, as with the function itself:
        a state in 16 bits would be rounded in every step."""
        for op in list(block.ops):
            self.position += 1
            self.build.at(op)
            self.root.update(dict.fromkeys(op.results, self.position))
            if isinstance(op, func.ReturnOp | YieldOp):
                wanted = [element_of(operand) for operand in op.operands]
                results = [self.build.convert(self.build.new(v), e) for v, e in zip(op.operands, wanted)]
                self.build.finish(op, results)
            elif isinstance(op, ControlOp):
                self.build.boundary(op)
                for region in op.regions:
                    with self.build.region():
                        self._block(region.block)
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
            case ReduceOp() | WindowReduceOp() | ScanOp():
                self._reduction(op)
            case ArgsortOp() | NonzeroOp():
                self.build.rebuild(op, [self.build.new(op.operands[0])], element_of(op.result))
            case SoftmaxOp() | LogSoftmaxOp():
                self.build.rebuild(op, [self.build.new(op.operands[0])], self.narrow)
            case CastOp():
                self._cast(op)
            case BitcastOp():
                operand = self.build.convert(self.build.new(op.x), element_of(op.x))
                self.build.rebuild(op, [operand], element_of(op.result))
                self.keep_wide.add(op.result)
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

    def _reduction(self, op: ReduceOp | WindowReduceOp | ScanOp) -> None:
        """Sums and products accumulate and stay in f32; so do maxima and minima of whole axes, which are statistics
        too, though they are exact in the operand's type."""
        operand = self.build.new(op.x)
        exact = op.fn.data in ("max", "min")
        self.build.rebuild(op, [operand], element_of(operand) if exact else F32)
        if op.x in self.keep_wide:
            self.keep_wide.add(op.result)
        if isinstance(op, ReduceOp | ScanOp):
            self.fine.add(op.result)
            self.build.values[op.result] = self.build.convert(self.build.new(op.result), F32)
        self._round(op)

    def _cast(self, op: CastOp) -> None:
        operand, element = self.build.new(op.operand), element_of(op.result)
        if element_of(operand) == element:
            self.build.values[op.result] = operand
            return
        if comes_from_wide_integer(op) or op.operand in self.fine:
            self.fine.add(op.result)
        self.build.rebuild(op, [operand], element)
        self._round(op)

    def _elementwise(self, op: ElementwiseOp) -> None:
        """f32 if an operand that is no constant is f32 now, or the result must not have 16 bits."""
        floats = [operand for operand in op.operands if element_of(operand) == F32]
        varying = [operand for operand in dict.fromkeys(floats) if not isinstance(operand.owner, ConstantOp)]
        self._round_all_but_one(varying)
        tamed = {operand: self._tame(op, self.build.new(operand)) for operand in floats}
        fixed = [tamed[operand] for operand in floats if operand not in varying]
        unsafe = self._unsafe(op, varying, fixed)
        wide = any(element_of(tamed[operand]) == F32 for operand in varying)
        wide |= not all(self._fits(constant) and not self._labels(constant) for constant in fixed)
        operands = [
            self._typed(tamed[operand], wide, unsafe) if operand in tamed else self.build.new(operand)
            for operand in op.operands
        ]
        element = F32 if wide or unsafe else self.narrow
        result = element_of(op.result)
        self.build.rebuild(op, operands, element if result == F32 else result)
        starts = [self.root.get(operand, self.position) for operand in varying]
        self.root[op.result] = min(starts, default=self.position)
        self._round(op)

    def _unsafe(self, op: ElementwiseOp, varying: Sequence[SSAValue], fixed: Sequence[SSAValue]) -> bool:
        """Whether the result must be f32; notes why."""
        if isinstance(op, _KEEPS_RANGE) and any(v in self.beyond for v in varying):
            self.beyond.add(op.result)
        if isinstance(op, AddOp | SubOp | MulOp | WhereOp) and not all(self._fits(constant) for constant in fixed):
            self.beyond.add(op.result)
        if self._grows(op):
            self.powers.add(op.result)
        if op.result in self.beyond or op.result in self.powers:
            self.keep_wide.add(op.result)
        labels = any(self._labels(constant) for constant in fixed)
        only_fine = bool(varying or labels) and all(operand in self.fine for operand in varying)
        if only_fine or self._vanishes(op, fixed):
            self.fine.add(op.result)
        return op.result in self.keep_wide or op.result in self.fine

    def _grows(self, op: ElementwiseOp) -> bool:
        """Whether the result can exceed 65504 for operands of ordinary size: powers, and what is multiplied by them."""
        if not isinstance(op, MulOp):
            return isinstance(op, ExpOp | PowOp)
        a, b = op.operands
        constant = any(isinstance(operand.owner, ConstantOp) or operand in self.fine for operand in (a, b))
        return a is b or (not constant and (a in self.powers or b in self.powers))

    def _vanishes(self, op: ElementwiseOp, fixed: Sequence[SSAValue]) -> bool:
        """Whether a constant of `op` (an epsilon, a scale) is not 0 but too small for 16 bits to hold exactly."""
        least = float(ml_dtypes.finfo(numpy_dtype(self.narrow)).smallest_normal)
        bounds = op.bounds if isinstance(op, ClipOp) else ()
        arrays = [constant_array(constant, self.constants) for constant in fixed]
        sizes = [greatest_finite(array) for array in arrays if array is not None]
        return any(0 < size < least for size in (*sizes, *(abs(bound) for bound in bounds if bound is not None)))

    def _labels(self, constant: SSAValue) -> bool:
        """Whether a constant holds integers of which 16 bits make others."""
        array = constant_array(constant, self.constants)
        if array is None or not array.size or not np.isfinite(array).all() or greatest_finite(array) >= SENTINEL:
            return False
        return bool(
            (array == np.rint(array)).all() and (array != saturated(array, self.narrow).astype(array.dtype)).any()
        )

    def _typed(self, value: SSAValue, wide: bool, unsafe: bool) -> SSAValue:
        """An operand in the type it is needed in. Next to an f32 operand nothing needs a cast: widths may mix."""
        return value if wide else self.build.convert(value, F32 if unsafe else self.narrow)

    def _fits(self, constant: SSAValue) -> bool:
        """Whether the finite values of a constant are finite in the narrow type."""
        array = constant_array(constant, self.constants)
        return array is None or greatest_finite(array) <= range_of(self.narrow)

    def _tame(self, op: ElementwiseOp, value: SSAValue) -> SSAValue:
        """Masks on the way to a softmax or an exponential: a constant that means 'minus infinity' gets a finite
        16-bit value.

        Selected values beyond the range become its end. Terms and factors of 1e30 or more, to which no 16-bit number
        makes a difference, become half of it, so that the sum is finite: softmax of a row that is masked out
        altogether must not be NaN.
        """
        array = constant_array(value, self.constants)
        if array is None or op.result not in self.masked or self._fits(value):
            return value
        if not isinstance(op, AddOp | MulOp | WhereOp):
            return value
        end = range_of(self.narrow)
        tamed = np.clip(array, -end, end)
        if not isinstance(op, WhereOp):
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
            if element_of(self.build.new(value)) == F32 and value not in self.keep_wide and value not in self.fine
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
            kept = any(v in self.keep_wide or v in self.fine for v in op.operands) or op.result in self.keep_wide
            wide = kept or all(element_of(v) == F32 for v in varying)
            if kept:
                self.keep_wide.add(op.result)
            element = F32 if wide else self.narrow
            operands = [self.build.convert(operand, element) for operand in operands]
        self.build.rebuild(op, operands, element)
        for kept in (self.keep_wide, self.fine, self.beyond):
            if all(operand in kept for operand in op.operands):
                kept.add(op.result)
        self._round(op)

    def _round(self, op: GraphOp) -> None:
        """Round the result of `op` here, unless only one element-wise op or the caller wants it, or it must stay."""
        new = self.build.new(op.result)
        if element_of(new) != F32 or op.result in self.keep_wide or op.result in self.fine:
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
