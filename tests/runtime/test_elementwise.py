"""out.store and v.map: every micro-operation against an independent reference, layouts, blocks, conversions, errors."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.descriptor import Space
from npuisa.errors import NpuError
from npuisa.instructions import NO_OPERAND, OutStore, VMap
from npuisa.kernel import CONVERSIONS, MICRO_OPCODES, Kernel, MicroOp, MicroType
from npusim.semantics import elementwise

F32, F64, I32, I64, PRED = MicroType
NUMPY = {F32: np.float32, F64: np.float64, I32: np.int32, I64: np.int64, PRED: np.bool_}


def wrap(value: int, bits: int) -> int:
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def integer_pow(a: int, b: int) -> int:
    if b >= 0:
        return a**b
    return {1: 1, -1: -1 if b % 2 else 1}.get(a, 0)


def integer_div(a: int, b: int) -> int:
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


REFERENCE = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "fma": lambda a, b, c: a * b + c,
    "div": lambda a, b: a / b,
    "rem": math.fmod,
    "min": lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else min(a, b),
    "max": lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else max(a, b),
    "neg": lambda a: -a,
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "sqrt": lambda a: math.sqrt(abs(a)),
    "exp": math.exp,
    "expm1": math.expm1,
    "log": lambda a: math.log(abs(a)),
    "log1p": lambda a: math.log1p(abs(a)),
    "tanh": math.tanh,
    "erf": math.erf,
    "sin": math.sin,
    "cos": math.cos,
    "pow": lambda a, b: abs(a) ** b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "select": lambda p, b, c: b if p else c,
}
INTEGER_REFERENCE = REFERENCE | {
    "div": integer_div,
    "rem": lambda a, b: 0 if b == 0 else a - b * integer_div(a, b),
    "min": min,
    "max": max,
    "pow": integer_pow,
    "floor": lambda a: a,
    "ceil": lambda a: a,
    "round": lambda a: a,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}
POSITIVE = {"sqrt", "log", "log1p", "pow"}
FLOAT_ONLY = {"sqrt", "exp", "expm1", "log", "log1p", "tanh", "erf", "sin", "cos"}
SPECIAL = {"const", "mov", "shl", "shr", "shru", *CONVERSIONS}


def apply(bench, kernel: Kernel, arrays: list[np.ndarray], out_type, **options) -> np.ndarray:
    """Run `kernel` with v.map over dense operands."""
    machine = bench(kernels=[kernel])
    dst = machine.place(arrays[0].shape, out_type)
    sources = [machine.place(array.shape, array.dtype, data=array, **options) for array in arrays]
    named = {f"s{i}": operand for i, operand in enumerate(sources)}
    return machine.run(VMap(dst=dst, kernel=0, **named), read=dst)


def cases():
    for opcode in MICRO_OPCODES:
        if opcode.name in SPECIAL:
            continue
        if opcode.name not in ("and", "or", "xor"):
            yield from ((opcode, F32), (opcode, F64))
        if opcode.name not in FLOAT_ONLY:
            yield from ((opcode, I32), (opcode, I64))


@pytest.mark.parametrize(("opcode", "type_"), cases(), ids=lambda item: getattr(item, "name", str(item)))
def test_every_micro_operation(bench, opcode, type_):
    rng, count = np.random.default_rng(opcode.code), 500
    is_float = type_ in (F32, F64)
    if is_float:
        arrays = [rng.standard_normal(count).astype(NUMPY[type_]) * 3 for _ in range(opcode.arity)]
        arrays = [abs(array) if opcode.name in POSITIVE else array for array in arrays]
    else:
        high = 7 if opcode.name == "pow" else 2**31 - 1
        arrays = [rng.integers(-high, high, count).astype(NUMPY[type_]) for _ in range(opcode.arity)]
        arrays[0][:3] = 0, 1, -1
        arrays[-1][3:6] = 0, 1, -1
    types = [type_] * opcode.arity
    if opcode.name == "select":
        arrays[0], types[0] = rng.random(count) < 0.5, PRED
    result_type = np.bool_ if opcode.name in ("eq", "ne", "lt", "le") else NUMPY[type_]
    kernel = Kernel("k", tuple(types), (MicroOp(opcode.name, type_, 9, tuple(range(opcode.arity))),), (), 9)
    result = apply(bench, kernel, arrays, result_type)
    table = REFERENCE if is_float else INTEGER_REFERENCE
    expected = [table[opcode.name](*(item.item() for item in row)) for row in zip(*arrays)]
    if is_float:
        tolerance = 4 * np.finfo(NUMPY[type_]).eps
        np.testing.assert_allclose(result, np.array(expected, np.float64), rtol=tolerance, atol=tolerance)
    else:
        bits = 8 * np.dtype(NUMPY[type_]).itemsize
        assert result.tolist() == [item if isinstance(item, bool) else wrap(item, bits) for item in expected]


@pytest.mark.parametrize("narrow", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("type_", [F32, F64])
def test_rounding_to_16_bits(bench, narrow, type_):
    x = np.random.default_rng(0).standard_normal(500).astype(NUMPY[type_])
    x[:6] = 1e6, 70000, 1e-9, 1 + 2.0**-11, 1 + 2.0**-11 + 2.0**-23, np.nan
    opcode = {np.float16: "cvt_f16"}.get(narrow, "cvt_bf16")
    kernel = Kernel("k", (type_,), (MicroOp(opcode, type_, 1, (0,)),), (), 1)
    with np.errstate(over="ignore"):
        expected = x.astype(narrow).astype(np.float32)
    np.testing.assert_array_equal(apply(bench, kernel, [x], np.float32), expected)


def test_the_micro_operation_cases_are_complete():
    covered = {opcode.name for opcode, _ in cases()} | SPECIAL
    assert covered == {opcode.name for opcode in MICRO_OPCODES}


@pytest.mark.parametrize("logic", ["and", "or", "xor"])
def test_predicate_logic(bench, logic):
    a, b = np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool)
    result = apply(bench, Kernel("k", (PRED, PRED), (MicroOp(logic, PRED, 0, (0, 1)),)), [a, b], np.bool_)
    assert result.tolist() == [INTEGER_REFERENCE[logic](x, y) for x, y in zip(a.tolist(), b.tolist())]


@pytest.mark.parametrize("target", [F32, F64, I32, I64])
@pytest.mark.parametrize("source", [F32, F64, I32, I64, PRED])
def test_conversions_between_compute_types(bench, source, target):
    values = np.array([0, 1, 0.9, -0.9, -1.5, 7.5, 123456.7, -3])
    values = (values > 0) if source is PRED else values.astype(NUMPY[source])
    kernel = Kernel("k", (source,), (MicroOp(f"cvt_{target.name.lower()}", source, 1, (0,)),), (), 1)
    result = apply(bench, kernel, [values], NUMPY[target])
    expected = [float(item) for item in values.tolist()]
    expected = [math.trunc(item) for item in expected] if target in (I32, I64) else expected
    assert result.tolist() == [NUMPY[target](item) for item in expected]


def test_specials_follow_ieee(bench):
    a = np.array([np.nan, 1, np.inf, -np.inf, 0, -0.0, 0], np.float32)
    b = np.array([1, np.nan, -np.inf, -np.inf, 0, 1, -1], np.float32)

    def run(opcode):
        return apply(bench, Kernel("k", (F32, F32), (MicroOp(opcode, F32, 0, (0, 1)),)), [a, b], np.float32)

    with np.errstate(all="ignore"):
        for opcode, function in (("add", np.add), ("div", np.divide), ("min", np.minimum), ("max", np.maximum)):
            np.testing.assert_array_equal(run(opcode), function(a, b), opcode)


def test_relu_with_a_constant_keeps_nan_and_infinity(bench):
    kernel = Kernel("relu", (F32,), (MicroOp("const", F32, 1), MicroOp("max", F32, 2, (0, 1))), (0.0,), 2)
    result = apply(bench, kernel, [np.array([-1, 2, np.nan, np.inf, -np.inf], np.float32)], np.float32)
    np.testing.assert_array_equal(result, [0, 2, np.nan, np.inf, 0])


def test_the_sign_of_a_zero_constant_counts(bench):
    for constant in (0.0, -0.0, 0.0):
        kernel = Kernel("zero", (), (MicroOp("const", F32, 0),), (constant,))
        machine = bench(kernels=[kernel])
        dst = machine.place((7,), np.float32)
        assert np.signbit(machine.run(VMap(dst=dst, kernel=0), read=dst)).all() == (math.copysign(1, constant) < 0)


def gelu_kernel() -> Kernel:
    """x * 0.5 * (1 + erf(x / sqrt 2)) after adding a bias and before adding a residual."""
    ops = (
        MicroOp("add", F32, 3, (0, 1)),
        MicroOp("const", F32, 4, (), 0),
        MicroOp("mul", F32, 5, (3, 4)),
        MicroOp("erf", F32, 5, (5,)),
        MicroOp("const", F32, 6, (), 1),
        MicroOp("fma", F32, 5, (5, 6, 6)),
        MicroOp("mul", F32, 5, (5, 3)),
        MicroOp("add", F32, 7, (5, 2)),
    )
    return Kernel("gelu", (F32, F32, F32), ops, (1 / math.sqrt(2), 0.5), 7)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 17)),
    st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16]),
    st.sampled_from([(2, 1, 0), (0, 1, 2), (1, 0, 2)]),
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
)
def test_out_store_of_a_fused_kernel(bench, dims, dtype, order, gap, seed):
    """Accumulator and broadcast bias in, residual in another layout, converted result in strided memory."""
    rng, machine = np.random.default_rng(seed), bench(kernels=[gelu_kernel()])
    acc = rng.standard_normal(dims).astype(np.float32) * 2
    bias, residual = rng.standard_normal(dims[2:]).astype(dtype), rng.standard_normal(dims).astype(dtype)
    strides, step = [0, 0, 0], 1
    for axis in order:
        strides[axis] = step
        step = step * dims[axis] + gap
    block = elementwise.BLOCK_ELEMENTS
    try:
        elementwise.BLOCK_ELEMENTS = 64
        s1 = machine.place(dims, dtype, data=np.broadcast_to(bias, dims), strides=(0, 0, 1))
        instruction = OutStore(
            dst=(dst := machine.place(dims, dtype, strides=tuple(strides))),
            kernel=0,
            acc=machine.place(dims, np.float32, space=Space.ACC, data=acc),
            s1=s1,
            s2=machine.place(dims, dtype, data=residual),
        )
        result = machine.run(instruction, read=dst)
    finally:
        elementwise.BLOCK_ELEMENTS = block
    x = acc.astype(np.float64) + bias.astype(np.float64)
    erf = np.vectorize(math.erf)(x / math.sqrt(2))
    expected = x * 0.5 * (1 + erf) + residual.astype(np.float64)
    tolerance = 4 * float(ml_dtypes.finfo(dtype).eps)
    np.testing.assert_allclose(result.astype(np.float64), expected, rtol=tolerance, atol=tolerance)


def test_a_kernel_may_overwrite_its_source(bench):
    kernel = Kernel("double", (F32, F32), (MicroOp("add", F32, 2, (0, 0)), MicroOp("sub", F32, 0, (2, 1))), (), 0)
    machine = bench(kernels=[kernel])
    x = np.arange(50000, dtype=np.float32).reshape(50, 1000)
    operand = machine.place(x.shape, np.float32, data=x)
    assert np.array_equal(machine.run(VMap(dst=operand, kernel=0, s0=operand, s1=operand), read=operand), x)


def test_copy_and_constant_kernels(bench):
    x = np.array([[1.6, -2.6, 300.2]], np.float32)
    assert apply(bench, Kernel("copy", (F32,), (MicroOp("mov", F32, 3, (0,)),), (), 3), [x], np.int16).tolist() == [
        [1, -2, 300]
    ]
    constant = Kernel("five", (), (MicroOp("const", I32, 3),), (5,), 3)
    machine = bench(kernels=[constant])
    dst = machine.place((2, 3), np.uint8)
    assert machine.run(VMap(dst=dst, kernel=0), read=dst).tolist() == [[5] * 3] * 2


def test_source_types_convert_on_arrival(bench):
    x = np.array([0, 1, 200, 255], np.uint8)
    kernel = Kernel("dequantise", (F32,), (MicroOp("const", F32, 1), MicroOp("mul", F32, 2, (0, 1))), (0.5,), 2)
    assert apply(bench, kernel, [x], np.float32).tolist() == [0, 0.5, 100, 127.5]


def test_rounding_to_integers_is_half_to_even_with_round(bench):
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
    kernel = Kernel("quantise", (F32,), (MicroOp("round", F32, 1, (0,)),), (), 1)
    assert apply(bench, kernel, [x], np.int8).tolist() == [0, 2, 2, 0, -2]


def test_rank_zero_and_empty_operands(bench):
    kernel = Kernel("neg", (F32,), (MicroOp("neg", F32, 0, (0,)),))
    assert apply(bench, kernel, [np.float32(3).reshape(())], np.float32).item() == -3
    assert apply(bench, kernel, [np.zeros((3, 0, 2), np.float32)], np.float32).shape == (3, 0, 2)


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ((MicroOp("add", F32, 1, (0, 8)),), "micro-operation 0: add reads a register that nothing has written"),
        ((MicroOp("add", I32, 1, (0, 0)),), "micro-operation 0: add reads i32 from a register that holds another"),
        ((MicroOp("and", F32, 1, (0, 0)),), "micro-operation 0: and does not exist in f32"),
        ((MicroOp("exp", I32, 1, (0,)),), "micro-operation 0: exp does not exist in i32"),
        ((MicroOp("const", F32, 1, (), 3),), "micro-operation 0: the kernel has 0 constants"),
        ((MicroOp("add", F32, 1, (0,)),), "micro-operation 0: add takes 2 sources"),
        ((MicroOp("neg", F32, 2, (0,)),), "the result register is never written"),
    ],
)
def test_broken_kernels_are_named(bench, ops, message):
    with pytest.raises(NpuError, match=rf"NPU-E0308: kernel broken.*{message}"):
        apply(bench, Kernel("broken", (F32,), ops, (), 1), [np.zeros(4, np.float32)], np.float32)


def test_wrong_sources_are_named(bench):
    machine = bench(kernels=[Kernel("neg", (F32,), (MicroOp("neg", F32, 0, (0,)),))])
    dst, wide, narrow = (machine.place((size,), np.float32) for size in (4, 4, 3))
    broadcast = machine.place((4,), np.float32, strides=(0,))
    for operands, message in (
        ({"dst": dst, "s0": narrow}, "dims of dst"),
        ({"dst": dst}, "takes 1 sources"),
        ({"dst": dst, "s0": wide, "s1": wide}, "takes 1 sources"),
        ({"dst": dst, "s0": NO_OPERAND, "s1": wide}, "takes 1 sources"),
        ({"dst": broadcast, "s0": wide}, "several elements in the same place"),
    ):
        with pytest.raises(NpuError, match=f"NPU-E0312: .*{message}"):
            machine.run(VMap(kernel=0, **operands), read=dst)


def ulps(result: np.ndarray, exact: list[float]) -> np.ndarray:
    reference = np.array(exact, np.float64)
    unit = np.spacing(abs(reference.astype(result.dtype))).astype(np.float64)
    return abs(result.astype(np.float64) - reference) / unit


@pytest.mark.parametrize(("type_", "limit"), [(F32, 0.6), (F64, 2)])
def test_erf_accuracy(bench, type_, limit):
    rng = np.random.default_rng(0)
    borders = [0.84375, 1.25, 1 / 0.35, 3.93, 6]
    x = np.concatenate([rng.uniform(-6, 6, 20000), rng.standard_normal(5000) * 1e-3, borders])
    x = x.astype(NUMPY[type_])
    result = apply(bench, Kernel("erf", (type_,), (MicroOp("erf", type_, 0, (0,)),)), [x], NUMPY[type_])
    assert ulps(result, [math.erf(item) for item in x.tolist()]).max() <= limit
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], NUMPY[type_])
    result = apply(bench, Kernel("erf", (type_,), (MicroOp("erf", type_, 0, (0,)),)), [special], NUMPY[type_])
    np.testing.assert_array_equal(result, [1, -1, np.nan, 0, -0.0])
    assert np.signbit(result[4])
