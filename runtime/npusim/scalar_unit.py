"""The scalar unit of the sequencer: 64-bit registers, arithmetic, conditions, loads, stores, descriptors.

Rules that the instruction table leaves open and that hold here: register r0 reads as 0 and ignores writes; scalars
wrap to 64 bits; `SHL` / `SHR` take the shift modulo 64 and `SHR` keeps the sign; `DIV` truncates toward zero, `REM`
has the dividend's sign, dividing by 0 traps.
"""

from __future__ import annotations

from collections.abc import Callable

from npuisa.errors import NpuError
from npuisa.instructions import AluFn, BranchFn, DGet, DSet, SAlu, SBr, SLd, SLi, SSt
from npuisa.program import Program

from npusim.descriptor_table import DescriptorTable
from npusim.faults import SCALAR_TRAP, place
from npusim.scalar_memory import ScalarMemory
from npusim.static_instruction import StaticInstruction

_MIN, _MAX, _WRAP = -(1 << 63), (1 << 63) - 1, 1 << 64


def wrap(value: int) -> int:
    """`value` as a 64-bit two's-complement scalar."""
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


class ScalarUnit:
    """Executes scalar instructions on `registers`, decides branches; memory accesses go to `memory`."""

    def __init__(
        self, program: Program, registers: list[int], memory: ScalarMemory, table: DescriptorTable
    ) -> None:
        self._program, self._registers, self._memory, self._table = program, registers, memory, table

    def holds(self, branch: SBr) -> bool:
        """Whether the branch is taken."""
        return _CONDITION[branch.fn](self._registers[branch.ra], self._registers[branch.rb])

    def execute(self, static: StaticInstruction) -> tuple[int, ...]:
        """Run a scalar instruction; the byte offsets of its operands. `s.fence` and `sem.init` change no register."""
        instruction, registers = static.instruction, self._registers
        if isinstance(instruction, SLi):
            self._write(instruction.rd, instruction.value)
        elif isinstance(instruction, SAlu):
            self._write(instruction.rd, self._computed(static.index, instruction))
        elif isinstance(instruction, SLd):
            offsets = (registers[instruction.src.reg],)
            self._write(instruction.rd, self._memory.load(static, offsets))
            return offsets
        elif isinstance(instruction, SSt):
            offsets = (registers[instruction.dst.reg],)
            self._memory.store(static, offsets, registers[instruction.ra])
            return offsets
        elif isinstance(instruction, DSet):
            self._table.set(static, registers[instruction.ra])
        elif isinstance(instruction, DGet):
            self._write(instruction.rd, self._table.get(instruction))
        return ()

    def _computed(self, pc: int, instruction: SAlu) -> int:
        a, b = self._registers[instruction.ra], wrap(self._registers[instruction.rb] + instruction.value)
        if b == 0 and instruction.fn in (AluFn.DIV, AluFn.REM):
            where = place(self._program, pc)
            raise NpuError(SCALAR_TRAP, "division by zero", where, f"{a} / 0", "test the divisor")
        return _ALU[instruction.fn](a, b)

    def _write(self, rd: int, value: int) -> None:
        if rd:
            self._registers[rd] = wrap(value)
