"""The outline of a tile program: its function, groups in order, and which groups use a buffer."""

from __future__ import annotations

from dataclasses import dataclass, field

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import func, memref, scf
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.ir import Block, Operation, SSAValue

from npucc.dialects.tile import AcquireOp, AllocOp, BitcastOp, GroupOp, InstructionOp, PoolOp

BAD_OUTLINE = error_code("NPU-E0816", ExitCode.BAD_INPUT, "The module is not a tile program")

_VIEWS = (
    memref.SubviewOp,
    memref.CastOp,
    memref.ReinterpretCastOp,
    memref.ExpandShapeOp,
    memref.CollapseShapeOp,
    BitcastOp,
)


def main_function(module: ModuleOp) -> func.FuncOp:
    """The function @main; NpuError if there is none."""
    for op in module.ops:
        if isinstance(op, func.FuncOp) and op.sym_name.data == "main" and op.body.blocks:
            return op
    raise NpuError(BAD_OUTLINE, "the module has no func.func @main", remedy="give a module at the tile level")


def signature(main: func.FuncOp) -> tuple[list[str], list[str]]:
    """ONNX names of inputs and outputs, from `npucc.inputs` and `npucc.outputs`."""
    return _names(main, "npucc.inputs"), _names(main, "npucc.outputs")


def _names(main: func.FuncOp, key: str) -> list[str]:
    attribute = main.attributes.get(key)
    if not isinstance(attribute, ArrayAttr):
        raise NpuError(
            BAD_OUTLINE,
            f"@main has no attribute {key}",
            remedy='add attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]}',
        )
    return [name.data for name in attribute if isinstance(name, StringAttr)]


CONTROL = (scf.ForOp, scf.WhileOp, scf.IfOp)
"""Ops around groups, at whose borders all engines are idle."""


@dataclass
class Outline:
    """Groups in program order, those in loops and branches included, and the buffers that live across groups."""

    main: func.FuncOp
    groups: list[GroupOp] = field(default_factory=list[GroupOp])
    allocs: list[AllocOp] = field(default_factory=list[AllocOp])
    borders: set[int] = field(default_factory=set[int])
    """Positions of groups before which the region changes: all engines are idle there."""
    control: list[Operation] = field(default_factory=list[Operation])
    """Loops and branches around groups, in program order."""
    spans: dict[Operation, tuple[int, int]] = field(default_factory=dict[Operation, tuple[int, int]])
    """Positions [first, end) of the groups in each loop, branch and group."""

    def regions(self) -> list[tuple[Operation, int, int]]:
        """Every region with groups: its loop or branch, and the positions [first, end) of its groups."""
        found: list[tuple[Operation, int, int]] = []
        for op in self.control:
            first = self.spans[op][0]
            for region in op.regions:
                end = first + sum(isinstance(inner, GroupOp) for inner in region.walk())
                if end > first:
                    found.append((op, first, end))
                first = end
        return found


def outline(module: ModuleOp) -> Outline:
    """Groups and function-level buffers of @main; NpuError for instructions outside of groups."""
    found = Outline(main_function(module))
    _read(found.main.body.block, found)
    return found


def _read(block: Block, found: Outline) -> None:
    for op in block.ops:
        first = len(found.groups)
        if isinstance(op, GroupOp):
            found.groups.append(op)
        elif isinstance(op, AllocOp):
            found.allocs.append(op)
        elif isinstance(op, CONTROL):
            found.control.append(op)
            for region in op.regions:
                found.borders.add(len(found.groups))
                _read(region.block, found)
            found.borders.add(len(found.groups))
        elif isinstance(op, InstructionOp) or op.regions:
            raise NpuError(
                BAD_OUTLINE,
                "instructions stand inside a tile.group",
                where="func.func @main",
                found=op.name,
                remedy="move it into a group",
            )
        found.spans[op] = (first, len(found.groups))


def users(value: SSAValue) -> list[Operation]:
    """Operations that use `value` or a view of it, views themselves left out."""
    found: list[Operation] = []
    for use in value.uses:
        if isinstance(use.operation, _VIEWS):
            found += users(use.operation.results[0])
        else:
            found.append(use.operation)
    return found


def enclosing_group(op: Operation) -> GroupOp | None:
    """The group that `op` stands in."""
    current: Operation | None = op
    while current is not None and not isinstance(current, GroupOp):
        current = current.parent_op()
    return current


def acquires_of(pool: PoolOp) -> list[AcquireOp]:
    """The acquires of a pool, in no particular order."""
    return [use.operation for use in pool.result.uses if isinstance(use.operation, AcquireOp)]
