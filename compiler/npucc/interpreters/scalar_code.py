"""Vectorised evaluation of kernels: arith and math operations on whole arrays instead of scalars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import Block, Operation, SSAValue

from npucc.element_conversion import converted
from npucc.numpy_functions import (
    erf,
    integer_division,
    integer_power,
    power,
    shift_left,
    shift_right,
    shift_right_unsigned,
)
from npucc.types import Array, numpy_dtype

_UNARY: dict[str, Callable[[Array], Array]] = {
    "arith.negf": np.negative,
    "math.absf": np.abs,
    "math.absi": np.abs,
    "math.floor": np.floor,
    "math.ceil": np.ceil,
    "math.roundeven": np.rint,
    "math.sqrt": np.sqrt,
    "math.rsqrt": lambda a: (1 / np.sqrt(a)).astype(a.dtype),
    "math.exp": np.exp,
    "math.log": np.log,
    "math.expm1": np.expm1,
    "math.log1p": np.log1p,
    "math.tanh": np.tanh,
    "math.erf": erf,
    "math.sin": np.sin,
    "math.cos": np.cos,
}
_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "arith.addf": np.add,
    "arith.addi": np.add,
    "arith.subf": np.subtract,
    "arith.subi": np.subtract,
    "arith.mulf": np.multiply,
    "arith.muli": np.multiply,
    "arith.divf": np.divide,
    "arith.divsi": integer_division,
    "tile.remf": np.fmod,
    "arith.remsi": np.fmod,
    "arith.minimumf": np.minimum,
    "arith.maximumf": np.maximum,
    "arith.minsi": np.minimum,
    "arith.maxsi": np.maximum,
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
    "arith.shli": shift_left,
    "arith.shrsi": shift_right,
    "arith.shrui": shift_right_unsigned,
    "math.powf": power,
    "math.ipowi": integer_power,
}
_CONVERSIONS = frozenset(
    f"arith.{name}" for name in ("extf", "truncf", "fptosi", "sitofp", "uitofp", "extsi", "extui", "trunci")
)
_COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def evaluate_body(block: Block, arguments: Sequence[Array]) -> dict[SSAValue, Array]:
    """Values of a kernel's operations for arrays of (mutually broadcastable) arguments."""
    values: dict[SSAValue, Array] = dict(zip(block.args, arguments))
    with np.errstate(all="ignore"):
        for op in block.ops:
            if op.results:
                values[op.results[0]] = _evaluate(op, [values[operand] for operand in op.operands])
    return values


def _evaluate(op: Operation, operands: list[Array]) -> Array:
    dtype = numpy_dtype(op.results[0].type)
    if isinstance(op, arith.ConstantOp):
        assert isinstance(op.value, IntegerAttr | FloatAttr)
        return np.asarray(op.value.value.data).astype(dtype)
    if op.name in _BINARY:
        return _BINARY[op.name](*operands)
    if op.name in _UNARY:
        return _UNARY[op.name](*operands)
    if isinstance(op, arith.SelectOp):
        return np.where(*operands)
    if isinstance(op, arith.CmpiOp):
        predicate = arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data]
        return _COMPARISONS[predicate[-2:]](*operands)
    if isinstance(op, arith.CmpfOp):
        return _compare_floats(arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data], *operands)
    if isinstance(op, math.FmaOp):
        return (operands[0] * operands[1] + operands[2]).astype(dtype)
    if op.name in _CONVERSIONS:
        return converted(operands[0], dtype)
    raise NotImplementedError(f"{op.name} has no evaluation: add it to npucc/interpreters/scalar_code.py")


def _compare_floats(predicate: str, a: Array, b: Array) -> Array:
    """`o..`: both are numbers and it holds; `u..`: one is NaN or it holds."""
    unordered = np.isnan(a) | np.isnan(b)
    if predicate in ("false", "true"):
        return np.full(unordered.shape, predicate == "true")
    if predicate in ("ord", "uno"):
        return unordered == (predicate == "uno")
    holds = _COMPARISONS[predicate[1:]](a, b)
    return holds & ~unordered if predicate[0] == "o" else holds | unordered
