"""NumPy functions of the micro-operations: `fn(*args, out)`, element by element, `out` may be one of the args.

Rounding is IEEE round-to-nearest-even for add, sub, mul, div and sqrt; exp, expm1, log, log1p, tanh, sin, cos and pow
are NumPy's (at most 4 units in the last place), erf see `erf`. Integers wrap; integer division by 0 gives 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from npuisa.dtypes import NARROW_FLOATS
from npuisa.kernel import CONVERSIONS, MicroType

from npusim.semantics.conversion import copy
from npusim.semantics.erf import erf
from npusim.semantics.narrow_types import rounding
from npusim.views import Array

MicroFunction = Callable[..., Any]

_SAME_FOR_ALL: dict[str, MicroFunction] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "neg": np.negative,
    "abs": np.absolute,
    "rem": np.fmod,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


def power(a: Array, b: Array, out: Array) -> None:
    """a ** b as IEEE 754 has it. NumPy takes square roots for a scalar exponent of 0.5: wrong for -inf and -0."""
    as_root = (b == 0.5) & ((a == 0) | np.isneginf(a))
    special = a * a if as_root.any() else None
    np.power(a, b, out=out)
    if special is not None:
        np.copyto(out, special, where=as_root)


_FLOAT: dict[str, MicroFunction] = {
    "div": np.divide,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "pow": power,
    "erf": erf,
}


def micro_function(opcode: str, type_: MicroType) -> MicroFunction:
    """The function of `opcode` on sources of `type_`; KeyError if there is none."""
    if opcode in _ROUNDING:
        return _ROUNDING[opcode]
    if opcode in CONVERSIONS:
        return copy
    if opcode == "select":
        return select
    if opcode in _SAME_FOR_ALL:
        return _SAME_FOR_ALL[opcode]
    table = _FLOAT if type_ in (MicroType.F32, MicroType.F64) else _INTEGER
    return table[opcode]


def select(predicate: Array, b: Array, c: Array, out: Array) -> None:
    """`b` where `predicate` holds, else `c`."""
    chosen = np.where(predicate, b, c)
    np.copyto(out, chosen)


def _identity(a: Array, out: Array) -> None:
    np.copyto(out, a)


def _truncating_divide(a: Array, b: Array, out: Array) -> None:
    """Integer quotient toward zero: (a - a rem b) / b is exact."""
    np.floor_divide(np.subtract(a, np.fmod(a, b)), b, out=out)


def _integer_power(a: Array, b: Array, out: Array) -> None:
    """a ** b with wrap-around; a negative exponent gives the truncated quotient 1 / a ** -b (0 ** -n is 0)."""
    exponent = np.asarray(b)
    magnitude = np.power(a, np.maximum(exponent, 0))
    odd = np.where(np.bitwise_and(exponent, 1) == 1, a, np.ones_like(a))
    reciprocal = np.where(np.absolute(a) == 1, odd, np.zeros_like(a))
    np.copyto(out, np.where(exponent < 0, reciprocal, magnitude))


def _round_f16(a: Array, out: Array) -> None:
    np.copyto(out, a.astype(np.float16))


def _round_bf16(a: Array, out: Array) -> None:
    np.copyto(out, a.astype(ml_dtypes.bfloat16))


def _in_width(a: Array, b: Array) -> Array:
    return (b >= 0) & (b < 8 * a.dtype.itemsize)


def _shift_left(a: Array, b: Array, out: Array) -> None:
    inside = _in_width(a, b)
    np.copyto(out, np.where(inside, np.left_shift(a, np.where(inside, b, 0)), 0))


def _shift_right(a: Array, b: Array, out: Array) -> None:
    """Moving by all bits but one leaves copies of the sign."""
    np.right_shift(a, np.where(_in_width(a, b), b, 8 * a.dtype.itemsize - 1), out=out)


def _shift_right_unsigned(a: Array, b: Array, out: Array) -> None:
    inside = _in_width(a, b)
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    moved = np.right_shift(a.view(unsigned), np.where(inside, b, 0).astype(unsigned))
    np.copyto(out.view(unsigned), np.where(inside, moved, unsigned.type(0)))


_ROUNDING: dict[str, MicroFunction] = {
    "cvt_f16": _round_f16,
    "cvt_bf16": _round_bf16,
    **{f"cvt_{dtype}": rounding(dtype) for dtype in NARROW_FLOATS},
}
_INTEGER: dict[str, MicroFunction] = {
    "div": _truncating_divide,
    "floor": _identity,
    "ceil": _identity,
    "round": _identity,
    "pow": _integer_power,
    "shl": _shift_left,
    "shr": _shift_right,
    "shru": _shift_right_unsigned,
}
