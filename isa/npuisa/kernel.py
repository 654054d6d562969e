"""Element-wise micro-kernels: short straight-line programs over 16 vector registers.

A kernel computes one output element from up to four source elements. Sources `s0..s3` arrive in registers
`v0..v3`, converted to the type of the kernel's `source_types`; the value of `result` is converted to the
destination's type (round to nearest even; to an integer: truncate toward zero, out of range is undefined; integers
keep their low bits). Floats of 8 bits and less arrive as f32; beyond their range lies infinity or, if they have none,
NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from npuisa.dtypes import NARROW_FLOATS

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


FLOATS = frozenset({MicroType.F32, MicroType.F64})
INTEGERS = frozenset({MicroType.I32, MicroType.I64})
NUMBERS = FLOATS | INTEGERS
BITS = INTEGERS | {MicroType.PRED}
ANY = frozenset(MicroType)


@dataclass(frozen=True)
class MicroOpcode:
    """One micro-operation: `name`, 7-bit `code`, number of register sources, types in which it exists, cost
    class, meaning."""

    name: str
    code: int
    arity: int
    types: frozenset[MicroType]
    cost: MicroClass
    doc: str


def _table() -> tuple[MicroOpcode, ...]:
    alu, div, special = MicroClass.ALU, MicroClass.DIV, MicroClass.TRANSCENDENTAL
    rows = (
        ("const", 0, ANY, alu, "d = constant[index]"),
        ("mov", 1, ANY, alu, "d = a"),
        ("add", 2, NUMBERS, alu, "d = a + b"),
        ("sub", 2, NUMBERS, alu, "d = a - b"),
        ("mul", 2, NUMBERS, alu, "d = a * b"),
        ("fma", 3, NUMBERS, alu, "d = a * b + c, rounded after the product and after the sum"),
        ("div", 2, NUMBERS, div, "d = a / b; integers truncate toward zero"),
        ("rem", 2, NUMBERS, div, "remainder with the sign of the dividend"),
        ("min", 2, NUMBERS, alu, "smaller of a and b; NaN if either is"),
        ("max", 2, NUMBERS, alu, "greater of a and b; NaN if either is"),
        ("neg", 1, NUMBERS, alu, "d = -a"),
        ("abs", 1, NUMBERS, alu, "d = |a|"),
        ("floor", 1, NUMBERS, alu, "largest integer <= a"),
        ("ceil", 1, NUMBERS, alu, "smallest integer >= a"),
        ("round", 1, NUMBERS, alu, "nearest integer, halves to even"),
        ("sqrt", 1, FLOATS, div, "square root"),
        ("exp", 1, FLOATS, special, "e ** a"),
        ("log", 1, FLOATS, special, "natural logarithm"),
        ("tanh", 1, FLOATS, special, "hyperbolic tangent"),
        ("erf", 1, FLOATS, special, "error function"),
        ("sin", 1, FLOATS, special, "sine of radians"),
        ("cos", 1, FLOATS, special, "cosine of radians"),
        ("pow", 2, NUMBERS, special, "a ** b"),
        ("eq", 2, ANY, alu, "PRED: a == b (type of the sources)"),
        ("ne", 2, ANY, alu, "PRED: a != b"),
        ("lt", 2, NUMBERS, alu, "PRED: a < b"),
        ("le", 2, NUMBERS, alu, "PRED: a <= b"),
        ("select", 3, ANY, alu, "d = b where PRED a holds, else c"),
        ("and", 2, BITS, alu, "bitwise (integers) or logical (PRED) and"),
        ("or", 2, BITS, alu, "bitwise or logical or"),
        ("xor", 2, BITS, alu, "bitwise or logical exclusive or"),
        ("cvt_f32", 1, ANY, alu, "convert from the op's type to F32"),
        ("cvt_f64", 1, ANY, alu, "convert from the op's type to F64"),
        ("cvt_i32", 1, ANY, alu, "convert from the op's type to I32, toward zero"),
        ("cvt_i64", 1, ANY, alu, "convert from the op's type to I64, toward zero"),
        ("cvt_f16", 1, FLOATS, alu, "d = the nearest value of f16 (ties to even, beyond its range infinite), as F32"),
        ("cvt_bf16", 1, FLOATS, alu, "d = the nearest value of bf16 (ties to even), as F32"),
        ("expm1", 1, FLOATS, special, "e ** a - 1, precise near 0"),
        ("log1p", 1, FLOATS, special, "natural logarithm of 1 + a, precise near 0"),
        *((f"cvt_{t}", 1, FLOATS, alu, f"d = the value as which {t} stores a, as F32") for t in NARROW_FLOATS),
        ("shl", 2, INTEGERS, alu, "bits of a moved up by b; 0 where b is negative or not below the width"),
        ("shr", 2, INTEGERS, alu, "bits of a moved down by b, copies of the sign behind (all of them for such a b)"),
        ("shru", 2, INTEGERS, alu, "bits of a moved down by b, zeros behind; 0 for such a b"),
    )
    return tuple(MicroOpcode(row[0], code, *row[1:]) for code, row in enumerate(rows))


MICRO_OPCODES = _table()
MICRO_BY_NAME = {opcode.name: opcode for opcode in MICRO_OPCODES}
COMPARISONS = frozenset({"eq", "ne", "lt", "le"})
CONVERSIONS = {f"cvt_{kind.name.lower()}": kind for kind in (*sorted(FLOATS), *sorted(INTEGERS))} | {
    "cvt_f16": MicroType.F32,
    "cvt_bf16": MicroType.F32,
    **{f"cvt_{dtype}": MicroType.F32 for dtype in NARROW_FLOATS},
}
"""Type of the result of each conversion."""


@dataclass(frozen=True, slots=True)
class MicroOp:
    """`dst = opcode(sources)` computed in `type`; `index` names the constant of a `const`."""

    opcode: str
    type: MicroType
    dst: int
    sources: tuple[int, ...] = ()
    index: int = 0


def operand_types(op: MicroOp) -> tuple[MicroType, ...]:
    """Types that the sources of `op` must have: its own, but PRED for the condition of a `select`."""
    if op.opcode == "select":
        return MicroType.PRED, op.type, op.type
    return (op.type,) * len(op.sources)


def result_type(op: MicroOp) -> MicroType:
    """Type of the value that `op` writes."""
    if op.opcode in COMPARISONS:
        return MicroType.PRED
    return CONVERSIONS.get(op.opcode, op.type)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A micro-kernel. `source_types[i]` is the type source i is converted to on arrival in register i."""

    name: str
    source_types: tuple[MicroType, ...]
    ops: tuple[MicroOp, ...]
    constants: tuple[float | int, ...] = ()
    result: int = 0
