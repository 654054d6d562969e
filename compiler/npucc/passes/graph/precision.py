"""`graph-precision`: from f32 to f16 or bf16 (or from those to f32), where the numbers allow it."""

from __future__ import annotations

from dataclasses import dataclass

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.target import Target
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from npucc.context import constants_of, target_of
from npucc.dialects.graph import ContractionOp, GroupOp, nodes_of, ops_within
from npucc.passes.graph.functions import functions_of
from npucc.passes.graph.narrowing import Narrowing
from npucc.passes.graph.rewriting import erase_dead
from npucc.passes.graph.widening import widen_function
from npucc.types import element_name, element_of, element_type

NOT_ON_TARGET = error_code(
    "NPU-E0601", ExitCode.DOES_NOT_FIT, "The target's matrix engine does not take an element type of the model"
)
BAD_PRECISION = error_code("NPU-E0602", ExitCode.USAGE, "No such precision, or asked for too late")
PRECISIONS = ("f32", "f16", "bf16")
SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class GraphPrecisionPass(ModulePass):
    """Change the float type of a function of core ops; its signature stays (casts at the borders).

    `dtype`: f16, bf16, f32, or empty for the types the model has. To 16 bits: contractions multiply in `dtype` and
    accumulate in f32, and what is stored between groups has `dtype`; an element-wise epilogue stays in f32 up to
    its end, so that it rounds once. f32 remains where 16 bits are unsafe: squares, powers and exponentials, their
    sums, what is computed from sums and maxima alone (the statistics of a normalisation), integers and what they are
    compared with, constants too small for the type, masks that do not end in a softmax. Other overflows depend on
    the data: the simulator counts them.
    Holds after: the operands of every contraction have types that the target's matrix engine takes (else
    NPU-E0601).
    """

    name = "graph-precision"

    dtype: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.dtype not in ("", *PRECISIONS):
            remedy = f"one of {', '.join(PRECISIONS)}"
            raise NpuError(BAD_PRECISION, "no such precision", found=self.dtype, remedy=remedy)
        constants = constants_of(ctx)
        for function in functions_of(op) if self.dtype else ():
            refuse_groups(function)
            if self.dtype == "f32":
                widen_function(function, constants)
            else:
                Narrowing(function, constants, element_type(self.dtype)).run()
            erase_dead(function.body.block)
        check_matrix_types(op, target_of(ctx))


def refuse_groups(function: func.FuncOp) -> None:
    """NPU-E0602 if `function` is fused already: schedules were chosen for the old types."""
    for op in ops_within(function.body.block):
        if isinstance(op, GroupOp):
            remedy = "run graph-precision before graph-fuse"
            raise NpuError(BAD_PRECISION, "the function is fused already", found=op.name, remedy=remedy)


def check_matrix_types(module: ModuleOp, target: Target) -> None:
    """NPU-E0601 naming the contractions whose operand type has no rate in the target's matrix engine."""
    problems: list[NpuError] = []
    taken = ", ".join(name for name, rate in target.matrix.rates.items() if rate > 0)
    for op in module.walk():
        if not isinstance(op, ContractionOp):
            continue
        for operand in op.operands:
            name = element_name(element_of(operand))
            if target.matrix.rates.get(name, 0) <= 0:
                where = ", ".join(nodes_of(op)) or op.name
                problems.append(NpuError(NOT_ON_TARGET, f"{op.name} of {name}", where=where, found=name))
                break
    if not problems:
        return
    kinds = ", ".join(dict.fromkeys(problem.found for problem in problems))
    raise NpuError(
        NOT_ON_TARGET,
        f"{len(problems)} operators multiply {kinds}; the matrix engine of {target.name} takes {taken}",
        where=problems[0].where,
        found=kinds,
        remedy=_remedy(target),
        problems=problems[1:SHOWN_PROBLEMS],
    )


def _remedy(target: Target) -> str:
    offered = [name for name in PRECISIONS if target.matrix.rates.get(name, 0) > 0]
    options = [f"compile with --precision {name}" for name in offered]
    if not offered:
        options.append("quantise the model to integers")
    return "; or ".join([*options, "choose a target whose [matrix] rates list the type"])
