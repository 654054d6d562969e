"""`convert-graph-to-tile`: tensors become buffers, groups become loops over tiles."""

from __future__ import annotations

from dataclasses import dataclass

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.target import Target
from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, ModuleOp, StringAttr
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import PassFailedException

from npucc.constants import MISSING, ConstantStore
from npucc.context import NpuContext, constants_of, target_of
from npucc.dialects import graph, tile
from npucc.dialects.graph_ops.base import SPACE, nodes_of, tensor_type
from npucc.passes.graph.functions import only_function
from npucc.passes.graph.fuse import OUTSIDE
from npucc.passes.graph.insert_copies import storage_owner, writable_in_place
from npucc.passes.lower_graph.buffers import Buffers, Place
from npucc.passes.lower_graph.control import lower_branch, lower_loop
from npucc.passes.lower_graph.group import GroupLowering
from npucc.passes.lower_graph.views import dense
from npucc.schedule.attribute import plan_of
from npucc.schedule.groups import group_problem
from npucc.schedule.in_place import initial_in_place, yielded_in_place
from npucc.schedule.problem import Location
from npucc.schedule.spaces import is_on_chip
from npucc.schedule.storage import Storage

NOT_LOWERABLE = error_code("NPU-E0703", ExitCode.BAD_INPUT, "A graph is lowered before its passes have run")


@dataclass(frozen=True)
class ConvertGraphToTilePass(ModulePass):
    """Before: a function of groups with schedules, reshapes, concatenations, constants. After: one function on memrefs
    (inputs, then outputs) of `tile.group`s; nothing of the graph dialect is left.
    """

    name = "convert-graph-to-tile"

    target: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = target_of(ctx, self.target)
        function = only_function(op)
        _require_immediates(op, ctx)
        convert_function(function, target, constants_of(ctx))
        op.attributes["npucc.target"] = StringAttr(target.name)


def _require_immediates(module: ModuleOp, ctx: Context) -> None:
    """Constants in groups become immediates, so their values must be at hand: NPU-E0804 naming those that are not.

    Stock `xdsl-opt` has no values at all, and expects a PassFailedException.
    """
    groups = [op for op in module.walk() if isinstance(op, graph.GroupOp)]
    needed = [(op, group) for group in groups for op in group.block.ops if isinstance(op, graph.ConstantOp)]
    missing = [(op, group) for op, group in needed if op.symbol_name not in constants_of(ctx)]
    if missing and not isinstance(ctx, NpuContext):
        names = ", ".join(f"@{op.symbol_name}" for op, _ in missing)
        raise PassFailedException(f"no values for the constants {names}: {_NO_VALUES}")
    problems = [
        NpuError(MISSING, "the constant has no value", ", ".join(nodes_of(group)), f"@{op.symbol_name}", _NO_VALUES)
        for op, group in missing
    ]
    if problems:
        raise NpuError(MISSING, "constants in groups have no values", problems=problems)


_NO_VALUES = "put the .safetensors file that was written with the IR text beside it, and use npucc (compile, opt)"


def require_lowerable(function: func.FuncOp) -> None:
    """NPU-E0703, naming every op that the passes before have not put into its form."""
    problems = unready(function)
    if problems:
        raise NpuError(NOT_LOWERABLE, "the graph is not ready for convert-graph-to-tile", problems=problems)


def unready(function: func.FuncOp) -> list[NpuError]:
    """A problem for every op that the graph passes have not put into its form."""
    problems: list[NpuError] = []
    returned: set[SSAValue] = set()
    storage = Storage(function)
    for op in graph.ops_within(function.body.block):
        where = ", ".join(nodes_of(op)) or op.name
        if not isinstance(op, OUTSIDE):
            problems.append(_not_ready("the op stands outside a group", where, op.name, "run graph-fuse"))
        if isinstance(op, graph.GroupOp) and op.schedule is None:
            problems.append(_not_ready("the group has no schedule", where, op.name, "run graph-schedule"))
        if SPACE in op.attributes and not all(_may_be_resident(value, storage) for value in op.results):
            found = f"{SPACE} = {op.attributes[SPACE]}"
            problems.append(_not_ready("the result's memory is not its own or a result's", where, found, _RESIDENT))
        if isinstance(op, graph.ConcatOp) and not all(writable_in_place(value, op) for value in op.operands):
            problems.append(_not_ready("an operand cannot be written in place", where, op.name, _COPIES))
        if isinstance(op, graph.ConcatOp) and len(set(op.operands)) < len(op.operands):
            problems.append(_not_ready("an operand is given twice", where, op.name, _COPIES))
        if not _is_in_place(op):
            message = "a value of a loop or branch cannot be written in place"
            problems.append(_not_ready(message, where, op.name, _COPIES))
        for value in op.operands if isinstance(op, func.ReturnOp) else ():
            owner = storage_owner(value)
            if owner is None or owner in returned:
                problems.append(_not_ready("a result has no buffer of its own", where, str(value.type), _COPIES))
            else:
                returned.add(owner)
    return problems


_COPIES = "run graph-insert-copies"
_RESIDENT = f"remove the attribute {SPACE}: only tensors between groups stay on chip"


def _may_be_resident(value: SSAValue, storage: Storage) -> bool:
    """Whether a result owns its memory, and the memory is not the host's; or stays in DRAM."""
    return not is_on_chip(value) or (storage.root(value) is value and not storage.is_interface(value))


def _is_in_place(op: Operation) -> bool:
    """Whether the initial values of a loop, or what a region ends with, are written where they belong."""
    if isinstance(op, graph.LoopOp):
        return all(initial_in_place(op, index) for index in range(len(op.carried)))
    control = op.parent_op()
    if not isinstance(op, graph.YieldOp) or not isinstance(control, graph.ControlOp):
        return True
    return all(yielded_in_place(control, op, index) for index in range(len(op.operands)))


def _not_ready(message: str, where: str, found: str, remedy: str) -> NpuError:
    return NpuError(NOT_LOWERABLE, message, where=where, found=found, remedy=remedy)


def convert_function(function: func.FuncOp, target: Target, constants: ConstantStore) -> None:
    """Replace a graph function by its tile function."""
    require_lowerable(function)
    storage = Storage(function)
    results = _results(function)
    outer = [
        dense(tensor_type(v).get_shape(), tensor_type(v).element_type, "dram")
        for v in (*function.body.block.args, *results)
    ]
    block = Block(arg_types=outer)
    inputs = len(function.body.block.args)
    top, code = Block(), Block()
    arguments: dict[SSAValue, SSAValue] = dict(zip(function.body.block.args, block.args[:inputs]))
    buffers = Buffers(storage, arguments, list(block.args[inputs:]))
    place = buffers.places[function.body.block] = Place.at(Builder(InsertPoint.at_end(top)))
    lowering = _Lowering(storage, buffers, target, constants)
    lowering.block(function.body.block, place, Builder(InsertPoint.at_end(code)))
    for op in [*top.ops, *code.ops]:
        op.detach()
        block.add_op(op)
    block.add_op(func.ReturnOp())
    made = func.FuncOp(function.sym_name.data, FunctionType.from_lists(outer, []), Region(block))
    made.attributes.update(function.attributes)
    Rewriter.insert_op(made, InsertPoint.before(function))
    function.detach()
    function.erase()


def _results(function: func.FuncOp) -> list[SSAValue]:
    last = function.body.block.last_op
    return list(last.operands) if isinstance(last, func.ReturnOp) else []


@dataclass
class _Lowering:
    """The walk through the blocks; groups are numbered in program order."""

    storage: Storage
    buffers: Buffers
    target: Target
    constants: ConstantStore
    count: int = 0

    def block(self, source: Block, place: Place, builder: Builder) -> None:
        """Code for the ops of a graph block."""
        for op in source.ops:
            if isinstance(op, graph.GroupOp):
                builder.insert(self._group(op))
            elif isinstance(op, graph.LoopOp):
                lower_loop(op, self.buffers, builder, self.block)
            elif isinstance(op, graph.IfOp):
                lower_branch(op, self.buffers, builder, self.block)

    def _locate(self, value: SSAValue) -> Location:
        return "sram" if is_on_chip(self.storage.root(value)) else "dram"

    def _group(self, group: graph.GroupOp) -> tile.GroupOp:
        index, self.count = self.count, self.count + 1
        problem = group_problem(group, self.target, self._locate, self.storage.is_constant)
        nodes = nodes_of(group)
        schedule = group.schedule or graph.ScheduleAttr.make([], {}, {})
        plan = plan_of(schedule, problem, self.target, nodes)
        operands = [self.buffers.of(value) for value in group.operands]
        result = self.buffers.of(group.results[0])
        lowering = GroupLowering(group, problem, plan, operands, result, self.constants, self.target)
        return tile.GroupOp(next(iter(nodes), f"group{index}"), index, nodes, lowering.emit())
