"""Element-wise micro-kernels: short straight-line programs over 16 vector registers.

A kernel computes one output element from up to four source elements. Sources `s0..s3` arrive in registers
`v0..v3`, converted to the type of the kernel's `source_types`; the value of `result` is converted to the
destination's type (round to nearest even; to an integer: truncate toward zero, out of range is undefined).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MAX_MICRO_OPS = 32
VECTOR_REGISTERS = 16
MAX_SOURCES = 4
MAX_CONSTANTS = 64


class MicroType(IntEnum):
    """Type in which a micro-operation computes. A comparison's result is `PRED`; `PRED` computes logic."""

    F32 = 0
    F64 = 1
    I32 = 2
    I64 = 3
    PRED = 4


class MicroClass(IntEnum):
    """Cost class; a target gives each an initiation interval in cycles per vector of lanes."""

    ALU = 0
    DIV = 1
    TRANSCENDENTAL = 2


@dataclass(frozen=True)
class MicroOpcode:
    """One micro-operation: `name`, 7-bit `code`, number of register sources, cost class, meaning."""

    name: str
    code: int
    arity: int
    cost: MicroClass
    doc: str


def _table() -> tuple[MicroOpcode, ...]:
    alu, div, special = MicroClass.ALU, MicroClass.DIV, MicroClass.TRANSCENDENTAL
    rows = (
        ("const", 0, alu, "d = constant[index]"),
        ("mov", 1, alu, "d = a"),
        ("add", 2, alu, "d = a + b"),
        ("sub", 2, alu, "d = a - b"),
        ("mul", 2, alu, "d = a * b"),
        ("fma", 3, alu, "d = a * b + c, rounded after the product and after the sum"),
        ("div", 2, div, "d = a / b; integers truncate toward zero"),
        ("rem", 2, div, "remainder with the sign of the dividend"),
        ("min", 2, alu, "smaller of a and b; NaN if either is"),
        ("max", 2, alu, "greater of a and b; NaN if either is"),
        ("neg", 1, alu, "d = -a"),
        ("abs", 1, alu, "d = |a|"),
        ("floor", 1, alu, "largest integer <= a"),
        ("ceil", 1, alu, "smallest integer >= a"),
        ("round", 1, alu, "nearest integer, halves to even"),
        ("sqrt", 1, div, "square root"),
        ("exp", 1, special, "e ** a"),
        ("log", 1, special, "natural logarithm"),
        ("tanh", 1, special, "hyperbolic tangent"),
        ("erf", 1, special, "error function"),
        ("sin", 1, special, "sine of radians"),
        ("cos", 1, special, "cosine of radians"),
        ("pow", 2, special, "a ** b"),
        ("eq", 2, alu, "PRED: a == b (type of the sources)"),
        ("ne", 2, alu, "PRED: a != b"),
        ("lt", 2, alu, "PRED: a < b"),
        ("le", 2, alu, "PRED: a <= b"),
        ("select", 3, alu, "d = b where PRED a holds, else c"),
        ("and", 2, alu, "bitwise (integers) or logical (PRED) and"),
        ("or", 2, alu, "bitwise or logical or"),
        ("xor", 2, alu, "bitwise or logical exclusive or"),
        ("cvt_f32", 1, alu, "convert from the op's type to F32"),
        ("cvt_f64", 1, alu, "convert from the op's type to F64"),
        ("cvt_i32", 1, alu, "convert from the op's type to I32, toward zero"),
        ("cvt_i64", 1, alu, "convert from the op's type to I64, toward zero"),
    )
    return tuple(MicroOpcode(name, code, arity, cost, doc) for code, (name, arity, cost, doc) in enumerate(rows))


MICRO_OPCODES = _table()
MICRO_BY_NAME = {opcode.name: opcode for opcode in MICRO_OPCODES}
COMPARISONS = frozenset({"eq", "ne", "lt", "le"})


@dataclass(frozen=True, slots=True)
class MicroOp:
    """`dst = opcode(sources)` computed in `type`; `index` names the constant of a `const`."""

    opcode: str
    type: MicroType
    dst: int
    sources: tuple[int, ...] = ()
    index: int = 0


@dataclass(frozen=True, slots=True)
class Kernel:
    """A micro-kernel. `source_types[i]` is the type source i is converted to on arrival in register i."""

    name: str
    source_types: tuple[MicroType, ...]
    ops: tuple[MicroOp, ...]
    constants: tuple[float | int, ...] = ()
    result: int = 0
