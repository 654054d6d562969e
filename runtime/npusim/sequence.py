"""The sequencer: static decoding of a program and the stream of instructions it issues in program order.

One stream serves the functional simulator, the cycle model and the hazard checker. Everything that does not
change from issue to issue is decoded once into `StaticInstruction`s; an issue carries only byte offsets.

Rules that the instruction table leaves open and that hold here (those of scalars: `scalar_unit`):

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

from npuisa.errors import NpuError
from npuisa.instructions import LOOP_DEPTH, AccMode, Engine, SBr, SHalt, SLoop
from npuisa.program import Increment, Program

from npusim.descriptor_table import DescriptorTable
from npusim.faults import CONTROL_FLOW, STEP_LIMIT, place
from npusim.scalar_memory import AssumedLoads, ScalarMemory
from npusim.scalar_unit import ScalarUnit, wrap
from npusim.static_instruction import StaticInstruction, decode

__all__ = ["DEFAULT_STEP_LIMIT", "Issued", "StaticInstruction", "decode", "dynamic_stream"]

DEFAULT_STEP_LIMIT = 1_000_000_000
"""Instructions that a program may execute before it counts as endless."""

class Issued(NamedTuple):
    """One executed instruction.

    `pc` is its place in the program (and in the list of `decode`); `offsets[i]` the bytes that its
    register adds to the base of operand i; `accumulate` whether the old value of the destination takes part
    (`ADD`, or `ADD_IF` with a register that is not 0). For `s.br` it says whether the branch is taken. `changed` is
    the instruction with its descriptors as of now where `d.set` has changed one of them.
    """

    pc: int
    offsets: tuple[int, ...]
    accumulate: bool
    changed: StaticInstruction | None = None


def dynamic_stream(
    program: Program,
    statics: list[StaticInstruction] | None = None,
    *,
    step_limit: int = DEFAULT_STEP_LIMIT,
    memory: ScalarMemory | None = None,
) -> Iterator[Issued]:
    """Every instruction executed, in program order, sequencer instructions included.

    `statics` is the result of `decode(program)`; it is computed when absent. `memory` answers `s.ld` and takes `s.st`,
    each before its record is yielded and after everything before it was; by default loads are assumed as the program
    says (`AssumedLoads`). Raises NpuError when more than `step_limit` instructions execute, a loop nests deeper than
    the machine allows or the scalar unit traps.
    """
    statics = decode(program) if statics is None else statics
    table = DescriptorTable(program)
    code = [_action(static, table.may_change(static)) for static in statics]
    registers = [0] * 32
    scalar = ScalarUnit(program, registers, AssumedLoads(program) if memory is None else memory, table)
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
            yield _new(Issued, (pc, payload(registers), accumulate, None))
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
        elif kind == _HALT:
            yield Issued(pc, (), False)
            return
        elif kind == _CHANGING:
            yield _issue_changing(payload, table, scalar, registers, always, predicate)
            pc += 1
        else:
            yield Issued(pc, scalar.execute(payload), False)
            pc += 1
        while pc == end:
            if loops[-1].next_iteration(registers):
                pc = loops[-1].start
            else:
                loops.pop()
                end = loops[-1].end if loops else -1


_new = tuple.__new__
"""Makes an `Issued` at half the time that its constructor takes."""

def _issue_changing(
    static: StaticInstruction,
    table: DescriptorTable,
    scalar: ScalarUnit,
    registers: list[int],
    always: bool,
    predicate: int,
) -> Issued:
    """Issue an instruction with an operand that `d.set` may have changed."""
    current = table.current(static)
    changed = None if current is static else current
    if static.engine is Engine.SEQ:
        return Issued(static.index, scalar.execute(current), False, changed)
    offsets = tuple(registers[register] for register in static.registers)
    return Issued(static.index, offsets, registers[predicate] != 0 if predicate else always, changed)


_CONSTANT, _QUEUED, _LOOP, _BRANCH, _HALT, _SCALAR, _CHANGING = range(7)


def _action(static: StaticInstruction, changing: bool) -> tuple[int, Any, bool, int]:
    """Kind of step, what it needs and, for queued instructions, `accumulate` or the register that decides it.

    A step whose record never changes is a ready-made record. `ADD_IF` on r0 never adds: r0 reads as 0.
    """
    instruction = static.instruction
    mode = getattr(instruction, "mode", AccMode.SET)
    predicate: int = getattr(instruction, "pred", 0) if mode is AccMode.ADD_IF else 0
    always = mode is AccMode.ADD
    if changing:
        return _CHANGING, static, always, predicate
    if static.engine is not Engine.SEQ:
        if not any(static.registers) and not predicate:
            return _CONSTANT, Issued(static.index, (0,) * len(static.registers), always), always, 0
        return _QUEUED, _offset_getter(static.registers), always, predicate
    if isinstance(instruction, SLoop):
        return _LOOP, instruction, False, 0
    if isinstance(instruction, SBr):
        return _BRANCH, instruction, False, 0
    return _HALT if isinstance(instruction, SHalt) else _SCALAR, static, False, 0


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
            registers[increment.reg] = value % increment.modulus if increment.modulus else wrap(value)
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
