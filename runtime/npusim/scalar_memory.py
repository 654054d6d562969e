"""Where the values of `s.ld` come from and those of `s.st` go to.

* `ElementMemory`: a machine's memories (the functional simulator); it records what it gave.
* `ReplayedLoads`: the record of such a run, for the cycle model and the hazard checker, which hold no data.
* `AssumedLoads`: neither is there; the program says in each `s.ld` what to assume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import ml_dtypes
import numpy as np
from npuisa.dtypes import DType
from npuisa.errors import NpuError
from npuisa.instructions import SLd
from npuisa.program import Program

from npusim.faults import LOAD_RECORD, STEP_LIMIT, place
from npusim.memory import Memory
from npusim.static_instruction import StaticInstruction
from npusim.views import Array, OperandBinder, view_of

Offsets = tuple[int, ...]


class Loaded(NamedTuple):
    """One executed `s.ld`: its place in the program and the value that its register got."""

    pc: int
    value: int


class ScalarMemory(Protocol):
    """Executes the memory accesses of the sequencer; `offsets` are those of the instruction's only operand."""

    def load(self, static: StaticInstruction, offsets: Offsets) -> int:
        """The value of the element as a scalar register holds it."""
        ...

    def store(self, static: StaticInstruction, offsets: Offsets, value: int) -> None:
        """Write the register's value to the element."""
        ...


MOST_ASSUMED = 10_000_000
"""Loads that a program may execute without data: where an assumed value keeps a loop going, it never ends."""


class AssumedLoads:
    """Answers every load with what its `assume` and `times` say; stores go nowhere.

    NpuError after `MOST_ASSUMED` loads.
    """

    def __init__(self, program: Program) -> None:
        self.answered = 0
        """Loads so far."""
        self._program = program
        self._rounds: dict[int, int] = {}

    def load(self, static: StaticInstruction, offsets: Offsets) -> int:
        """`assume`; with `times`, 0 after every `times` of them."""
        instruction = static.instruction
        assert isinstance(instruction, SLd)
        self.answered += 1
        if self.answered > MOST_ASSUMED:
            where, remedy = place(self._program, static.index), "give the s.ld `times`, or time a run on data"
            message = "without data the program does not come to an end"
            raise NpuError(STEP_LIMIT, message, where, f"{MOST_ASSUMED} loads with assumed values", remedy)
        if not instruction.times:
            return instruction.assume
        done = self._rounds.get(static.index, 0)
        self._rounds[static.index] = 0 if done == instruction.times else done + 1
        return 0 if done == instruction.times else instruction.assume

    def store(self, static: StaticInstruction, offsets: Offsets, value: int) -> None:
        """Nobody reads it."""


class ReplayedLoads:
    """Answers the loads of a program with those of a run of it, in order; NpuError where they do not fit."""

    def __init__(self, program: Program, record: Sequence[Loaded]) -> None:
        self._program, self._record = program, record
        self._next = 0

    def load(self, static: StaticInstruction, offsets: Offsets) -> int:
        """The next value of the record."""
        found = self._record[self._next] if self._next < len(self._record) else None
        self._next += 1
        if found is None or found.pc != static.index:
            what = "no more loads" if found is None else f"a load by instruction {found.pc}"
            message = f"load {self._next} of the record is not one of this instruction"
            remedy = "replay the loads of a run of the same program"
            raise NpuError(LOAD_RECORD, message, place(self._program, static.index), what, remedy)
        return found.value

    def store(self, static: StaticInstruction, offsets: Offsets, value: int) -> None:
        """Nobody reads it."""


class ElementMemory:
    """Reads and writes single elements of a machine's memories and keeps `record` of what was read.

    `written` is told the machine addresses of bytes that a store has changed. NpuError (from the binder) when an
    element lies outside of its memory, is misaligned or may not be written.
    """

    def __init__(self, program: Program, memory: Memory, written: Callable[[int, int], None]) -> None:
        self.record: list[Loaded] = []
        self._program, self._memory, self._written = program, memory, written
        self._binders: dict[int, tuple[StaticInstruction, OperandBinder]] = {}

    def load(self, static: StaticInstruction, offsets: Offsets) -> int:
        """Integers and bool by value, floats by their bits."""
        dtype, element = self._element(static, offsets)
        value = _value(dtype, element)
        self.record.append(Loaded(static.index, value))
        return value

    def store(self, static: StaticInstruction, offsets: Offsets, value: int) -> None:
        """The low bits of `value`; bool: whether it is not 0."""
        dtype, element = self._element(static, offsets)
        _assign(dtype, element, value)
        address = element.ctypes.data
        self._written(address, address + element.itemsize)

    def _element(self, static: StaticInstruction, offsets: Offsets) -> tuple[DType, Array]:
        (descriptor,) = static.descriptors
        assert descriptor is not None
        known = self._binders.get(static.index)
        if known is None or known[0] is not static:
            view = view_of(descriptor, 0)
            if _by_bits(descriptor.dtype):
                view = view.as_type(np.dtype(f"u{descriptor.dtype.bytes}"))
            known = static, OperandBinder(self._program, self._memory, static, (view,))
            self._binders[static.index] = known
        return descriptor.dtype, known[1].arrays(offsets)[0]


def _by_bits(dtype: DType) -> bool:
    """Whether the element is handled as an unsigned integer of its width: floats, and bool (any byte but 0 is true)."""
    return dtype.is_float or dtype.numpy == np.bool_


def _value(dtype: DType, element: Array) -> int:
    value = int(element.item())
    return int(value != 0) if dtype.numpy == np.bool_ else value


def _assign(dtype: DType, element: Array, value: int) -> None:
    if dtype.numpy == np.bool_:
        element[...] = int(value != 0)
        return
    kind: Any = element.dtype
    info = np.iinfo(kind) if kind.kind in "iu" else ml_dtypes.iinfo(kind)
    low = value & ((1 << info.bits) - 1)
    if int(info.min) < 0 and low >> (info.bits - 1):
        low -= 1 << info.bits
    element[...] = low
