"""What is known of an instruction before it runs, and the check of a whole program that it can run."""

from __future__ import annotations

from dataclasses import dataclass

from npuisa.descriptor import Descriptor
from npuisa.errors import NpuError
from npuisa.instructions import NO_OPERAND, Engine, Instruction, Operand, SLoop
from npuisa.operand_rules import BAD_OPERANDS, check_operands
from npuisa.program import Program

from npusim.faults import CONTROL_FLOW, place


@dataclass(frozen=True, slots=True)
class StaticInstruction:
    """What is known of an instruction before it runs.

    Operands are listed in the order of the class's fields: `fields` (names), `descriptors` (None: an optional
    source that is absent), `registers` (r0 where none is added), `access` ('r', 'w' or 'rw').
    """

    index: int
    instruction: Instruction
    engine: Engine
    fields: tuple[str, ...]
    descriptors: tuple[Descriptor | None, ...]
    registers: tuple[int, ...]
    access: tuple[str, ...]

    @property
    def waits(self) -> tuple[int, ...]:
        """Semaphores the instruction waits for."""
        return self.instruction.waits

    @property
    def posts(self) -> tuple[int, ...]:
        """Semaphores the instruction increments when it is done."""
        return self.instruction.posts


def decode(program: Program) -> list[StaticInstruction]:
    """Resolve operands, check every index and what the operands are; NpuError names all that break a rule."""
    problems: list[NpuError] = []
    decoded = [_decode_one(program, index, problems) for index in range(len(program.instructions))]
    if problems:
        raise NpuError(CONTROL_FLOW, "the program points outside its own tables", problems=problems)
    _check_operands(program)
    return decoded


def _check_operands(program: Program) -> None:
    problems: list[NpuError] = []
    for index, instruction in enumerate(program.instructions):
        try:
            check_operands(instruction, program.descriptors, program.kernels)
        except NpuError as error:
            error.where = place(program, index)
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise NpuError(BAD_OPERANDS, f"{len(problems)} instructions break their rules", problems=problems)


def _decode_one(program: Program, index: int, problems: list[NpuError]) -> StaticInstruction:
    instruction = program.instructions[index]
    names: list[str] = []
    descriptors: list[Descriptor | None] = []
    registers: list[int] = []
    access: list[str] = []
    size = len(program.instructions)
    tables = {
        "kernel": len(program.kernels),
        "loop": len(program.loops),
        "target": size + 1,
        "descriptor": len(program.descriptors),
        "semaphore": len(program.semaphores),
    }
    for name, spec in type(instruction).fields():
        value = getattr(instruction, name)
        if spec.kind == "operand":
            names.append(name)
            descriptors.append(_descriptor(program, index, name, value, problems))
            registers.append(value.reg)
            access.append(spec.access)
        elif spec.kind in tables and not 0 <= value < tables[spec.kind]:
            problems.append(_outside(program, index, name, value, tables[spec.kind]))
    if isinstance(instruction, SLoop) and instruction.end <= index:
        problems.append(_outside(program, index, "end", instruction.end, size + 1))
    operands = tuple(names), tuple(descriptors), tuple(registers), tuple(access)
    return StaticInstruction(index, instruction, instruction.engine, *operands)


def _descriptor(
    program: Program, index: int, name: str, operand: Operand, problems: list[NpuError]
) -> Descriptor | None:
    if operand == NO_OPERAND:
        return None
    if not 0 <= operand.desc < len(program.descriptors):
        problems.append(_outside(program, index, f"{name}.desc", operand.desc, len(program.descriptors)))
        return None
    return program.descriptors[operand.desc]


def _outside(program: Program, index: int, field: str, value: int, size: int) -> NpuError:
    legal = f"{index + 1} to {size - 1}" if field == "end" else f"0 to {size - 1}"
    message = f"field {field} is out of range"
    return NpuError(CONTROL_FLOW, message, place(program, index), str(value), f"legal: {legal}")
