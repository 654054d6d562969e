"""The descriptor table while a program runs: `d.set` changes it, instructions take along what it holds at their issue.

Descriptors that no `d.set` names never change, so instructions without such operands keep their `StaticInstruction`.
The others get one per combination of descriptors that they meet, checked as a program's are before it runs.
"""

from __future__ import annotations

from dataclasses import replace

from npuisa.descriptor import Descriptor
from npuisa.descriptor_encoding import check_descriptor
from npuisa.errors import NpuError
from npuisa.instructions import DescField, DGet, DSet, Operand
from npuisa.operand_rules import check_operands
from npuisa.program import Program

from npusim.faults import place
from npusim.static_instruction import StaticInstruction

KEPT_VERSIONS = 1024
"""Changed instructions kept for the next time that they meet the same descriptors; loops meet few."""

Version = tuple[int, tuple[Descriptor | None, ...]]


class DescriptorTable:
    """The descriptors of `program` as they are at one point of its execution."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._descriptors = list(program.descriptors)
        self._changeable = {item.desc for item in program.instructions if isinstance(item, DSet)}
        self._versions: dict[Version, StaticInstruction] = {}

    def may_change(self, static: StaticInstruction) -> bool:
        """Whether some `d.set` of the program names a descriptor of this instruction."""
        changeable = self._changeable
        return bool(changeable) and not changeable.isdisjoint(number for _, number in self._numbers(static))

    def set(self, static: StaticInstruction, value: int) -> None:
        """Execute a `d.set`; NpuError when a descriptor cannot hold the value."""
        instruction = static.instruction
        assert isinstance(instruction, DSet)
        old, axis = self._descriptors[instruction.desc], instruction.axis
        if instruction.part is DescField.BASE:
            new = replace(old, base=value)
        elif instruction.part is DescField.DIM:
            new = replace(old, dims=_with(old.dims, axis, value))
        else:
            new = replace(old, strides=_with(old.strides, axis, value))
        check_descriptor(new, place(self._program, static.index))
        self._descriptors[instruction.desc] = new

    def get(self, instruction: DGet) -> int:
        """What a `d.get` reads."""
        view = self._descriptors[instruction.desc]
        if instruction.part is DescField.BASE:
            return view.base
        return (view.dims if instruction.part is DescField.DIM else view.strides)[instruction.axis]

    def current(self, static: StaticInstruction) -> StaticInstruction:
        """The instruction with the descriptors of this moment; NpuError when they break one of its rules.

        The same object for as long as it meets the same descriptors, and `static` itself for those of the program.
        """
        views = list(static.descriptors)
        for operand, number in self._numbers(static):
            views[operand] = self._descriptors[number]
        if tuple(views) == static.descriptors:
            return static
        version = static.index, tuple(views)
        found = self._versions.get(version)
        if found is None:
            if len(self._versions) >= KEPT_VERSIONS:
                self._versions.clear()
            found = self._versions[version] = self._checked(replace(static, descriptors=version[1]))
        return found

    def _checked(self, static: StaticInstruction) -> StaticInstruction:
        try:
            check_operands(static.instruction, self._descriptors, self._program.kernels)
        except NpuError as error:
            error.where = place(self._program, static.index)
            error.remedy += "; d.set has changed descriptors of the instruction"
            raise
        return static

    @staticmethod
    def _numbers(static: StaticInstruction) -> list[tuple[int, int]]:
        """(operand, number of its descriptor in the table) of the operands that are present."""
        found: list[tuple[int, int]] = []
        for position, (name, view) in enumerate(zip(static.fields, static.descriptors)):
            if view is not None:
                operand: Operand = getattr(static.instruction, name)
                found.append((position, operand.desc))
        return found


def _with(values: tuple[int, ...], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])
