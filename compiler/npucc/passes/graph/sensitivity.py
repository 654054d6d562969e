"""Which values of a function 16 bits would falsify, and which masks may be replaced by finite ones."""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Operation, SSAValue

from npucc.dialects.graph import (
    ArgsortOp,
    BitcastOp,
    CastOp,
    CeilOp,
    ConstantOp,
    ContractionOp,
    ExpOp,
    FloorOp,
    GraphOp,
    LogSoftmaxOp,
    ModOp,
    NonzeroOp,
    ReduceOp,
    RemOp,
    RoundOp,
    ScanOp,
    SoftmaxOp,
    WindowReduceOp,
    blocks_within,
    ops_within,
)
from npucc.dialects.graph_ops.logic import ComparisonOp
from npucc.passes.graph.rebuilding import F32
from npucc.types import element_of

_STEPS = (ComparisonOp, FloorOp, CeilOp, RoundOp, ModOp, RemOp, ArgsortOp, NonzeroOp)
"""Ops whose result jumps: the least change of an operand can be the difference between two integers."""


class Sensitivity:
    """Found in one walk up and one down `function`.

    `exact`: f32 values that a comparison, a rounding to integers or a remainder depends on, as long as nothing but
    element-wise ops, movements, maxima and minima lie between them and the function's arguments. Sums of products
    carry the error of their 16-bit factors already: behind them f32 would pretend a precision that is not there.
    `masked`: values all of whose uses end in a softmax or an exponential, of which only differences and
    infinity matter.
    """

    def __init__(self, function: func.FuncOp) -> None:
        blocks = blocks_within(function.body.block)
        ops = [op for op in ops_within(function.body.block) if isinstance(op, GraphOp)]
        self._direct: set[SSAValue] = {argument for block in blocks for argument in block.args}
        for op in ops:
            if _passes_on(op) and all(v in self._direct for v in op.operands if element_of(v) == F32):
                self._direct.add(op.result)
        self.exact: set[SSAValue] = set()
        self.masked: set[SSAValue] = set()
        for op in reversed(ops):
            self._visit(op)

    def _visit(self, op: GraphOp) -> None:
        """Uses of the result have been visited."""
        users = [use.operation for use in op.result.uses]
        if all(self._ends_in_softmax(user) for user in users):
            self.masked.add(op.result)
        if isinstance(op, ConstantOp):
            return
        if _is_step(op) or (op.result in self.exact and _passes_on(op)):
            self.exact.update(v for v in op.operands if element_of(v) == F32 and v in self._direct)

    def _ends_in_softmax(self, user: Operation) -> bool:
        if isinstance(user, SoftmaxOp | LogSoftmaxOp | ExpOp):
            return True
        return isinstance(user, GraphOp) and _passes_on(user) and user.result in self.masked


def _is_step(op: GraphOp) -> bool:
    to_integer = isinstance(op, CastOp) and isinstance(element_of(op.result), IntegerType)
    return to_integer or isinstance(op, (*_STEPS, BitcastOp))


def _passes_on(op: GraphOp) -> bool:
    """Element-wise ops, movements, and reductions that pick an element."""
    if isinstance(op, ReduceOp | WindowReduceOp | ScanOp):
        return op.fn.data in ("max", "min")
    return not isinstance(op, ContractionOp | SoftmaxOp | LogSoftmaxOp | ArgsortOp | NonzeroOp)


def comes_from_wide_integer(op: CastOp) -> bool:
    """Whether `op` makes a float of an integer that may have more than the 8 bits that every float type holds."""
    source = element_of(op.operand)
    return isinstance(source, IntegerType) and source.width.data > 8
