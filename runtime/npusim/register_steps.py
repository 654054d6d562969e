"""By which steps a scalar register moves the operands of a program: what is known of addresses without running it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from math import gcd
from weakref import ref

from npuisa.instructions import AluFn, SAlu, SLi
from npuisa.program import Program

_KNOWN: dict[int, tuple[ref[Program], dict[int, int]]] = {}
"""By identity (programs are not hashable), for the programs that are still alive."""


def register_grain(program: Program, register: int) -> int:
    """A number of bytes that all values of `register` are multiples of; 0 if it is always 0 (or no register).

    1 where the sequencer computes the register.
    """
    if not register:
        return 0
    entry = _KNOWN.get(id(program))
    if entry is None or entry[0]() is not program:
        entry = _KNOWN[id(program)] = ref(program, _forget(id(program))), _grains(program)
    return entry[1].get(register, 0)


def _forget(key: int) -> Callable[[object], None]:
    def forget(_: object) -> None:
        _KNOWN.pop(key, None)

    return forget


def _grains(program: Program) -> dict[int, int]:
    grains: defaultdict[int, int] = defaultdict(int)
    for loop in program.loops:
        for move in loop.increments:
            grains[move.reg] = gcd(grains[move.reg], move.step, move.modulus)
    computed: list[SAlu] = []
    for instruction in program.instructions:
        if isinstance(instruction, SLi):
            grains[instruction.rd] = gcd(grains[instruction.rd], instruction.value)
        elif isinstance(instruction, SAlu):
            computed.append(instruction)
    for _ in range(len(computed) + 1):
        before = dict(grains)
        for instruction in computed:
            grains[instruction.rd] = gcd(grains[instruction.rd], _computed(instruction, grains))
        if before == grains:
            return dict(grains)
    return dict.fromkeys(grains, 1)


def _computed(instruction: SAlu, grains: dict[int, int]) -> int:
    """What a sum or difference is a multiple of; 1 for other functions."""
    if instruction.fn not in (AluFn.ADD, AluFn.SUB):
        return 1
    return gcd(grains.get(instruction.ra, 0), grains.get(instruction.rb, 0), instruction.value)
