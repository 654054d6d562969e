"""The sequencer: static decoding of a program and the stream of instructions it issues in program order.

One stream serves the functional simulator, the cycle model and the hazard checker. Everything that does not
change from issue to issue is decoded once into `StaticInstruction`s; an issue carries only byte offsets.

Rules that the instruction table leaves open and that hold here:

- register r0 reads as 0 and ignores writes; scalars wrap to 64 bits; `SHL` / `SHR` take the shift modulo 64
  and `SHR` keeps the sign; `DIV` truncates toward zero, `REM` has the dividend's sign, dividing by 0 traps;
- loops that end at the same instruction close from the inside out;
- a branch to the `end` of the innermost loop is its `continue`; a branch outside a loop's body leaves that
  loop and its registers keep the values they have;
- running past the last instruction halts as `s.halt` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from npuisa.descriptor import Descriptor
from npuisa.errors import NpuError
from npuisa.instructions import (
    LOOP_DEPTH,
    NO_OPERAND,
    AccMode,
    AluFn,
    BranchFn,
    Engine,
    Instruction,
    Operand,
    SAlu,
    SBr,
    SHalt,
    SLi,
    SLoop,
)
from npuisa.operand_rules import BAD_OPERANDS, check_operands
from npuisa.program import Increment, Program

from npusim.faults import CONTROL_FLOW, SCALAR_TRAP, STEP_LIMIT, place

DEFAULT_STEP_LIMIT = 1_000_000_000
"""Instructions that a program may execute before it counts as endless."""

_MIN, _MAX, _WRAP = -(1 << 63), (1 << 63) - 1, 1 << 64


class Issued(NamedTuple):
    """One executed instruction.

    `pc` is its place in the program (and in the list of `decode`); `offsets[i]` the bytes that its
    register adds to the base of operand i; `accumulate` whether the old value of the destination takes part
    (`ADD`, or `ADD_IF` with a register that is not 0). For `s.br` it says whether the branch is taken.
    """

    pc: int
    offsets: tuple[int, ...]
    accumulate: bool


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
    tables = {"kernel": len(program.kernels), "loop": len(program.loops), "target": size + 1}
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


def dynamic_stream(
    program: Program, statics: list[StaticInstruction] | None = None, *, step_limit: int = DEFAULT_STEP_LIMIT
) -> Iterator[Issued]:
    """Every instruction executed, in program order, sequencer instructions included (with empty offsets).

    `statics` is the result of `decode(program)`; it is computed when absent. Raises NpuError when more than
    `step_limit` instructions execute, a loop nests deeper than the machine allows or the scalar unit traps.
    """
    statics = decode(program) if statics is None else statics
    code = [_action(static) for static in statics]
    registers = [0] * 32
    scalar = _Scalar(program, registers)
    loops: list[_ActiveLoop] = []
    end = -1
    pc, steps, last = 0, 0, len(code)
    while pc < last:
        steps += 1
        if steps > step_limit:
            remedy = "a branch may never fall through; raise the step limit if it is meant to run this long"
            raise NpuError(STEP_LIMIT, "too many instructions", place(program, pc), f"> {step_limit}", remedy)
        kind, payload, always, predicate = code[pc]
        if kind == _CONSTANT:
            yield payload
            pc += 1
        elif kind == _QUEUED:
            accumulate = registers[predicate] != 0 if predicate else always
            yield _new(Issued, (pc, payload(registers), accumulate))
            pc += 1
        elif kind == _LOOP:
            yield Issued(pc, (), False)
            pc = _enter(program, pc, payload, registers, loops)
            end = loops[-1].end if loops else -1
        elif kind == _BRANCH:
            taken = scalar.holds(payload)
            yield Issued(pc, (), taken)
            pc = payload.to if taken else pc + 1
            end = _leave(pc, loops)
        else:
            yield Issued(pc, (), False)
            if kind == _HALT:
                return
            scalar.execute(pc, payload)
            pc += 1
        while pc == end:
            if loops[-1].next_iteration(registers):
                pc = loops[-1].start
            else:
                loops.pop()
                end = loops[-1].end if loops else -1


_new = tuple.__new__
"""Makes an `Issued` at half the time that its constructor takes."""

_CONSTANT, _QUEUED, _LOOP, _BRANCH, _HALT, _SCALAR = range(6)


def _action(static: StaticInstruction) -> tuple[int, Any, bool, int]:
    """Kind of step, what it needs and, for queued instructions, `accumulate` or the register that decides it.

    A step whose record never changes is a ready-made record. `ADD_IF` on r0 never adds: r0 reads as 0.
    """
    instruction = static.instruction
    if static.engine is not Engine.SEQ:
        mode = getattr(instruction, "mode", AccMode.SET)
        predicate: int = getattr(instruction, "pred", 0) if mode is AccMode.ADD_IF else 0
        always = mode is AccMode.ADD
        if not any(static.registers) and not predicate:
            return _CONSTANT, Issued(static.index, (0,) * len(static.registers), always), always, 0
        return _QUEUED, _offset_getter(static.registers), always, predicate
    if isinstance(instruction, SLoop):
        return _LOOP, instruction, False, 0
    if isinstance(instruction, SBr):
        return _BRANCH, instruction, False, 0
    return _HALT if isinstance(instruction, SHalt) else _SCALAR, instruction, False, 0


def _offset_getter(registers: tuple[int, ...]) -> Callable[[list[int]], tuple[int, ...]]:
    if not registers:
        return lambda _: ()
    if len(registers) == 1:
        (only,) = registers
        return lambda values: (values[only],)
    return itemgetter(*registers)


@dataclass(slots=True)
class _ActiveLoop:
    """A running hardware loop: body `start` to `end` (exclusive), iterations left, registers it moves."""

    start: int
    end: int
    left: int
    increments: tuple[Increment, ...]
    entry_values: tuple[int, ...]

    def next_iteration(self, registers: list[int]) -> bool:
        """Move the registers; whether an iteration is left. At the end, restore what has no modulus."""
        for increment in self.increments:
            value = registers[increment.reg] + increment.step
            registers[increment.reg] = value % increment.modulus if increment.modulus else _wrap(value)
        self.left -= 1
        if self.left > 0:
            return True
        for increment, value in zip(self.increments, self.entry_values):
            if not increment.modulus:
                registers[increment.reg] = value
        return False


def _enter(program: Program, pc: int, loop: SLoop, registers: list[int], loops: list[_ActiveLoop]) -> int:
    """Start a loop; the pc of its body, or of what follows it when the count is 0."""
    if loop.count == 0:
        return loop.end
    if len(loops) == LOOP_DEPTH:
        remedy = f"the machine has {LOOP_DEPTH} loop levels: use s.alu and s.br for the outer ones"
        found = f"level {LOOP_DEPTH + 1}"
        raise NpuError(CONTROL_FLOW, "loops nest too deeply", place(program, pc), found, remedy)
    increments = tuple(item for item in program.loops[loop.step].increments if item.reg)
    entry = tuple(registers[item.reg] for item in increments)
    active = _ActiveLoop(pc + 1, loop.end, loop.count, increments, entry)
    loops.append(active)
    return pc + 1


def _leave(pc: int, loops: list[_ActiveLoop]) -> int:
    """Drop the loops that a branch to `pc` leaves; the end of the innermost loop that still runs, or -1."""
    while loops and not loops[-1].start <= pc <= loops[-1].end:
        loops.pop()
    return loops[-1].end if loops else -1


def _wrap(value: int) -> int:
    return value if _MIN <= value <= _MAX else (value - _MIN) % _WRAP + _MIN


def _quotient(a: int, b: int) -> int:
    magnitude = abs(a) // abs(b)
    return magnitude if (a < 0) == (b < 0) else -magnitude


_ALU: dict[AluFn, Callable[[int, int], int]] = {
    AluFn.ADD: lambda a, b: a + b,
    AluFn.SUB: lambda a, b: a - b,
    AluFn.MUL: lambda a, b: a * b,
    AluFn.DIV: _quotient,
    AluFn.REM: lambda a, b: a - b * _quotient(a, b),
    AluFn.MIN: min,
    AluFn.MAX: max,
    AluFn.AND: lambda a, b: a & b,
    AluFn.OR: lambda a, b: a | b,
    AluFn.XOR: lambda a, b: a ^ b,
    AluFn.SHL: lambda a, b: a << (b & 63),
    AluFn.SHR: lambda a, b: a >> (b & 63),
    AluFn.SLT: lambda a, b: int(a < b),
    AluFn.SEQ: lambda a, b: int(a == b),
}

_CONDITION: dict[BranchFn, Callable[[int, int], bool]] = {
    BranchFn.ALWAYS: lambda a, b: True,
    BranchFn.EQ: lambda a, b: a == b,
    BranchFn.NE: lambda a, b: a != b,
    BranchFn.LT: lambda a, b: a < b,
    BranchFn.GE: lambda a, b: a >= b,
}


class _Scalar:
    """The scalar unit: executes `s.li` and `s.alu`, decides branches."""

    def __init__(self, program: Program, registers: list[int]) -> None:
        self._program = program
        self._registers = registers

    def holds(self, branch: SBr) -> bool:
        """Whether the branch is taken."""
        return _CONDITION[branch.fn](self._registers[branch.ra], self._registers[branch.rb])

    def execute(self, pc: int, instruction: Instruction) -> None:
        """Run a scalar instruction; `s.fence` changes no value."""
        if isinstance(instruction, SLi):
            self._write(instruction.rd, instruction.value)
        elif isinstance(instruction, SAlu):
            a, b = self._registers[instruction.ra], _wrap(self._registers[instruction.rb] + instruction.value)
            if b == 0 and instruction.fn in (AluFn.DIV, AluFn.REM):
                where = place(self._program, pc)
                raise NpuError(SCALAR_TRAP, "division by zero", where, f"{a} / 0", "test the divisor")
            self._write(instruction.rd, _ALU[instruction.fn](a, b))

    def _write(self, rd: int, value: int) -> None:
        if rd:
            self._registers[rd] = _wrap(value)
