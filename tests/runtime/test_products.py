"""mx.gemm against NumPy in f64 / Python-exact integers, over element types, layouts, batches and modes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.descriptor import Space
from npuisa.errors import NpuError
from npuisa.instructions import AccMode, MxGemm, Operand, SLi

BF16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(np.float32), np.dtype(np.float16), BF16, np.dtype(np.float64)]
INTEGERS = [np.dtype(name) for name in ("i1", "u1", "i2", "u2", "i4")]


def layout(draw: st.DrawFn, dims: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a tensor whose axes lie in any order, with gaps."""
    order = draw(st.permutations(range(len(dims))))
    strides, step = [0] * len(dims), draw(st.integers(1, 2))
    for axis in order:
        strides[axis] = step
        step = step * dims[axis] + draw(st.integers(0, 3))
    return tuple(strides)


@st.composite
def gemms(draw: st.DrawFn):
    batch = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    m, n, k = (draw(st.integers(1, 9)) for _ in range(3))
    shapes = ((*batch, m, n), (*batch, m, k), (*batch, k, n))
    layouts = [layout(draw, shape) for shape in shapes]
    if batch and draw(st.booleans()):
        layouts[2] = (*(0,) * len(batch), *layouts[2][-2:])
    return shapes, layouts, draw(st.sampled_from(AccMode)), draw(st.integers(0, 2**32 - 1))


def values(rng: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, endpoint=True, dtype=dtype)
    return rng.standard_normal(shape).astype(dtype)


def run_gemm(bench, shapes, layouts, mode, seed, a_type, b_type, d_type):
    """The result and its expectation in f64 / int64."""
    rng, machine = np.random.default_rng(seed), bench()
    old, a = values(rng, d_type, shapes[0]), values(rng, a_type, shapes[1])
    b = values(rng, b_type, shapes[2])
    b = np.broadcast_to(b[(0,) * (b.ndim - 2)], b.shape) if 0 in layouts[2][:-2] else b
    dst = machine.place(shapes[0], d_type, space=Space.ACC, data=old, strides=layouts[0])
    left = machine.place(shapes[1], a_type, data=a, strides=layouts[1])
    right = machine.place(shapes[2], b_type, data=b, strides=layouts[2])
    result = machine.run(MxGemm(dst=dst, a=left, b=right, mode=mode), read=dst)
    wide = np.int64 if d_type.kind == "i" else np.float64
    with np.errstate(over="ignore"):
        expected = np.matmul(a.astype(wide), b.astype(wide)) + (old.astype(wide) if mode is AccMode.ADD else 0)
    magnitude = np.matmul(abs(a.astype(np.float64)), abs(b.astype(np.float64))) + abs(old.astype(np.float64))
    return result, expected, magnitude


@settings(max_examples=60, deadline=None)
@given(gemms(), st.sampled_from(FLOATS), st.sampled_from(FLOATS), st.sampled_from([np.dtype("f4"), np.dtype("f8")]))
def test_float_products(bench, case, a_type, b_type, d_type):
    result, expected, magnitude = run_gemm(bench, *case, a_type, b_type, d_type)
    exact = np.dtype("f8") in (a_type, b_type, d_type)
    bound = magnitude * (np.finfo(np.float64).eps * 32 if exact else np.finfo(np.float32).eps * 12)
    bound = bound + abs(expected) * (np.finfo(np.float32).eps if d_type == np.float32 else 0)
    assert result.dtype == d_type
    assert (abs(result.astype(np.float64) - expected) <= bound).all()


@settings(max_examples=60, deadline=None)
@given(gemms(), st.sampled_from(INTEGERS), st.sampled_from(INTEGERS), st.sampled_from([np.dtype("i4"), np.dtype("i8")]))
def test_integer_products_are_exact_and_wrap(bench, case, a_type, b_type, d_type):
    result, expected, _ = run_gemm(bench, *case, a_type, b_type, d_type)
    assert np.array_equal(result, expected.astype(d_type))


@pytest.mark.parametrize(
    ("a_type", "b_type", "k"),
    [("i1", "i1", 2500), ("u1", "i1", 1031), ("u1", "u1", 777), ("i2", "i2", 600), ("i4", "i4", 300)],
)
@pytest.mark.parametrize("mode", [AccMode.SET, AccMode.ADD])
def test_long_integer_sums_are_exact(bench, a_type, b_type, k, mode):
    """The worst operands for a sum in f32: every product has the greatest magnitude, plus noise in one column."""
    machine, rng = bench(), np.random.default_rng(k)
    a = np.full((3, k), np.iinfo(a_type).min or np.iinfo(a_type).max, a_type)
    a[1] = rng.integers(np.iinfo(a_type).min, np.iinfo(a_type).max, k, endpoint=True)
    b = np.full((k, 2), np.iinfo(b_type).min or np.iinfo(b_type).max, b_type)
    b[:, 1] = rng.integers(np.iinfo(b_type).min, np.iinfo(b_type).max, k, endpoint=True)
    old = rng.integers(-1000, 1000, (3, 2)).astype(np.int32)
    dst = machine.place((3, 2), np.int32, space=Space.ACC, data=old)
    left, right = machine.place(a.shape, a_type, data=a), machine.place(b.shape, b_type, data=b)
    result = machine.run(MxGemm(dst=dst, a=left, b=right, mode=mode), read=dst)
    exact = [[sum(int(x) * int(y) for x, y in zip(a[i], b[:, j])) for j in range(2)] for i in range(3)]
    expected = np.array(exact, object) + (old if mode is AccMode.ADD else 0)
    assert np.array_equal(result, ((expected + 2**31) % 2**32 - 2**31).astype(np.int64))


def test_predicated_accumulation_follows_the_register(bench):
    from npuisa.instructions import SLi

    for value, expected in ((0, 6.0), (7, 7.0)):
        machine = bench()
        dst = machine.place((1, 1), "f4", space=Space.ACC, data=np.float32([[1]]))
        a, b = machine.place((1, 1), "f4", data=np.float32([[2]])), machine.place((1, 1), "f4", data=np.float32([[3]]))
        gemm = MxGemm(dst=dst, a=a, b=b, mode=AccMode.ADD_IF, pred=5)
        assert machine.run(SLi(rd=5, value=value), gemm, read=dst).item() == expected


def test_half_precision_specials_reach_the_accumulator(bench):
    machine = bench()
    a = np.array([[np.inf, 1], [np.nan, 1], [6e-8, 0], [-0.0, 65504]], np.float16)
    left, right = machine.place(a.shape, "f2", data=a), machine.place((2, 1), "f2", data=np.float16([[1], [1]]))
    dst = machine.place((4, 1), "f4", space=Space.ACC)
    result = machine.run(MxGemm(dst=dst, a=left, b=right), read=dst).ravel()
    assert result[0] == np.inf and np.isnan(result[1])
    assert result[2] == np.float32(np.float16(6e-8)) and result[3] == 65504


def test_alignment_of_operands(bench):
    machine, rng = bench(), np.random.default_rng(1)
    a, b = rng.standard_normal((4, 6)).astype("f4"), rng.standard_normal((6, 5)).astype("f4")
    dst = machine.place((4, 5), "f4", space=Space.ACC, shift=4)
    left, right = machine.place((4, 6), "f4", data=a, shift=12), machine.place((6, 5), "f4", data=b, shift=8)
    result = machine.run(MxGemm(dst=dst, a=left, b=right), read=dst)
    np.testing.assert_allclose(result, a @ b, rtol=1e-6)
    odd = machine.place((6, 5), "f4", data=b, shift=2)
    with pytest.raises(NpuError, match=r"NPU-E0312: operand b .* is not aligned to its element size of 4 bytes"):
        machine.run(MxGemm(dst=dst, a=left, b=odd), read=dst)
    moved = Operand(right.desc, 1)
    with pytest.raises(NpuError, match=r"NPU-E0404: operand b .*aligned"):
        machine.run(SLi(rd=1, value=2), MxGemm(dst=dst, a=left, b=moved), read=dst)


@pytest.mark.parametrize(
    ("shapes", "types", "message"),
    [
        (((2, 3), (2, 4), (5, 3)), ("f4", "f4", "f4"), "dims must be"),
        (((2, 3), (1, 2, 4), (4, 3)), ("f4", "f4", "f4"), "equal ranks"),
        (((2, 3), (2, 4), (4, 3)), ("f2", "f4", "f4"), "element types"),
        (((2, 3), (2, 4), (4, 3)), ("i4", "i1", "f4"), "element types"),
    ],
)
def test_wrong_operands_are_named(bench, shapes, types, message):
    machine = bench()
    dst, a, b = (
        machine.place(shape, dtype, space=space)
        for shape, dtype, space in zip(shapes, types, (Space.ACC, Space.SRAM, Space.SRAM))
    )
    with pytest.raises(NpuError, match=rf"NPU-E0312: .*{message}[\s\S]*instruction 0 \(mx.gemm\)"):
        machine.run(MxGemm(dst=dst, a=a, b=b), read=dst)
