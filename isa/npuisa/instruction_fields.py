"""What an instruction is made of: engines, enumerations, bit fields, and the decorator that registers a class.

A word has 256 bits: a header of 40 bits common to all instructions, then the fields in the order in which the
class declares them. 128 bits do not suffice: five operands of 16 + 5 bits and the header are already 145.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, TypeVar, dataclass_transform

from npuisa.descriptor import Space

WORD_BITS = 256
SCALAR_REGISTERS = 32
SEMAPHORES = 64
LOOP_DEPTH = 4
MAX_WAITS = 2
MAX_POSTS = 2


class Engine(IntEnum):
    """Who executes an instruction. DMA channels, MX, OUT and VX have in-order queues of their own."""

    SEQ = 0
    DMA0 = 1
    DMA1 = 2
    DMA2 = 3
    DMA3 = 4
    MX = 5
    OUT = 6
    VX = 7


DMA_ENGINES = (Engine.DMA0, Engine.DMA1, Engine.DMA2, Engine.DMA3)
QUEUED_ENGINES = (*DMA_ENGINES, Engine.MX, Engine.OUT, Engine.VX)


class AluFn(IntEnum):
    """Functions of `s.alu` on 64-bit two's-complement scalars."""

    ADD = 0
    SUB = 1
    MUL = 2
    DIV = 3
    REM = 4
    MIN = 5
    MAX = 6
    AND = 7
    OR = 8
    XOR = 9
    SHL = 10
    SHR = 11
    SLT = 12
    SEQ = 13


class BranchFn(IntEnum):
    """Conditions of `s.br`."""

    ALWAYS = 0
    EQ = 1
    NE = 2
    LT = 3
    GE = 4


class DescField(IntEnum):
    """What `d.set` writes and `d.get` reads of a descriptor."""

    DIM = 0
    STRIDE = 1
    BASE = 2


class ReduceFn(IntEnum):
    """Functions of `v.reduce` and `v.window`."""

    SUM = 0
    MAX = 1
    MIN = 2
    PROD = 3


class ScatterFn(IntEnum):
    """How a scattered element meets the one that is there: replaces it, or is combined with it."""

    NONE = 0
    ADD = 1
    MUL = 2
    MIN = 3
    MAX = 4


class NormFn(IntEnum):
    """Functions of `v.norm`, over the last axis."""

    SOFTMAX = 0
    LOG_SOFTMAX = 1


class AccMode(IntEnum):
    """How a result meets what the destination holds: overwrite, add, or add when a register is not 0."""

    SET = 0
    ADD = 1
    ADD_IF = 2


@dataclass(frozen=True, slots=True)
class Operand:
    """A descriptor of the program's table, its base moved by scalar register `reg` (r0 reads as 0)."""

    desc: int
    reg: int = 0


NO_OPERAND = Operand(0xFFFF, 0)
"""An optional operand that is absent."""


@dataclass(frozen=True)
class FieldSpec:
    """One bit field: width, what kind of value it holds, and for operands which spaces are legal."""

    width: int
    kind: str
    """operand | reg | imm | simm | enum | kernel | loop | target | descriptor | semaphore"""
    doc: str = ""
    spaces: tuple[Space, ...] = ()
    access: str = ""
    """operand only: 'r', 'w', 'rw' (also read where the instruction accumulates) or 'rmw' (always read)"""
    optional: bool = False
    enum: type[IntEnum] | None = None


def _field(spec: FieldSpec, **default: Any) -> Any:
    return dataclasses.field(metadata={"bits": spec}, **default)


def dest(*spaces: Space, access: str = "w", optional: bool = False, doc: str = "") -> Any:
    """A destination operand in one of `spaces`; an optional one defaults to `NO_OPERAND`."""
    spec = FieldSpec(21, "operand", doc, spaces, access, optional)
    return _field(spec, default=NO_OPERAND) if optional else _field(spec)


def source(*spaces: Space, optional: bool = False, doc: str = "") -> Any:
    """A source operand in one of `spaces`; an optional one defaults to `NO_OPERAND`."""
    spec = FieldSpec(21, "operand", doc, spaces, "r", optional)
    return _field(spec, default=NO_OPERAND) if optional else _field(spec)


def imm(width: int, default: int | None = None, doc: str = "") -> Any:
    """An unsigned immediate."""
    spec = FieldSpec(width, "imm", doc)
    return _field(spec) if default is None else _field(spec, default=default)


def simm(width: int, default: int | None = None, doc: str = "") -> Any:
    """A two's-complement immediate."""
    spec = FieldSpec(width, "simm", doc)
    return _field(spec) if default is None else _field(spec, default=default)


def reg(default: int | None = None, doc: str = "") -> Any:
    """A scalar register number."""
    spec = FieldSpec(5, "reg", doc)
    return _field(spec) if default is None else _field(spec, default=default)


def choice(enum: type[IntEnum], width: int, default: IntEnum | None = None, doc: str = "") -> Any:
    """A value of `enum`."""
    spec = FieldSpec(width, "enum", doc, enum=enum)
    return _field(spec) if default is None else _field(spec, default=default)


def index(kind: str, width: int = 16, doc: str = "") -> Any:
    """An index into a table (`kernel`, `loop`, `descriptor`, `semaphore`) or the program (`target`)."""
    return _field(FieldSpec(width, kind, doc))


InstructionT = TypeVar("InstructionT", bound="Instruction")

TABLE: dict[int, type[Instruction]] = {}
BY_MNEMONIC: dict[str, type[Instruction]] = {}


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dest, source, imm, simm, reg, choice, index)
)
def instruction(
    *, opcode: int, mnemonic: str, engine: Engine | None, units: tuple[Engine, ...] = DMA_ENGINES
) -> Callable[[type[InstructionT]], type[InstructionT]]:
    """Register a class as an instruction. `engine=None`: the engine is a field (`unit`), one of `units`."""

    def register(cls: type[InstructionT]) -> type[InstructionT]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.opcode, made.mnemonic, made.fixed_engine = opcode, mnemonic, engine
        made.units = units if engine is None else (engine,)
        bits = HEADER_BITS + sum(spec.width for _, spec in made.fields())
        if opcode in TABLE or mnemonic in BY_MNEMONIC:
            raise ValueError(f"{mnemonic}: opcode {opcode:#x} or mnemonic is already taken")
        if bits > WORD_BITS:
            raise ValueError(f"{mnemonic}: {bits} bits do not fit a word of {WORD_BITS}")
        TABLE[opcode] = BY_MNEMONIC[mnemonic] = made
        return made

    return register


HEADER_BITS = 8 + 4 + 4 * 7
"""opcode 8, engine 4, two waits and two posts of 7 bits (semaphore + 1, 0 = none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Base of all instructions: `engine` executes it; it starts when every semaphore in `waits` is positive
    (each is then decremented) and when done increments those in `posts`."""

    opcode: ClassVar[int] = -1
    mnemonic: ClassVar[str] = ""
    fixed_engine: ClassVar[Engine | None] = None
    units: ClassVar[tuple[Engine, ...]] = ()
    """Engines that may execute it: the fixed one, or the legal values of `unit`."""

    unit: Engine = Engine.SEQ
    waits: tuple[int, ...] = ()
    posts: tuple[int, ...] = ()

    @classmethod
    def fields(cls) -> list[tuple[str, FieldSpec]]:
        """The bit fields after the header, in encoding order."""
        return [(f.name, f.metadata["bits"]) for f in dataclasses.fields(cls) if "bits" in f.metadata]

    @property
    def engine(self) -> Engine:
        """The engine that executes this instruction."""
        return self.unit if self.fixed_engine is None else self.fixed_engine
