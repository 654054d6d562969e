"""Runs npu dialect IR: structured loops and registers straight from the operations, not from emitted words.

Values come from the semantics of the simulator; control flow, registers and operands are worked out here a second
time, so that a difference to the emitted program points at the emitter (or at the sequencer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from npuisa.descriptor import Descriptor
from npuisa.errors import NpuError
from npuisa.instructions import SCALAR_REGISTERS, AccMode, AluFn, Engine
from npuisa.program import Program
from npuisa.target import Target
from npusim.memory import Memory
from npusim.semantics import SEMANTICS, Context
from npusim.sequence import StaticInstruction
from npusim.views import OperandBinder
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block

from npucc.constants import ConstantStore
from npucc.dialects.npu import DescOp, InstructionOp, LoopOp, ProgramOp
from npucc.dialects.npu_ops.instruction import field_specs
from npucc.emit import emit_program, program_op
from npucc.passes.npu.faults import TILE_OP
from npucc.types import Array


@dataclass(frozen=True)
class Executed:
    """One executed instruction: byte offsets of its operands' registers by field, and whether it accumulates."""

    op: InstructionOp
    offsets: dict[str, int]
    accumulate: bool


def run_npu(
    module: ModuleOp, inputs: dict[str, Array], constants: ConstantStore, target: Target | None = None
) -> dict[str, Array]:
    """Run the module's program on `inputs` by port name; the outputs by name.

    Semaphores are not looked at: the functional simulator checks them. NpuError as from the simulator.
    """
    program = emit_program(module, constants)
    memory = Memory(program, target or Target.load(program.target))
    memory.reset()
    for port in program.inputs:
        memory.write_input(port, inputs[port.name])
    machine = _Values(program, memory, descriptors_of(program_op(module)))
    with np.errstate(all="ignore"):
        for executed in execute(program_op(module)):
            machine.run(executed)
    return {port.name: memory.port(port).copy() for port in program.outputs}


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
            raise NpuError(TILE_OP, "the IR interpreter does not run this instruction", other, remedy=remedy)
    registers[0] = 0


def _executed(op: InstructionOp, registers: list[int]) -> Executed:
    offsets = {name: registers[operand.reg] for name, _, operand in op.operands_used()}
    mode = op.field("mode") if "mode" in op.properties else AccMode.SET
    accumulate = mode is AccMode.ADD or (mode is AccMode.ADD_IF and registers[op.field("pred") or 0] != 0)
    return Executed(op, offsets, accumulate)


@dataclass
class _Values:
    """Semantics of the simulator, prepared per operation."""

    program: Program
    memory: Memory
    descriptors: dict[str, Descriptor]
    _prepared: dict[InstructionOp, tuple[OperandBinder, Callable[..., None]]] = field(default_factory=dict)
    _context: Context = field(init=False)

    def __post_init__(self) -> None:
        self._context = Context(self.program)

    def run(self, executed: Executed) -> None:
        """Execute one instruction on the memory."""
        if executed.op not in self._prepared:
            static = self._static(executed.op)
            prepared = SEMANTICS[executed.op.ISA](static, self._context)
            binder = OperandBinder(self.program, self.memory, static, prepared.views)
            self._prepared[executed.op] = binder, prepared.run
        binder, run = self._prepared[executed.op]
        names = [name for name, spec in field_specs(executed.op.ISA) if spec.kind == "operand"]
        offsets = tuple(executed.offsets.get(name, 0) for name in names)
        run(executed.accumulate, *binder.arrays(offsets))

    def _static(self, op: InstructionOp) -> StaticInstruction:
        used = {name: operand for name, _, operand in op.operands_used()}
        operands = [(name, spec) for name, spec in field_specs(op.ISA) if spec.kind == "operand"]
        return StaticInstruction(
            len(self._prepared),
            op.ISA(**self._plain_fields(op)),
            op.engine,
            tuple(name for name, _ in operands),
            tuple(self.descriptors[used[name].desc] if name in used else None for name, _ in operands),
            tuple(used[name].reg if name in used else 0 for name, _ in operands),
            tuple(spec.access for _, spec in operands),
        )

    def _plain_fields(self, op: InstructionOp) -> dict[str, Any]:
        """Fields that semantics read from the instruction; operands are in the static instruction."""
        kernels = {kernel.name: number for number, kernel in enumerate(self.program.kernels)}
        fields: dict[str, Any] = {}
        for name, spec in field_specs(op.ISA):
            value = op.field(name)
            if value is not None:
                fields[name] = kernels[value] if spec.kind == "kernel" else value
        return fields
