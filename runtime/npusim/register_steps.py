"""Which values a scalar register can have where an instruction uses it: what is known of addresses without running.

One pass in program order. A register is known as `start` plus multiples of `step`: `s.li` sets it, sums add up,
the loops around an instruction move it by their steps, and at the end of a loop it is back at its start (or, with a
modulus, anywhere on its circle).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from math import gcd
from weakref import ref

from npuisa.instructions import AluFn, DGet, DmaCopy, DmaFill, SAlu, SBr, SLd, SLi, SLoop
from npuisa.program import LoopSpec, Program

Values = tuple[int, int]
"""(start, step): start plus multiples of step; step 0: this value only."""
_Registers = dict[int, Values]
_ANY: Values = (0, 1)
_ZERO: Values = (0, 0)

_Assigning = SAlu | SLi | SLd | DGet
_ASSIGNING = (SAlu, SLi, SLd, DGet)
"""Instructions that assign a register `rd`."""

_KNOWN: dict[int, tuple[ref[Program], dict[int, _Registers]]] = {}
"""By identity (programs are not hashable), for the programs that are still alive; then by that of the instruction."""


def register_values(program: Program, instruction: DmaCopy | DmaFill, register: int) -> Values:
    """Values of `register` where the DMA `instruction`, an element of `program.instructions`, is issued."""
    if not register:
        return _ZERO
    return _entry(program).get(id(instruction), {}).get(register, _ANY)


def share_register_values(program: Program, other: Program) -> None:
    """`other` has the very instructions of `program`, so what is known of the one's registers holds for both."""
    _KNOWN[id(other)] = ref(other, _forget(id(other))), _entry(program)


def _entry(program: Program) -> dict[int, _Registers]:
    entry = _KNOWN.get(id(program))
    if entry is None or entry[0]() is not program:
        entry = _KNOWN[id(program)] = ref(program, _forget(id(program))), _follow(program)
    return entry[1]


def _forget(key: int) -> Callable[[object], None]:
    def forget(_: object) -> None:
        _KNOWN.pop(key, None)

    return forget


def _either(a: Values, b: Values) -> Values:
    """Values that are in `a` or in `b`."""
    return a[0], gcd(a[1], b[1], a[0] - b[0])


def _follow(program: Program) -> dict[int, _Registers]:
    """For each DMA instruction: the registers that its operands add."""
    state: _Registers = {}
    found: dict[int, _Registers] = {}
    ends: defaultdict[int, list[tuple[LoopSpec, _Registers]]] = defaultdict(list)
    heads = _branch_targets(program)
    joins: defaultdict[int, list[_Registers]] = defaultdict(list)
    for index, instruction in enumerate(program.instructions):
        for spec, entry in reversed(ends.pop(index, [])):
            _leave(spec, entry, state)
        for changed in heads.get(index, ()):
            _widen(changed, state)
        for other in joins.pop(index, ()):
            _join(other, state)
        if isinstance(instruction, SBr):
            _branch(index, instruction, state, joins)
        elif isinstance(instruction, SLi):
            state[instruction.rd] = instruction.value, 0
        elif isinstance(instruction, SLd | DGet):
            state[instruction.rd] = _ANY
        elif isinstance(instruction, SAlu):
            state[instruction.rd] = _computed(instruction, state)
        elif isinstance(instruction, SLoop):
            spec = program.loops[instruction.step]
            ends[instruction.end].append((spec, dict(state)))
            _enter(program, index, instruction, state)
        elif isinstance(instruction, DmaCopy | DmaFill):
            operands = (instruction.dst, instruction.src) if isinstance(instruction, DmaCopy) else (instruction.dst,)
            before = {operand.reg: state.get(operand.reg, _ZERO) for operand in operands}
            known = found.get(id(instruction))
            found[id(instruction)] = before if known is None else {r: _either(known[r], v) for r, v in before.items()}
    return found


def _branch(index: int, branch: SBr, state: _Registers, joins: defaultdict[int, list[_Registers]]) -> None:
    """A branch ahead carries what is known here to its target."""
    if branch.to > index:
        joins[branch.to].append(dict(state))


def _join(other: _Registers, state: _Registers) -> None:
    """Two ways meet: what either knows."""
    for register in {*state, *other}:
        state[register] = _either(state.get(register, _ZERO), other.get(register, _ZERO))


def _enter(program: Program, index: int, loop: SLoop, state: _Registers) -> None:
    """Inside a loop: its own registers after any number of rounds, and what its body leaves changed."""
    moves = list(program.loops[loop.step].increments)
    for inside in program.instructions[index + 1 : loop.end]:
        if isinstance(inside, SLoop):
            moves += [move for move in program.loops[inside.step].increments if move.modulus]
        elif isinstance(inside, _ASSIGNING):
            _widen(inside, state)
    for move in moves:
        start, step = state.get(move.reg, _ZERO)
        state[move.reg] = start, gcd(step, move.step, move.modulus)


def _leave(spec: LoopSpec, entry: _Registers, state: _Registers) -> None:
    """At the end of a loop: registers without a modulus are back at their values at its start."""
    for move in spec.increments:
        if not move.modulus:
            state[move.reg] = entry.get(move.reg, _ZERO)


def _branch_targets(program: Program) -> dict[int, list[_Assigning]]:
    """Target of each backward branch -> what assigns registers between it and the branch."""
    found: defaultdict[int, list[_Assigning]] = defaultdict(list)
    for index, instruction in enumerate(program.instructions):
        if isinstance(instruction, SBr) and instruction.to <= index:
            body = program.instructions[instruction.to : index]
            found[instruction.to] += [item for item in body if isinstance(item, _ASSIGNING)]
    return found


def _widen(assigned: _Assigning, state: _Registers) -> None:
    """A register that a branch brings back changed: by a constant per round, to a constant, or to anything."""
    start, step = state.get(assigned.rd, _ZERO)
    if isinstance(assigned, SLi):
        state[assigned.rd] = _either((start, step), (assigned.value, 0))
    elif isinstance(assigned, SAlu) and _steps_itself(assigned):
        state[assigned.rd] = start, gcd(step, assigned.value)
    else:
        state[assigned.rd] = _ANY


def _steps_itself(sum_: SAlu) -> bool:
    """Whether a register moves by a constant."""
    return sum_.fn in (AluFn.ADD, AluFn.SUB) and sum_.ra == sum_.rd and not sum_.rb


def _computed(instruction: SAlu, state: _Registers) -> Values:
    """A sum or difference; anything for other functions."""
    if instruction.fn not in (AluFn.ADD, AluFn.SUB):
        return _ANY
    sign = 1 if instruction.fn is AluFn.ADD else -1
    (a, a_step), (b, b_step) = state.get(instruction.ra, _ZERO), state.get(instruction.rb, _ZERO)
    return a + sign * (b + instruction.value), gcd(a_step, b_step)
