"""`graph-simplify`: fewer and cheaper ops that compute the same."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from npucc.context import constants_of
from npucc.dialects.graph import ELEMENTWISE_OPS, GraphOp
from npucc.dialects.graph import Graph as GraphDialect
from npucc.passes.graph.arithmetic_rules import ARITHMETIC_RULES
from npucc.passes.graph.control_rules import simplify_control
from npucc.passes.graph.fold import fold_rule
from npucc.passes.graph.functions import functions_of
from npucc.passes.graph.lookup_rules import epilogue_of_lookup
from npucc.passes.graph.movement_rules import MOVEMENT_RULES, implicit_broadcast
from npucc.passes.graph.rewriting import GraphRewriter, Rule, erase_dead, merge_equal


@dataclass(frozen=True)
class GraphSimplifyPass(ModulePass):
    """Canonicalise a function of core ops (before fusion).

    Holds after: no dead and no duplicate ops; no identity movement, no pairs of transposes, reshapes, casts or
    slices; constants folded; constant scales per output channel are in the weights of the contraction before them;
    element-wise ops behind a lookup have its shape; float subtraction of and division by constants are addition and
    multiplication. Loops compute nothing that is the same in every step, carry nothing that never changes, and give
    no result that nobody reads; constants stand at the top of the function.
    """

    name = "graph-simplify"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        constants = constants_of(ctx)
        rules = simplify_rules()
        for function in functions_of(op):
            block = function.body.block
            erase_dead(block)
            changed = True
            while changed:
                merge_equal(block)
                changed = GraphRewriter(block, constants).run(rules)
                changed |= simplify_control(block)


def simplify_rules() -> dict[type[GraphOp], tuple[Rule, ...]]:
    """All rules by op: first folding, then movement, arithmetic and implicit broadcasting."""
    ops = [op for op in GraphDialect.operations if issubclass(op, GraphOp)]
    elementwise = set(ELEMENTWISE_OPS)
    return {
        op: (
            fold_rule,
            *MOVEMENT_RULES.get(op, ()),
            *ARITHMETIC_RULES.get(op, ()),
            *((implicit_broadcast, epilogue_of_lookup) if op in elementwise else ()),
        )
        for op in ops
    }
