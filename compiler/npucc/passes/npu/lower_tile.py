"""Pass `convert-tile-to-npu`: a planned and synchronised tile module to one `npu.program`."""

from __future__ import annotations

from dataclasses import dataclass

from npuisa.errors import NpuError
from npuisa.target import Target
from npuisa.validate import MAX_SEMAPHORE_VALUE
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp
from xdsl.passes import ModulePass

from npucc.context import target_of
from npucc.dialects.npu import ProgramOp, instruction_ops
from npucc.passes.npu.descriptors import Names
from npucc.passes.npu.faults import TABLE_FULL
from npucc.passes.npu.layout import lay_out, main_function
from npucc.passes.npu.lower_control import ControlLowering
from npucc.passes.npu.program_tables import ProgramTables


@dataclass(frozen=True)
class ConvertTileToNpuPass(ModulePass):
    """Before: `func.func @main` in the tile dialect, every buffer with an address, semaphores inserted.

    After: one `npu.program` whose instructions compute the same; the function and the module's semaphore table
    are gone. Raises NpuError where a machine limit is exceeded, with all findings.
    """

    name = "convert-tile-to-npu"
    target: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """See the class."""
        function = main_function(op)
        program = lower_function(op, target_of(ctx, self.target))
        op.body.block.insert_op_before(program, function)
        function.detach()
        function.erase()
        op.attributes.pop("npucc.semaphores", None)


def lower_function(module: ModuleOp, target: Target) -> ProgramOp:
    """The program for `@main` of a tile module, which is not changed."""
    function = main_function(module)
    names = Names()
    semaphores = _semaphores(module)
    names.taken.update(semaphores)
    layout = lay_out(function, names, target)
    tables = ProgramTables(layout, names)
    ControlLowering(tables).lower(function.body.block)
    tables.code.append(instruction_ops()["s.halt"].make())
    return ProgramOp(target.name, tables.declarations(semaphores) + tables.code)


def _semaphores(module: ModuleOp) -> dict[str, int]:
    table = module.attributes.get("npucc.semaphores")
    if not isinstance(table, DictionaryAttr):
        return {}
    initial = {name: value.value.data for name, value in table.data.items() if isinstance(value, IntegerAttr)}
    for name, value in initial.items():
        if value > MAX_SEMAPHORE_VALUE:
            message = f"a semaphore holds at most {MAX_SEMAPHORE_VALUE} credits"
            raise NpuError(TABLE_FULL, message, f"semaphore {name}", str(value), "use fewer buffers in the schedule")
    return initial

