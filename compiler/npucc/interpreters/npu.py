"""Control flow of npu dialect IR: structured loops and registers straight from the operations.

Independent of the emitted words, so that a difference to the emitted program points at the emitter or at the
sequencer. `npucc.npu_values` adds the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from npuisa.descriptor import Descriptor
from npuisa.errors import NpuError
from npuisa.instructions import SCALAR_REGISTERS, AccMode, AluFn, BranchFn, DescField, Engine
from xdsl.ir import Block

from npucc.dialects.npu import DescOp, InstructionOp, LabelOp, LoopOp, ProgramOp
from npucc.passes.npu.faults import NOT_INTERPRETED


def _truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_ALU: dict[AluFn, Callable[[int, int], int]] = {
    AluFn.ADD: lambda a, b: a + b,
    AluFn.SUB: lambda a, b: a - b,
    AluFn.MUL: lambda a, b: a * b,
    AluFn.DIV: _truncated,
    AluFn.REM: lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1),
    AluFn.MIN: min,
    AluFn.MAX: max,
    AluFn.AND: lambda a, b: a & b,
    AluFn.OR: lambda a, b: a | b,
    AluFn.XOR: lambda a, b: a ^ b,
    AluFn.SHL: lambda a, b: a << b % 64,
    AluFn.SHR: lambda a, b: a >> b % 64,
    AluFn.SLT: lambda a, b: int(a < b),
    AluFn.SEQ: lambda a, b: int(a == b),
}

_BRANCHES: dict[BranchFn, Callable[[int, int], bool]] = {
    BranchFn.ALWAYS: lambda a, b: True,
    BranchFn.EQ: lambda a, b: a == b,
    BranchFn.NE: lambda a, b: a != b,
    BranchFn.LT: lambda a, b: a < b,
    BranchFn.GE: lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Executed:
    """One executed instruction, by operand field: byte offset of its register and its descriptor as of now.

    `accumulate`: whether the destination's old value takes part.
    """

    op: InstructionOp
    offsets: dict[str, int]
    descriptors: dict[str, Descriptor]
    accumulate: bool


class ElementAccess(Protocol):
    """Memory as the sequencer sees it: the only element of the only operand of `s.ld` and `s.st`."""

    def load(self, access: Executed) -> int:
        """The element's value as a register holds it."""
        ...

    def store(self, access: Executed, value: int) -> None:
        """Write a register's value."""
        ...


def descriptors_of(program: ProgramOp) -> dict[str, Descriptor]:
    """The declared descriptors by symbol."""
    return {op.sym_name.data: op.value for op in program.body.block.ops if isinstance(op, DescOp)}


def execute(program: ProgramOp, memory: ElementAccess | None = None) -> Iterator[Executed]:
    """Every instruction that an engine executes, in program order.

    NpuError for a branch out of its block and, without `memory`, for loads.
    """
    yield from _Sequencer(descriptors_of(program), memory).block(program.body.block)


@dataclass
class _Sequencer:
    """Registers and descriptors at one point of the execution."""

    descriptors: dict[str, Descriptor]
    memory: ElementAccess | None
    registers: list[int] = field(default_factory=lambda: [0] * SCALAR_REGISTERS)

    def block(self, block: Block) -> Iterator[Executed]:
        """Everything that a block executes."""
        ops = list(block.ops)
        labels = {op.sym_name.data: place for place, op in enumerate(ops) if isinstance(op, LabelOp)}
        place = 0
        while place < len(ops):
            op = ops[place]
            place += 1
            if isinstance(op, LoopOp):
                yield from self._loop(op)
            elif not isinstance(op, InstructionOp):
                continue
            elif op.ISA.mnemonic == "s.br":
                place = self._branch(op, labels, place)
            elif op.engine is Engine.SEQ:
                self._scalar(op)
            else:
                yield self._executed(op)

    def _branch(self, op: InstructionOp, labels: dict[str, int], otherwise: int) -> int:
        """Where execution goes on in the same block."""
        a, b = self.registers[op.field("ra") or 0], self.registers[op.field("rb") or 0]
        if not _BRANCHES[op.field("fn")](a, b):
            return otherwise
        if op.field("to") not in labels:
            remedy = "run the emitted program on the functional simulator"
            raise NpuError(NOT_INTERPRETED, "a branch that leaves its block", "npu.s.br", f"@{op.field('to')}", remedy)
        return labels[op.field("to")]

    def _loop(self, loop: LoopOp) -> Iterator[Executed]:
        entry, registers = list(self.registers), self.registers
        for _ in range(loop.count.data):
            yield from self.block(loop.body.block)
            for step in loop.step.data:
                moved = registers[step.reg] + step.step
                registers[step.reg] = moved % step.modulus if step.modulus else _wrapped(moved)
        for step in loop.step.data:
            if not step.modulus and loop.count.data:
                registers[step.reg] = entry[step.reg]

    def _scalar(self, op: InstructionOp) -> None:
        registers = self.registers
        match op.ISA.mnemonic:
            case "s.li":
                registers[op.field("rd")] = op.field("value")
            case "s.alu":
                second = _wrapped(registers[op.field("rb") or 0] + (op.field("value") or 0))
                registers[op.field("rd")] = _wrapped(_ALU[op.field("fn")](registers[op.field("ra")], second))
            case "s.ld":
                registers[op.field("rd")] = _wrapped(self._memory(op).load(self._executed(op)))
            case "s.st":
                self._memory(op).store(self._executed(op), registers[op.field("ra")])
            case "d.set":
                self._set(op, registers[op.field("ra")])
            case "d.get":
                registers[op.field("rd")] = self._get(op)
            case "s.fence" | "s.halt" | "sem.init":
                pass
            case other:
                remedy = "run the emitted program on the functional simulator"
                raise NpuError(NOT_INTERPRETED, "the IR interpreter does not run this", other, remedy=remedy)
        registers[0] = 0

    def _memory(self, op: InstructionOp) -> ElementAccess:
        if self.memory is None:
            message = "what the sequencer loads or stores needs a memory"
            raise NpuError(NOT_INTERPRETED, message, op.name, "none", "run it on data")
        return self.memory

    def _set(self, op: InstructionOp, value: int) -> None:
        view, axis = self.descriptors[op.field("desc")], op.field("axis") or 0
        match op.field("part"):
            case DescField.BASE:
                view = replace(view, base=value)
            case DescField.DIM:
                view = replace(view, dims=(*view.dims[:axis], value, *view.dims[axis + 1 :]))
            case _:
                view = replace(view, strides=(*view.strides[:axis], value, *view.strides[axis + 1 :]))
        self.descriptors[op.field("desc")] = view

    def _get(self, op: InstructionOp) -> int:
        view, axis = self.descriptors[op.field("desc")], op.field("axis") or 0
        match op.field("part"):
            case DescField.BASE:
                return view.base
            case DescField.DIM:
                return view.dims[axis]
            case _:
                return view.strides[axis]

    def _executed(self, op: InstructionOp) -> Executed:
        registers, used = self.registers, op.operands_used()
        mode = op.field("mode") if "mode" in op.properties else AccMode.SET
        accumulate = mode is AccMode.ADD or (mode is AccMode.ADD_IF and registers[op.field("pred") or 0] != 0)
        return Executed(
            op,
            {name: registers[operand.reg] for name, _, operand in used},
            {name: self.descriptors[operand.desc] for name, _, operand in used},
            accumulate,
        )


def _wrapped(value: int) -> int:
    """As a 64-bit two's-complement scalar."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
