"""Floats of 8 bits and less and integers of less than 8: every conversion against ml_dtypes, bit for bit."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from npuisa.dtypes import DTYPES, NARROW_FLOATS, SUB_BYTE_INTEGERS, dtype_named
from npuisa.instructions import DmaCopy, DmaFill, Engine, VMap
from npuisa.kernel import Kernel, MicroOp, MicroType
from npusim.semantics.conversion import converter
from npusim.semantics.narrow_types import decoding, encoding

CODES = np.arange(256, dtype=np.uint8)
HALVES = np.arange(65536, dtype=np.uint16)
FLOATS = [dtype for dtype in NARROW_FLOATS if dtype.name != "f8e8m0"]
NUMPY = {MicroType.F32: np.float32, MicroType.F64: np.float64, MicroType.I32: np.int32, MicroType.I64: np.int64}
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def legal(dtype) -> np.ndarray:
    """Every value of a narrow type."""
    return CODES[: 1 << dtype.bits].view(dtype.numpy)


def convert(source: np.ndarray, target) -> np.ndarray:
    out = (
        np.full(source.shape, 0xFF, np.uint8).view(target)
        if np.dtype(target).itemsize == 1
        else np.empty(source.shape, target)
    )
    converter(source.dtype, np.dtype(target))(source, out)
    return out


def edges(dtype) -> np.ndarray:
    """f64: every value of the type, the ties between neighbours and the f32 and f64 on either side of both."""
    values = legal(dtype).astype(np.float64)
    exact = np.unique(values[np.isfinite(values)])
    points = np.concatenate([exact, (exact[:-1] + exact[1:]) / 2, exact[-1:] * 2, exact[-1:] * 1.0625])
    near = [points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf)]
    single = points.astype(np.float32)
    near += [np.nextafter(single, np.float32(to)).astype(np.float64) for to in (np.inf, -np.inf)]
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e300, -1e300, 5e-324, 1e-45])
    return np.concatenate([*near, special])


@pytest.mark.parametrize("dtype", NARROW_FLOATS, ids=str)
def test_every_byte_means_the_number_of_ml_dtypes(dtype):
    expected = legal(dtype).astype(np.float32)
    found = decoding(dtype)[: len(expected)]
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("dtype", (*NARROW_FLOATS, *SUB_BYTE_INTEGERS), ids=str)
def test_bits_above_a_narrow_value_are_ignored(dtype):
    np.testing.assert_array_equal(decoding(dtype), np.resize(decoding(dtype)[: 1 << dtype.bits], 256))


@pytest.mark.parametrize("source", [np.float16, ml_dtypes.bfloat16, "edges f32", "random f32"], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rounding_is_that_of_ml_dtypes(dtype, source):
    if source == "random f32":
        values = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    elif isinstance(source, str):
        values = edges(dtype).astype(np.float32 if source.endswith("32") else np.float64)
    else:
        values = HALVES.view(source)
    np.testing.assert_array_equal(
        convert(values, dtype.numpy).view(np.uint8), values.astype(dtype.numpy).view(np.uint8)
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rounding_is_to_the_nearest_value_ties_to_even(dtype):
    """By exact arithmetic instead of another implementation: no value of the type is nearer."""
    values = edges(dtype)
    values = values[np.isfinite(values)]
    stored = convert(values, dtype.numpy)
    result = stored.astype(np.float64)
    finite = np.isfinite(result)
    numbers = np.unique(legal(dtype).astype(np.float64)[np.isfinite(legal(dtype).astype(np.float64))])
    for value, rounded, code in zip(values[finite], result[finite], stored.view(np.uint8)[finite]):
        error = abs(Fraction(value) - Fraction(rounded))
        position = np.searchsorted(numbers, value)
        for other in numbers[max(position - 1, 0) : position + 1]:
            gap = abs(Fraction(value) - Fraction(other))
            assert error < gap or other == rounded or (error == gap and code % 2 == 0), (value, rounded, other)


@pytest.mark.parametrize("source", [np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_integers_become_the_nearest_float(dtype, source):
    values = np.arange(-70000, 70000).astype(source)
    expected = values.astype(np.float64).astype(dtype.numpy)
    np.testing.assert_array_equal(convert(values, dtype.numpy).view(np.uint8), expected.view(np.uint8))


def test_powers_of_two():
    """f8e8m0 has no sign and no zero."""
    dtype = dtype_named("f8e8m0")
    least, greatest = 2.0**-127, 2.0**127
    values = np.array([1, 1.4999, 1.5, 3, 2.9999, least, least * 1.49, least / 8, greatest, greatest * 1.49, 0.75])
    expected = np.array([1, 1, 2, 4, 2, least, least, least, greatest, greatest, 1])
    np.testing.assert_array_equal(convert(values, dtype.numpy).astype(np.float64), expected)
    none = np.array([0.0, -0.0, -1.0, np.inf, -np.inf, np.nan, greatest * 1.5])
    assert np.all(convert(none, dtype.numpy).view(np.uint8) == 0xFF)
    exact = encoding(dtype)[(decoding(dtype)[:255].view(np.uint32) >> 16)]
    np.testing.assert_array_equal(exact, np.arange(255))


@pytest.mark.parametrize("dtype", SUB_BYTE_INTEGERS, ids=str)
def test_narrow_integers_wrap_and_floats_truncate(dtype):
    for source in (np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64):
        values = np.arange(-300, 300).astype(source)
        expected = (values.astype(object) % (1 << dtype.bits)).astype(np.uint8)
        np.testing.assert_array_equal(convert(values, dtype.numpy).view(np.uint8), expected)
    values = np.linspace(-9, 17, 521, dtype=np.float32)
    np.testing.assert_array_equal(convert(values, dtype.numpy), np.trunc(values).astype(np.int64).astype(dtype.numpy))


@pytest.mark.parametrize("source", (*NARROW_FLOATS, *SUB_BYTE_INTEGERS), ids=str)
def test_every_value_to_every_type(source):
    """Exact where the target holds the number; else as the number itself would be stored."""
    numbers = legal(source).astype(np.float64)
    for target in DTYPES:
        finite = numbers[np.isfinite(numbers)] if not target.is_float else numbers
        values = legal(source)[np.isfinite(numbers)] if not target.is_float else legal(source)
        if target.numpy.kind in "iu":
            inside = (finite >= np.iinfo(target.numpy).min) & (finite <= np.iinfo(target.numpy).max)
            finite, values = finite[inside], values[inside]
        if target in SUB_BYTE_INTEGERS:
            finite, values = finite[np.abs(finite) < 2**31], values[np.abs(finite) < 2**31]
        found = convert(values, target.numpy)
        expected = convert(finite, target.numpy)
        assert found.tobytes() == expected.tobytes() or np.array_equal(
            found.astype(np.float64), expected.astype(np.float64), equal_nan=True
        ), target


@pytest.mark.parametrize("dtype", NARROW_FLOATS, ids=str)
@pytest.mark.parametrize("type_", [MicroType.F32, MicroType.F64], ids=str)
def test_rounding_inside_a_kernel_is_that_of_the_store(bench, dtype, type_):
    x = edges(dtype).astype(NUMPY[type_])
    kernel = Kernel("k", (type_,), (MicroOp(f"cvt_{dtype}", type_, 1, (0,)),), (), 1)
    machine = bench(kernels=[kernel])
    dst = machine.place(x.shape, np.float32)
    result = machine.run(VMap(dst=dst, kernel=0, s0=machine.place(x.shape, x.dtype, data=x)), read=dst)
    np.testing.assert_array_equal(result, convert(x, dtype.numpy).astype(np.float32))


@pytest.mark.parametrize("type_", [MicroType.I32, MicroType.I64], ids=str)
@pytest.mark.parametrize("opcode", ["shl", "shr", "shru"])
def test_shifts(bench, opcode, type_):
    """Every count from -3 to beyond the width, against Python's integers."""
    width = 8 * np.dtype(NUMPY[type_]).itemsize
    limit = 2 ** (width - 1)
    numbers = np.array([0, 1, -1, 5, -77, limit - 1, -limit], NUMPY[type_])
    a, b = (part.ravel() for part in np.meshgrid(numbers, np.arange(-3, width + 5, dtype=NUMPY[type_])))
    kernel = Kernel("k", (type_, type_), (MicroOp(opcode, type_, 2, (0, 1)),), (), 2)
    machine = bench(kernels=[kernel])
    dst = machine.place(a.shape, a.dtype)
    sources = {f"s{i}": machine.place(x.shape, x.dtype, data=x) for i, x in enumerate((a, b))}
    result = machine.run(VMap(dst=dst, kernel=0, **sources), read=dst)

    def shifted(x: int, count: int) -> int:
        inside = 0 <= count < width
        if opcode == "shr":
            return x >> (count if inside else width)
        bits = (x % 2**width << count if opcode == "shl" else x % 2**width >> count) if inside else 0
        bits %= 2**width
        return bits - 2**width if bits >= limit else bits

    assert result.tolist() == [shifted(int(x), int(count)) for x, count in zip(a, b)]


@pytest.mark.parametrize("dtype", (*NARROW_FLOATS, *SUB_BYTE_INTEGERS), ids=str)
def test_transfers_convert_and_fill(bench, dtype):
    machine = bench()
    x = np.array([0.5, 1, 1.5, 3], np.float32)
    src = machine.place((4,), np.float32, data=x)
    dst = machine.place((4,), dtype.numpy)
    moved = machine.run(DmaCopy(unit=Engine.DMA0, dst=dst, src=src), read=dst)
    np.testing.assert_array_equal(moved.view(np.uint8), convert(x, dtype.numpy).view(np.uint8))
    target = machine.place((3, 5), dtype.numpy, fill=1)
    filled = machine.run(DmaFill(unit=Engine.DMA0, dst=target), read=target)
    assert np.all(filled.astype(np.float32) == 1)
