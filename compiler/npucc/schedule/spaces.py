"""The attribute `space`: which results stay on chip. A word on a group or concatenation, a list on loops, branches."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.ir import Block, OpResult, SSAValue

from npucc.dialects import graph
from npucc.dialects.graph_ops.base import SPACE

_SRAM, _DRAM = StringAttr("sram"), StringAttr("dram")


def is_on_chip(value: SSAValue) -> bool:
    """Whether the op that makes `value` says that it stays in SRAM."""
    if isinstance(value.owner, Block) or not isinstance(value, OpResult):
        return False
    space = value.owner.attributes.get(SPACE)
    if isinstance(space, ArrayAttr):
        return value.index < len(space.data) and space.data[value.index] == _SRAM
    return space == _SRAM


def keep_on_chip(value: SSAValue) -> None:
    """Let the op that makes `value` say that it stays in SRAM."""
    if not isinstance(value, OpResult):
        return
    op = value.op
    if not isinstance(op, graph.ControlOp):
        op.attributes[SPACE] = _SRAM
        return
    present = op.attributes.get(SPACE)
    spaces = list(present.data) if isinstance(present, ArrayAttr) else [_DRAM] * len(op.results)
    spaces[value.index] = _SRAM
    op.attributes[SPACE] = ArrayAttr(spaces)
