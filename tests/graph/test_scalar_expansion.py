"""The scalar code of every element-wise op, evaluated op by op, equals the op's NumPy semantics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.dialects import graph
from npucc.dialects.graph import ELEMENTWISE_OPS, CastOp, ConstantOp, ElementwiseOp, WhereOp, emit_scalar
from npucc.interpreters.graph import evaluate_op
from npucc.numpy_functions import erf
from npucc.types import BOOL, compute_type, element_type, is_float, numpy_dtype, tensor, type_of
from npuisa.kernel import MAX_MICRO_OPS
from xdsl.builder import Builder
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint

Array = np.ndarray
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arith.addf": np.add, "arith.addi": np.add, "arith.subf": np.subtract, "arith.subi": np.subtract,
    "arith.mulf": np.multiply, "arith.muli": np.multiply, "arith.divf": np.divide, "arith.negf": np.negative,
    "arith.divsi": lambda a, b: np.trunc(a.astype(np.longdouble) / b).astype(a.dtype), "arith.remsi": np.fmod,
    "tile.remf": np.fmod, "arith.minimumf": np.minimum, "arith.minsi": np.minimum, "arith.maximumf": np.maximum,
    "arith.maxsi": np.maximum, "arith.andi": np.bitwise_and, "arith.ori": np.bitwise_or, "arith.xori": np.bitwise_xor,
    "arith.select": np.where, "math.absf": np.abs, "math.absi": np.abs, "math.exp": np.exp, "math.log": np.log,
    "math.expm1": np.expm1, "math.log1p": np.log1p,
    "math.sqrt": np.sqrt, "math.tanh": np.tanh, "math.erf": np.vectorize(math.erf), "math.sin": np.sin,
    "math.cos": np.cos, "math.floor": np.floor, "math.ceil": np.ceil, "math.roundeven": np.rint, "math.powf": np.power,
    "math.ipowi": np.power, "arith.shli": np.left_shift, "arith.shrsi": np.right_shift,
    "arith.shrui": lambda a, b: np.right_shift(a.view(np.uint64), b.view(np.uint64)).view(a.dtype),
}  # fmt: skip
CASTS = {"arith.sitofp", "arith.uitofp", "arith.fptosi", "arith.extf", "arith.truncf", "arith.extsi", "arith.extui",
         "arith.trunci"}  # fmt: skip
PREDICATES = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
              "ge": np.greater_equal}  # fmt: skip
CMPI = ["eq", "ne", "lt", "le", "gt", "ge", "lt", "le", "gt", "ge"]
CMPF = ["", "eq", "gt", "ge", "lt", "le", "", "", "", "", "", "", "", "ne", "", ""]


def scalar_dtype(type_: Attribute) -> np.dtype:
    """NumPy type of a scalar."""
    return np.dtype(bool) if type_ == BOOL else numpy_dtype(type_)


def interpret(op: Operation, values: dict[SSAValue, Array]) -> Array:
    """One scalar op on arrays."""
    args = [values[operand] for operand in op.operands]
    dtype = scalar_dtype(op.results[0].type)
    if isinstance(op, arith.ConstantOp):
        assert isinstance(op.value, FloatAttr | IntegerAttr)
        return np.array(op.value.value.data != 0 if dtype.kind == "b" else op.value.value.data, dtype=dtype)
    if isinstance(op, arith.CmpiOp | arith.CmpfOp):
        table = CMPI if isinstance(op, arith.CmpiOp) else CMPF
        return PREDICATES[table[op.predicate.value.data]](*args)
    if op.name in CASTS:
        return args[0].astype(dtype)
    return FUNCTIONS[op.name](*args).astype(dtype)


def expand(op: ElementwiseOp, arrays: list[Array]) -> Array:
    """The op through its scalar code, with operands converted to the compute type and the result stored."""
    types = [compute_type(type_of(operand).element_type) for operand in op.operands]
    block = Block(arg_types=types)
    result = emit_scalar(op, Builder(InsertPoint.at_end(block)), block.args)
    assert len(block.ops) <= MAX_MICRO_OPS
    assert result.type == compute_type(op.result_type.element_type)
    values: dict[SSAValue, Array] = {
        argument: array.astype(scalar_dtype(type_)) for argument, array, type_ in zip(block.args, arrays, types)
    }
    with np.errstate(all="ignore"):
        for each in block.ops:
            values[each.results[0]] = interpret(each, values)
        stored = np.broadcast_to(values[result], arrays[-1].shape)
        return stored.astype(numpy_dtype(op.result_type.element_type))


def operands(cls: type[ElementwiseOp], element: str, size: int) -> list[ConstantOp]:
    count = 3 if cls is WhereOp else len([o for o in cls.get_irdl_definition().operands])
    kinds = ["bool" if cls is WhereOp and i == 0 else element for i in range(count)]
    return [ConstantOp(f"c{i}", tensor((size,), kind)) for i, kind in enumerate(kinds)]


def make(cls: type[ElementwiseOp], args: list[ConstantOp]) -> ElementwiseOp:
    parameters: dict[str, float] = {}
    if cls in (graph.LeakyReluOp, graph.EluOp):
        parameters = {"alpha": 0.3}
    if cls is graph.ClipOp:
        parameters = {"min": -1.0, "max": 3.0}
    return cls(*args, **parameters)  # pyright: ignore[reportCallIssue]


FLOATS = ("f32", "f16", "bf16", "f64")
INTEGERS = ("i8", "u8", "i32", "i64", "u16", "u64")
OPS = [op for op in ELEMENTWISE_OPS if op is not CastOp]


def accepted(cls: type[ElementwiseOp]) -> list[str]:
    names = {
        "float": FLOATS,
        "number": (*FLOATS, *INTEGERS),
        "integer": (*INTEGERS, "i4", "u2"),
        "logic": (*INTEGERS, "bool"),
    }
    return list(names.get(cls.ACCEPTS, (*FLOATS, *INTEGERS, "bool")))


def draw(rng: np.random.Generator, element: str, size: int) -> Array:
    if element == "bool":
        return rng.integers(0, 2, size).astype(bool)
    if is_float(element_type(element)):
        special = rng.choice([0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 20.0, np.inf, -np.inf, np.nan], size)
        return np.where(rng.random(size) < 0.3, special, rng.normal(scale=3, size=size)).astype(
            numpy_dtype(element_type(element))
        )
    low = 0 if element.startswith("u") else -9
    return rng.integers(low, 10, size).astype(numpy_dtype(element_type(element)))


@pytest.mark.parametrize("cls", OPS, ids=lambda cls: cls.name)
def test_scalar_code_equals_numpy(cls: type[ElementwiseOp]) -> None:
    for seed, element in enumerate(accepted(cls)):
        rng = np.random.default_rng(seed)
        args = operands(cls, element, 200)
        arrays = [draw(rng, "bool" if a.result.type.element_type == BOOL else element, 200) for a in args]
        if cls in (graph.DivOp, graph.RemOp, graph.ModOp) and element in INTEGERS:
            arrays[1] = np.where(arrays[1] == 0, 1, arrays[1]).astype(arrays[1].dtype)
        if cls is graph.PowOp and element in INTEGERS:
            arrays = [np.abs(a) % 4 for a in arrays]
        op = make(cls, args)
        expected, found = evaluate_op(op, arrays), expand(op, arrays)
        assert expected.dtype == found.dtype == numpy_dtype(op.result_type.element_type)
        rtol = 0 if not is_float(op.result_type.element_type) else 1e-12 if element == "f64" else 1e-6
        rtol = 2e-2 if element == "bf16" else 2e-3 if element == "f16" else rtol
        wide = np.float64 if rtol else np.int64 if expected.dtype.itemsize == 1 else expected.dtype
        np.testing.assert_allclose(found.astype(wide), expected.astype(wide), rtol=rtol, atol=1e-6, equal_nan=True)


NAMES = (*FLOATS, *INTEGERS, "i16", "u32", "bool")


@pytest.mark.parametrize("source", NAMES)
def test_casts(source: str) -> None:
    """Float to integer within the range; between integers any value wraps."""
    for target in NAMES:
        from_float = is_float(element_type(source)) and not is_float(element_type(target))
        x = ConstantOp("c", tensor((64,), source))
        array = draw(np.random.default_rng(1), source, 64)
        if from_float:
            array = np.nan_to_num(array.astype(np.float64), nan=3, posinf=7, neginf=0)
            array = np.abs(array).astype(numpy_dtype(element_type(source)))
        elif isinstance(element_type(source), IntegerType) and source not in ("bool", "u32"):
            info = np.iinfo(array.dtype)
            array = np.random.default_rng(2).integers(info.min, info.max, 64, dtype=array.dtype, endpoint=True)
        op = CastOp(x, target)
        found, expected = expand(op, [array]), evaluate_op(op, [array])
        wide = np.float64 if is_float(element_type(target)) else found.dtype
        np.testing.assert_array_equal(found.astype(wide), expected.astype(wide), err_msg=f"{source} -> {target}")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_erf(values: list[float]) -> None:
    found = erf(np.array(values))
    np.testing.assert_allclose(found, [math.erf(v) for v in values], rtol=1e-14, atol=1e-300)


@settings(max_examples=60, deadline=None)
@given(st.integers(-100, 100), st.integers(-20, 20).filter(bool))
def test_mod_has_the_sign_of_the_divisor(a: int, b: int) -> None:
    args = operands(graph.ModOp, "i32", 1)
    found = expand(make(graph.ModOp, args), [np.array([a], np.int32), np.array([b], np.int32)])
    assert found[0] == a % b
    assert expand(make(graph.RemOp, args), [np.array([a], np.int32), np.array([b], np.int32)])[0] == math.fmod(a, b)


U64 = st.one_of(st.integers(0, 70), st.integers(0, 2**64 - 1), st.integers(2**62 - 1, 2**62 + 66))


@settings(max_examples=200, deadline=None)
@given(U64, U64)
def test_powers_of_unsigned_64_bit_numbers_wrap(a: int, b: int) -> None:
    args = operands(graph.PowOp, "u64", 1)
    found = expand(make(graph.PowOp, args), [np.array([a], np.uint64), np.array([b], np.uint64)])
    assert int(found[0]) == pow(a, b, 2**64)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["i8", "u8", "i16", "u32", "i64", "u64", "i4"]), st.data())
def test_shifts(element: str, data: st.DataObject) -> None:
    """As ONNX's BitShift says, in Python's integers."""
    bits, signed = int(element[1:]), element.startswith("i")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    a = data.draw(st.integers(low, high))
    b = data.draw(st.one_of(st.integers(max(low, -3), min(high, bits + 3)), st.integers(low, high)))
    arrays = [np.array([value]).astype(numpy_dtype(element_type(element))) for value in (a, b)]
    inside = 0 <= b < bits
    left = (a << b if inside else 0) & ((1 << bits) - 1)
    expected = {
        graph.ShiftLeftOp: left - (1 << bits) if signed and left >> (bits - 1) else left,
        graph.ShiftRightOp: a >> (b if inside else bits),
    }
    for cls, number in expected.items():
        op = make(cls, operands(cls, element, 1))
        assert int(expand(op, arrays)[0]) == int(evaluate_op(op, arrays)[0]) == number, cls.name
