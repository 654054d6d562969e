"""v.reduce, v.window and v.norm against NumPy in f64 and loops over windows."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.errors import NpuError
from npuisa.instructions import AccMode, NormFn, ReduceFn, VNorm, VReduce, VWindow

BF16 = np.dtype(ml_dtypes.bfloat16)
TYPES = [np.dtype(name) for name in ("f4", "f2", "f8", "i4", "i1", "u1", "i8")] + [BF16]
FUNCTIONS = {ReduceFn.SUM: np.add, ReduceFn.MAX: np.maximum, ReduceFn.MIN: np.minimum, ReduceFn.PROD: np.multiply}


def numbers(rng, dtype, shape):
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(max(limits.min, -(2**40)), min(limits.max, 2**40), shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def is_integer(dtype):
    return dtype.kind in "iu"


def close(result, expected, dtype, work=1):
    if is_integer(dtype):
        assert np.array_equal(result, expected)
    else:
        tolerance = work * max(float(ml_dtypes.finfo(dtype).eps), np.finfo(np.float32).eps * (dtype != np.float64))
        np.testing.assert_allclose(result.astype("f8"), expected, rtol=tolerance, atol=tolerance * 4)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    st.integers(1, 15),
    st.sampled_from(TYPES),
    st.sampled_from(ReduceFn),
    st.sampled_from([AccMode.SET, AccMode.ADD]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_reduce(bench, dims, mask, dtype, fn, mode, transposed, seed):
    mask &= (1 << len(dims)) - 1
    rng, machine = np.random.default_rng(seed), bench()
    src = numbers(rng, dtype, dims)
    axes = tuple(axis for axis in range(len(dims)) if mask >> axis & 1)
    out = tuple(1 if axis in axes else dim for axis, dim in enumerate(dims))
    old = numbers(rng, dtype, out)
    strides = np.cumprod((1, *dims[:-1])).tolist() if transposed else None
    source = machine.place(dims, dtype, data=src, strides=None if strides is None else tuple(strides))
    dst = machine.place(out, dtype, data=old)
    result = machine.run(VReduce(dst=dst, src=source, fn=fn, axes=mask, mode=mode), read=dst)
    wide = dtype if is_integer(dtype) else np.dtype("f8")
    expected = FUNCTIONS[fn].reduce(src.astype(wide), axis=axes, keepdims=True, dtype=wide)
    if mode is AccMode.ADD:
        expected = FUNCTIONS[fn](expected, old.astype(wide))
    close(result, expected, dtype, work=16)


def test_sums_of_half_precision_accumulate_in_single(bench):
    machine = bench()
    src = machine.place((1, 4096), "f2", data=np.ones((1, 4096), "f2"))
    dst = machine.place((1, 1), "f4")
    assert machine.run(VReduce(dst=dst, src=src, fn=ReduceFn.SUM, axes=2), read=dst).item() == 4096


def test_byte_sums_into_a_wider_destination_do_not_wrap(bench):
    machine = bench()
    src, dst = machine.place((300,), "u1", data=np.full(300, 255, "u1")), machine.place((1,), "i4")
    assert machine.run(VReduce(dst=dst, src=src, fn=ReduceFn.SUM, axes=1), read=dst).item() == 76500


@pytest.mark.parametrize(
    ("fn", "dtype", "value"),
    [
        (ReduceFn.SUM, "f4", 0),
        (ReduceFn.PROD, "i4", 1),
        (ReduceFn.MAX, "f2", -np.inf),
        (ReduceFn.MIN, "f4", np.inf),
        (ReduceFn.MAX, "i1", -128),
        (ReduceFn.MIN, "u1", 255),
    ],
)
def test_empty_reductions_give_the_neutral_element(bench, fn, dtype, value):
    machine = bench()
    src, dst = machine.place((2, 0), dtype), machine.place((2, 1), dtype)
    assert machine.run(VReduce(dst=dst, src=src, fn=fn, axes=2), read=dst).ravel().tolist() == [value, value]


def test_maximum_keeps_nan(bench):
    machine = bench()
    src, dst = machine.place((3,), "f4", data=np.float32([1, np.nan, 2])), machine.place((1,), "f4")
    assert np.isnan(machine.run(VReduce(dst=dst, src=src, fn=ReduceFn.MAX, axes=1), read=dst)).all()


def window_reference(src, out_dims, fn, axes, windows, empty):
    """Windows by definition; `windows` are (size, stride, dilation, pad) per axis."""
    result = np.empty(out_dims, src.dtype)
    for index in np.ndindex(*out_dims):
        picks = [[i] for i in index]
        for axis, (size, stride, dilation, pad) in zip(axes, windows):
            positions = [index[axis] * stride + tap * dilation - pad for tap in range(size)]
            picks[axis] = [p for p in positions if 0 <= p < src.shape[axis]]
        taken = src[np.ix_(*picks)]
        result[index] = FUNCTIONS[fn].reduce(taken, axis=None, dtype=src.dtype) if taken.size else empty
    return result


@st.composite
def windows(draw: st.DrawFn):
    rank = draw(st.integers(2, 4))
    axes = draw(st.permutations(range(rank)))[:2]
    dims = [draw(st.integers(1, 4)) for _ in range(rank)]
    out, parameters = list(dims), []
    for axis in axes:
        dims[axis] = draw(st.integers(1, 8))
        size, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        parameters.append((size, stride, dilation, draw(st.integers(0, 3))))
        out[axis] = draw(st.integers(1, 5))
    return tuple(dims), tuple(out), tuple(axes), tuple(parameters)


@settings(max_examples=80, deadline=None)
@given(windows(), st.sampled_from(TYPES), st.sampled_from(ReduceFn), st.integers(0, 2**32 - 1))
def test_window(bench, case, dtype, fn, seed):
    dims, out, axes, parameters = case
    machine, rng = bench(), np.random.default_rng(seed)
    src = numbers(rng, dtype, dims)
    names = ("size", "stride", "dilation", "pad")
    fields = {f"{name}_{end}": value for end, window in zip("ab", parameters) for name, value in zip(names, window)}
    dst, source = machine.place(out, dtype), machine.place(dims, dtype, data=src)
    instruction = VWindow(dst=dst, src=source, fn=fn, axis_a=axes[0], axis_b=axes[1], **fields)
    result = machine.run(instruction, read=dst)
    wide = src if is_integer(dtype) else src.astype("f8")
    with np.errstate(over="ignore"):
        expected = window_reference(wide, out, fn, axes, parameters, neutral_of(fn, dtype))
    close(result, expected, dtype, work=16)


def neutral_of(fn, dtype):
    if fn in (ReduceFn.SUM, ReduceFn.PROD):
        return int(fn is ReduceFn.PROD)
    if is_integer(dtype):
        return np.iinfo(dtype).min if fn is ReduceFn.MAX else np.iinfo(dtype).max
    return -np.inf if fn is ReduceFn.MAX else np.inf


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 30)),
    st.sampled_from([np.dtype("f4"), np.dtype("f2"), np.dtype("f8"), BF16]),
    st.sampled_from(NormFn),
    st.integers(0, 2**32 - 1),
)
def test_norm(bench, dims, dtype, fn, seed):
    machine, rng = bench(), np.random.default_rng(seed)
    src = (rng.standard_normal(dims) * 20).astype(dtype)
    dst, source = machine.place(dims, dtype), machine.place(dims, dtype, data=src)
    result = machine.run(VNorm(dst=dst, src=source, fn=fn), read=dst)
    x = src.astype(np.longdouble)
    shifted = x - x.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    expected = np.exp(logs) if fn is NormFn.SOFTMAX else logs
    close(result, expected.astype("f8"), dtype, work=8)


def test_softmax_of_masked_and_huge_rows(bench):
    machine = bench()
    src = np.float32([[1e30, 1e30, -np.inf], [-np.inf, 0, 0], [np.nan, 0, 1]])
    dst, source = machine.place(src.shape, "f4"), machine.place(src.shape, "f4", data=src)
    result = machine.run(VNorm(dst=dst, src=source, fn=NormFn.SOFTMAX), read=dst)
    assert result[:2].tolist() == [[0.5, 0.5, 0], [0, 0.5, 0.5]] and np.isnan(result[2]).all()


def test_wrong_vector_operands_are_named(bench):
    machine = bench()
    flat, wide, bytes_ = machine.place((4,), "f4"), machine.place((4, 4), "f4"), machine.place((4, 4), "i1")
    for instruction, message in (
        (VReduce(dst=flat, src=wide, fn=ReduceFn.SUM, axes=2), "dst must have dims"),
        (VReduce(dst=flat, src=flat, fn=ReduceFn.SUM, axes=2), "dst must have dims"),
        (VWindow(dst=wide, src=wide, fn=ReduceFn.SUM, axis_a=0, axis_b=0, size_a=1, size_b=1), "two different axes"),
        (VWindow(dst=wide, src=wide, fn=ReduceFn.SUM, axis_a=0, axis_b=1, size_a=0, size_b=1), "size_a must be"),
        (VNorm(dst=bytes_, src=bytes_, fn=NormFn.SOFTMAX), "defined for floats"),
        (VNorm(dst=flat, src=wide, fn=NormFn.SOFTMAX), "same dims"),
    ):
        with pytest.raises(NpuError, match=f"NPU-E0312: .*{message}"):
            machine.run(instruction, read=flat)
