"""Control flow of npu dialect IR: structured loops and registers straight from the operations.

Independent of the emitted words, so that a difference to the emitted program points at the emitter or at the
sequencer. `npucc.npu_values` adds the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from npuisa.descriptor import Descriptor
from npuisa.errors import NpuError
from npuisa.instructions import SCALAR_REGISTERS, AccMode, AluFn, Engine
from xdsl.ir import Block

from npucc.dialects.npu import DescOp, InstructionOp, LoopOp, ProgramOp
from npucc.passes.npu.faults import NOT_INTERPRETED


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

    NpuError for `npu.s.br`: a program with branches is run by the simulator only.
    """
    yield from _execute_block(program.body.block, [0] * SCALAR_REGISTERS)


def _execute_block(block: Block, registers: list[int]) -> Iterator[Executed]:
    for op in block.ops:
        if isinstance(op, LoopOp):
            yield from _execute_loop(op, registers)
        elif isinstance(op, InstructionOp):
            if op.engine is Engine.SEQ:
                _execute_scalar(op, registers)
            else:
                yield _executed(op, registers)


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
        case "s.alu" if op.field("fn") is AluFn.ADD:
            second = registers[op.field("rb") or 0] + (op.field("value") or 0)
            registers[op.field("rd")] = registers[op.field("ra")] + second
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
