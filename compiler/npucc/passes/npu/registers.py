"""Scalar registers: virtual ones per loop nest, shared where they agree, then the machine's 31.

A virtual register is described by what it does at the end of each loop's iterations. Two uses share one when
every loop around either use moves it by what that use needs; what it does in other loops does not matter,
because a register without modulus returns to its value when a loop ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from npuisa.errors import NpuError
from npuisa.instructions import SCALAR_REGISTERS
from npuisa.program import Increment

from npucc.passes.npu.faults import OUT_OF_REGISTERS
from npucc.passes.npu.nest import Loop, Rotation


@dataclass(eq=False)
class VirtualRegister:
    """Starts the nest at `initial`; `linear` steps return at loop exit, `rotating` ones count modulo `modulus`.
    `outer`: machine registers (steps of loops around the groups) and by what they are multiplied and added to it.

    `scope` are the loops around its uses. A `scratch` register is written before each use.
    """

    initial: int = 0
    rotating: Mapping[Loop, int] = field(default_factory=dict)
    modulus: int = 0
    linear: dict[Loop, int] = field(default_factory=dict)
    scope: set[Loop] = field(default_factory=set)
    scratch: bool = False
    outer: Mapping[int, int] = field(default_factory=dict)

    def increment(self, loop: Loop, number: int) -> Increment | None:
        """What `loop` does to it when it is machine register `number`."""
        if loop in self.rotating:
            return Increment(number, self.rotating[loop], self.modulus)
        return Increment(number, self.linear[loop]) if loop in self.linear else None

    @property
    def final(self) -> int | None:
        """Its value after the nest; None when it is not known."""
        if self.scratch or self.outer:
            return None
        turns = sum(step * loop.executions for loop, step in self.rotating.items())
        return (self.initial + turns) % self.modulus if self.modulus else self.initial


@dataclass(frozen=True)
class RegisterSum:
    """A value that no single register can follow: `total` = `a` + `b`, computed before each use."""

    total: VirtualRegister
    a: VirtualRegister
    b: VirtualRegister


RegisterUse = VirtualRegister | RegisterSum | None


@dataclass
class NestRegisters:
    """The virtual registers of one loop nest."""

    registers: list[VirtualRegister] = field(default_factory=list)

    def address(
        self,
        linear: Mapping[Loop, int],
        rotation: Rotation,
        scope: Sequence[Loop],
        outer: Mapping[int, int] | None = None,
    ) -> RegisterUse:
        """A register that follows a linear offset plus the rotation of a pool; None when both stand still.

        `rotation.initial` belongs to the register only when the rotation moves. `outer`: see `VirtualRegister`.
        """
        if outer:
            a = self._find(0, {}, 0, linear, scope, outer)
            if not rotation.steps:
                return a
            b = self._find(rotation.initial, rotation.steps, rotation.modulus, {}, scope)
            return RegisterSum(self.scratch(), a, b)
        if not rotation.steps:
            return self._find(0, {}, 0, linear, scope) if linear else None
        if not linear or _separate(linear, rotation.steps):
            return self._find(rotation.initial, rotation.steps, rotation.modulus, linear, scope)
        # A modulus would wrap the linear part: add two registers in front of each use.
        a = self._find(rotation.initial, rotation.steps, rotation.modulus, {}, scope)
        b = self._find(0, {}, 0, linear, scope)
        return RegisterSum(self.scratch(), a, b)

    def nonzero_test(self, constant: int, linear: Mapping[Loop, int], scope: Sequence[Loop]) -> VirtualRegister:
        """A register that is 0 exactly when `constant + linear` is; prefers one that is there already."""
        if constant == 0 and all(step > 0 for step in linear.values()):
            for register in self.registers:
                moving = {loop: register.linear[loop] for loop in scope if loop in register.linear}
                plain = not (register.modulus or register.scratch or register.outer) and register.initial == 0
                if plain and moving.keys() == linear.keys() and all(step > 0 for step in moving.values()):
                    register.scope.update(scope)
                    return register
        return self._find(constant, {}, 0, linear, scope)

    def _find(
        self,
        initial: int,
        rotating: Mapping[Loop, int],
        modulus: int,
        linear: Mapping[Loop, int],
        scope: Sequence[Loop],
        outer: Mapping[int, int] | None = None,
    ) -> VirtualRegister:
        wanted = (initial, rotating, modulus, outer or {})
        for register in self.registers:
            same = (register.initial, register.rotating, register.modulus, register.outer) == wanted
            if same and not register.scratch and _agree(register, linear, scope):
                register.linear.update(linear)
                register.scope.update(scope)
                return register
        made = VirtualRegister(initial, dict(rotating), modulus, dict(linear), set(scope), outer=dict(outer or {}))
        self.registers.append(made)
        return made

    def scratch(self) -> VirtualRegister:
        """A register for intermediate values."""
        made = VirtualRegister(scratch=True)
        self.registers.append(made)
        return made


def _agree(register: VirtualRegister, linear: Mapping[Loop, int], scope: Sequence[Loop]) -> bool:
    shared = (loop for loop in scope if loop in register.scope)
    return all(register.linear.get(loop, 0) == linear.get(loop, 0) for loop in shared)


def _separate(linear: Iterable[Loop], rotating: Mapping[Loop, int]) -> bool:
    """Whether no rotating loop is, or is inside, a loop with a linear step."""
    return not any(inner in rotating for loop in linear for inner in loop.subtree())


@dataclass
class RegisterFile:
    """Machine registers r1 to r31 between the nests of a program: each holds a known value, or None."""

    values: list[int | None] = field(default_factory=lambda: [0] * SCALAR_REGISTERS)
    reserved: set[int] = field(default_factory=set)
    """Registers that control flow holds across nests."""

    def reserve(self, where: str) -> int:
        """A register that no nest uses until it is released; NpuError when there is none."""
        free = [number for number in range(SCALAR_REGISTERS - 1, 0, -1) if number not in self.reserved]
        if not free:
            remedy = "nest fewer loops and branches"
            raise NpuError(OUT_OF_REGISTERS, "control flow takes all scalar registers", where, "0 left", remedy)
        self.reserved.add(free[0])
        return free[0]

    def release(self, number: int) -> None:
        """The register is free again; what it holds is not known."""
        self.reserved.discard(number)
        self.values[number] = None

    def forget(self) -> None:
        """Nothing is known any more: control flow joins here."""
        self.values = [0, *(None for _ in range(SCALAR_REGISTERS - 1))]

    def assign(self, virtual: Sequence[VirtualRegister], where: str) -> dict[VirtualRegister, int]:
        """Numbers for the registers of a nest: those that hold the wanted value already where possible.

        `values` then still holds the values before the nest; call `finish` after comparing. NpuError when there
        are more than the machine has.
        """
        free = [number for number in range(1, SCALAR_REGISTERS) if number not in self.reserved]
        if len(virtual) > len(free):
            remedy = "nest fewer tile loops, or choose tile sizes that divide the dims (fewer loop segments)"
            limit = f"a loop nest has at most {len(free)} address registers"
            raise NpuError(OUT_OF_REGISTERS, limit, where, str(len(virtual)), remedy)
        numbers: dict[VirtualRegister, int] = {}
        for register in virtual:
            fixed = not register.scratch and not register.outer
            match = next((n for n in free if fixed and self.values[n] == register.initial), None)
            if match is not None:
                numbers[register] = match
                free.remove(match)
        for register in virtual:
            if register not in numbers:
                numbers[register] = free.pop()
        return numbers

    def loads(self, numbers: Mapping[VirtualRegister, int]) -> list[tuple[int, int]]:
        """Registers to load before the nest and with what."""
        return [
            (number, register.initial)
            for register, number in numbers.items()
            if not (register.scratch or register.outer) and self.values[number] != register.initial
        ]

    def finish(self, numbers: Mapping[VirtualRegister, int]) -> None:
        """The nest has run."""
        for register, number in numbers.items():
            self.values[number] = register.final
