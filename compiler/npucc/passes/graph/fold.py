"""`graph-fold`: evaluate ops on constants at compile time."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue
from xdsl.passes import ModulePass

from npucc.constants import ConstantStore
from npucc.context import constants_of
from npucc.dialects.graph import ConstantOp, GraphOp, blocks_within
from npucc.interpreters.graph import evaluate_op
from npucc.passes.graph.functions import functions_of
from npucc.passes.graph.rewriting import GraphRewriter, constant_array, erase_dead, symbol_of
from npucc.types import AnyTensor, dtype_of

GROWTH_BYTES = 65536
"""By how much a folded constant may exceed its operands: folding an `expand` must not fill the DRAM."""


@dataclass(frozen=True)
class GraphFoldPass(ModulePass):
    """Replace ops whose operands are all constants by constants.

    Holds after: no op has only constant operands, except where the result would be more than `growth` bytes larger
    than the operands together, and where the constant store does not have the operands (stock xdsl-opt).
    The arrays of the operands stay in the store, because other modules may use them.
    """

    name = "graph-fold"

    growth: int = GROWTH_BYTES

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        constants = constants_of(ctx)
        for function in functions_of(op):
            for block in list(blocks_within(function.body.block)):
                fold_block(block, constants, self.growth)
            erase_dead(function.body.block)


def fold_block(block: Block, constants: ConstantStore, growth: int) -> None:
    """Fold the ops that stand directly in a block, in program order."""
    for each in list(block.ops):
        folded = fold(each, constants, growth) if isinstance(each, GraphOp) else None
        if folded is not None:
            block.insert_op_before(folded, each)
            each.results[0].replace_all_uses_with(folded.result)


def fold(op: GraphOp, constants: ConstantStore, growth: int = GROWTH_BYTES) -> ConstantOp | None:
    """A constant (not inserted yet) that equals `op`, if it can and may be folded."""
    if isinstance(op, ConstantOp) or not op.operands:
        return None
    if any(not isinstance(operand.owner, ConstantOp) for operand in op.operands):
        return None
    arrays = [constant_array(operand, constants) for operand in op.operands]
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays) or bytes_of(op.result_type) > sum(a.nbytes for a in known) + growth:
        return None
    symbol = f"{symbol_of(op.operands[0])}.{op.name.removeprefix('graph.')}"
    return ConstantOp(constants.add(symbol, evaluate_op(op, known)), op.result_type)


def fold_rule(op: GraphOp, rewriter: GraphRewriter) -> SSAValue | None:
    """The same as a rule."""
    folded = fold(op, rewriter.constants)
    return None if folded is None else rewriter.insert(folded)


def bytes_of(type_: AnyTensor) -> int:
    """Bytes of a tensor."""
    count = 1
    for extent in type_.get_shape():
        count *= extent
    return count * dtype_of(type_.element_type).bytes
