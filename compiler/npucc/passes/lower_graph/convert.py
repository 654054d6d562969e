"""`convert-graph-to-tile`: tensors become buffers, groups become loops over tiles."""

from __future__ import annotations

from dataclasses import dataclass

from npuisa.target import Target
from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, ModuleOp, StringAttr
from xdsl.ir import Block, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from npucc.constants import ConstantStore
from npucc.context import constants_of, target_of
from npucc.dialects import graph, tile
from npucc.dialects.graph_ops.base import nodes_of, tensor_type
from npucc.passes.lower_graph.buffers import Buffers
from npucc.passes.lower_graph.group import GroupLowering
from npucc.passes.lower_graph.views import dense
from npucc.schedule.attribute import plan_of
from npucc.schedule.groups import group_problem
from npucc.schedule.problem import Location
from npucc.schedule.storage import SPACE, Storage


@dataclass(frozen=True)
class ConvertGraphToTilePass(ModulePass):
    """Before: a function of groups with schedules, reshapes, concatenations, constants. After: one function on memrefs
    (inputs, then outputs) of `tile.group`s; nothing of the graph dialect is left.
    """

    name = "convert-graph-to-tile"

    target: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = target_of(ctx, self.target)
        for function in [f for f in op.body.ops if isinstance(f, func.FuncOp)]:
            convert_function(function, target, constants_of(ctx))
        op.attributes["npucc.target"] = StringAttr(target.name)


def convert_function(function: func.FuncOp, target: Target, constants: ConstantStore) -> None:
    """Replace a graph function by its tile function."""
    storage = Storage(function)
    results = _results(function)
    outer = [
        dense(tensor_type(v).get_shape(), tensor_type(v).element_type, "dram")
        for v in (*function.body.block.args, *results)
    ]
    block = Block(arg_types=outer)
    inputs = len(function.body.block.args)
    top = Block()
    arguments: dict[SSAValue, SSAValue] = dict(zip(function.body.block.args, block.args[:inputs]))
    buffers = Buffers(storage, Builder(InsertPoint.at_end(top)), arguments, list(block.args[inputs:]))
    groups = [op for op in function.body.block.ops if isinstance(op, graph.GroupOp)]
    lowered = [_lower_group(group, index, storage, buffers, target, constants) for index, group in enumerate(groups)]
    for op in list(top.ops):
        op.detach()
        block.add_op(op)
    block.add_ops([*lowered, func.ReturnOp()])
    made = func.FuncOp(function.sym_name.data, FunctionType.from_lists(outer, []), Region(block))
    made.attributes.update(function.attributes)
    Rewriter.insert_op(made, InsertPoint.before(function))
    function.detach()
    function.erase()


def _results(function: func.FuncOp) -> list[SSAValue]:
    last = function.body.block.last_op
    return list(last.operands) if isinstance(last, func.ReturnOp) else []


def _lower_group(
    group: graph.GroupOp,
    index: int,
    storage: Storage,
    buffers: Buffers,
    target: Target,
    constants: ConstantStore,
) -> tile.GroupOp:
    def locate(value: SSAValue) -> Location:
        owner = storage.root(value).owner
        space = owner.attributes.get(SPACE) if not isinstance(owner, Block) else None
        return "sram" if isinstance(space, StringAttr) and space.data == "sram" else "dram"

    problem = group_problem(group, target, locate, storage.is_constant)
    if group.schedule is None:
        raise ValueError(f"group {index} has no schedule: run graph-schedule first")
    nodes = nodes_of(group)
    plan = plan_of(group.schedule, problem, target, nodes)
    operands = [buffers.of(value) for value in group.operands]
    lowering = GroupLowering(group, problem, plan, operands, buffers.of(group.results[0]), constants, target)
    return tile.GroupOp(next(iter(nodes), f"group{index}"), index, nodes, lowering.emit())
