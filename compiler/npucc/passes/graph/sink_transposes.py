"""`graph-sink-transposes`: channels last from end to end."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from npucc.context import constants_of
from npucc.passes.graph.control_rules import hoist_constants
from npucc.passes.graph.functions import functions_of
from npucc.passes.graph.rewriting import GraphRewriter, merge_equal
from npucc.passes.graph.sink_rules import HOIST_RULES, SINK_RULES


@dataclass(frozen=True)
class GraphSinkTransposesPass(ModulePass):
    """Move transposes down, from where channels-last ops put them to where they meet their inverses.

    A transpose passes an op when no more elements are moved than before; constants are transposed at compile time.
    Holds after: transposes remain only at the borders of the function, around ops that need another order
    (a reshape that mixes axes, a matmul of batches), and where branches of different order meet.
    """

    name = "graph-sink-transposes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        constants = constants_of(ctx)
        for function in functions_of(op):
            block = function.body.block
            changed = True
            while changed:
                merge_equal(block)
                sunk = GraphRewriter(block, constants).run(SINK_RULES)
                changed = sunk or GraphRewriter(block, constants).run(HOIST_RULES)
                hoist_constants(block)
