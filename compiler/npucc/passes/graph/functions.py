"""What every pass on the graph dialect requires of the functions it works on."""

from __future__ import annotations

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Attribute

from npucc.dialects.graph import ControlOp, GraphOp, GroupOp, YieldOp, ops_within
from npucc.types import is_element

BAD_FUNCTION = error_code("NPU-E0803", ExitCode.BAD_INPUT, "A function is not one of the graph dialect")


def functions_of(module: ModuleOp) -> list[func.FuncOp]:
    """The functions with a body; NPU-E0803, naming everything in them that no pass could work on.

    A graph function has one block of graph ops, some with regions; its arguments and results are tensors of
    static shape and of the machine's element types.
    """
    functions = [op for op in module.body.block.ops if isinstance(op, func.FuncOp) and op.body.blocks]
    problems = [problem for function in functions for problem in _problems(function)]
    if problems:
        raise NpuError(BAD_FUNCTION, "the module holds what is no graph function", problems=problems)
    return functions


def only_function(module: ModuleOp) -> func.FuncOp:
    """The one function that becomes a program; NPU-E0803 when there is another op, or none, at the top."""
    found = list(module.body.block.ops)
    functions = functions_of(module)
    if len(functions) != 1 or len(found) != 1:
        names = [f"@{op.sym_name.data}" if isinstance(op, func.FuncOp) else op.name for op in found]
        raise NpuError(
            BAD_FUNCTION, "a module at the graph level must hold one function with a body, and nothing else",
            found=", ".join(names) or "nothing", remedy="leave only @main",
        )  # fmt: skip
    return functions[0]


def _problems(function: func.FuncOp) -> list[NpuError]:
    where = f"func.func @{function.sym_name.data}"
    if len(function.body.blocks) != 1:
        found = f"{len(function.body.blocks)} blocks"
        return [_problem("the body must be one block", where, found, "use graph.loop and graph.if for control flow")]
    found = [*function.function_type.inputs, *function.function_type.outputs]
    problems = [_problem("not a tensor of the machine", where, str(t), _TYPES) for t in found if not _is_tensor(t)]
    for op in ops_within(function.body.block):
        if not isinstance(op, GraphOp | GroupOp | ControlOp | YieldOp | func.ReturnOp):
            problems.append(_problem("not an op of the graph dialect", where, op.name, "leave it out"))
    return problems


_TYPES = "use tensors of static shape; docs/reference/dialects.md lists the element types"


def _is_tensor(type_: Attribute) -> bool:
    return isinstance(type_, TensorType) and type_.has_static_shape() and is_element(type_.element_type)


def _problem(message: str, where: str, found: str, remedy: str) -> NpuError:
    return NpuError(BAD_FUNCTION, message, where=where, found=found, remedy=remedy)
