"""Control flow of npu dialect IR: structured loops and registers straight from the operations.

Independent of the emitted words, so that a difference to the emitted program points at the emitter or at the
sequencer. `npucc.npu_values` adds the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from npuisa.descriptor import Descriptor
from npuisa.errors import NpuError
from npuisa.instructions import SCALAR_REGISTERS, AccMode, AluFn, BranchFn, Engine
from xdsl.ir import Block

from npucc.dialects.npu import DescOp, InstructionOp, LabelOp, LoopOp, ProgramOp
from npucc.passes.npu.faults import NOT_INTERPRETED

_ALU: dict[AluFn, Callable[[int, int], int]] = {
    AluFn.ADD: lambda a, b: a + b,
    AluFn.SUB: lambda a, b: a - b,
    AluFn.REM: lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1),
}


@dataclass(frozen=True)
class Executed:
    """One executed instruction: byte offsets of its operands' registers by field, and whether it accumulates."""

    op: InstructionOp
    offsets: dict[str, int]
    accumulate: bool


def descriptors_of(program: ProgramOp) -> dict[str, Descriptor]:
    """The declared descriptors by symbol."""
    return {op.sym_name.data: op.value for op in program.body.block.ops if isinstance(op, DescOp)}


def execute(program: ProgramOp) -> Iterator[Executed]:
    """Every instruction that an engine executes, in program order.

    NpuError for a branch out of its block and for scalar functions that the compiler does not use.
    """
    yield from _execute_block(program.body.block, [0] * SCALAR_REGISTERS)


def _execute_block(block: Block, registers: list[int]) -> Iterator[Executed]:
    ops = list(block.ops)
    labels = {op.sym_name.data: place for place, op in enumerate(ops) if isinstance(op, LabelOp)}
    place = 0
    while place < len(ops):
        op = ops[place]
        place += 1
        if isinstance(op, LoopOp):
            yield from _execute_loop(op, registers)
        elif isinstance(op, InstructionOp) and op.ISA.mnemonic == "s.br":
            place = _branch(op, labels, registers, place)
        elif isinstance(op, InstructionOp):
            if op.engine is Engine.SEQ:
                _execute_scalar(op, registers)
            else:
                yield _executed(op, registers)


def _branch(op: InstructionOp, labels: dict[str, int], registers: list[int], otherwise: int) -> int:
    """Where execution goes on in the same block."""
    a, b = registers[op.field("ra") or 0], registers[op.field("rb") or 0]
    taken = {
        BranchFn.ALWAYS: True,
        BranchFn.EQ: a == b,
        BranchFn.NE: a != b,
        BranchFn.LT: a < b,
        BranchFn.GE: a >= b,
    }[op.field("fn")]
    if not taken:
        return otherwise
    if op.field("to") not in labels:
        remedy = "run the emitted program on the functional simulator"
        raise NpuError(NOT_INTERPRETED, "a branch that leaves its block", "npu.s.br", f"@{op.field('to')}", remedy)
    return labels[op.field("to")]


def _execute_loop(loop: LoopOp, registers: list[int]) -> Iterator[Executed]:
    entry = list(registers)
    for _ in range(loop.count.data):
        yield from _execute_block(loop.body.block, registers)
        for step in loop.step.data:
            moved = registers[step.reg] + step.step
            registers[step.reg] = moved % step.modulus if step.modulus else moved
    for step in loop.step.data:
        if not step.modulus and loop.count.data:
            registers[step.reg] = entry[step.reg]


def _execute_scalar(op: InstructionOp, registers: list[int]) -> None:
    match op.ISA.mnemonic:
        case "s.li":
            registers[op.field("rd")] = op.field("value")
        case "s.alu" if op.field("fn") in _ALU:
            second = registers[op.field("rb") or 0] + (op.field("value") or 0)
            registers[op.field("rd")] = _ALU[op.field("fn")](registers[op.field("ra")], second)
        case "s.fence" | "s.halt":
            pass
        case other:
            remedy = "run the emitted program on the functional simulator"
            raise NpuError(NOT_INTERPRETED, "the IR interpreter does not run this instruction", other, remedy=remedy)
    registers[0] = 0


def _executed(op: InstructionOp, registers: list[int]) -> Executed:
    offsets = {name: registers[operand.reg] for name, _, operand in op.operands_used()}
    mode = op.field("mode") if "mode" in op.properties else AccMode.SET
    accumulate = mode is AccMode.ADD or (mode is AccMode.ADD_IF and registers[op.field("pred") or 0] != 0)
    return Executed(op, offsets, accumulate)
