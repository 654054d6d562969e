"""TopK, running sums, NonZero, Compress, Unique and reversed sequences against NumPy, with ties and NaN."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

sys.path.insert(0, str(Path(__file__).parent))

from bounded_results import run_node

FLOATS = ["f4", "f2", "f8"]
TYPES = [*FLOATS, "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


def numbers(seed, dtype, shape, nan=True):
    """Few different values: ties, and for floats NaN, infinities and zeros of both signs."""
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.kind == "f":
        values = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf] + [np.nan] * nan)
    elif dtype.kind == "b":
        values = np.array([False, True])
    else:
        limits = np.iinfo(dtype)
        values = np.array([limits.min, limits.max, 0, 1, 2], dtype)
    return rng.choice(values, shape).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.data(), st.sampled_from(TYPES), st.booleans(), st.integers(0, 99))
def test_top_k(shape, data, dtype, largest, seed):
    x = numbers(seed, dtype, shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    k = data.draw(st.integers(0, shape[axis]))
    node = helper.make_node("TopK", ["x", "k"], ["v", "i"], axis=axis, largest=int(largest), sorted=1)
    values, places = run_node(node, [x, np.array([k])], known=[1])
    order = np.argsort(x if not largest else np.flip(x, axis), axis=axis, kind="stable")
    order = shape[axis] - 1 - np.flip(order, axis) if largest else order
    expected = np.take(order, range(k), axis)
    assert places.dtype == np.int64 and np.array_equal(places, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(x, expected, axis))


@pytest.mark.parametrize(("opset", "attributes"), [(1, {"k": 3}), (10, {})])
def test_older_top_k(opset, attributes):
    x = np.random.default_rng(0).standard_normal((2, 7)).astype(np.float32)
    node = helper.make_node("TopK", ["x"] if attributes else ["x", "k"], ["v", "i"], **attributes)
    values, places = run_node(node, [x] if attributes else [x, np.array([3])], known=[1], opset=opset)
    assert np.array_equal(places, np.argsort(-x, axis=-1)[:, :3])
    assert np.array_equal(values, -np.sort(-x, axis=-1)[:, :3])


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.data(), st.sampled_from(TYPES), st.sampled_from(["ArgMax", "ArgMin"]), st.booleans(), st.booleans())
def test_arg_extremes(shape, data, dtype, op, last, keep):
    x = numbers(len(shape), dtype, shape, nan=False)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    node = helper.make_node(op, ["x"], ["y"], axis=axis, select_last_index=int(last), keepdims=int(keep))
    (found,) = run_node(node, [x])
    line = np.flip(x, axis) if last else x
    expected = np.argmax(line, axis) if op == "ArgMax" else np.argmin(line, axis)
    expected = shape[axis] - 1 - expected if last else expected
    assert np.array_equal(found, np.expand_dims(expected, axis) if keep else expected)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.data(), st.sampled_from(["f4", "f2", "f8", "i4", "u4", "i8", "u8"]), st.booleans(), st.booleans(),
       st.sampled_from(["CumSum", "CumProd"]))  # fmt: skip
def test_running_sums_and_products(shape, data, dtype, exclusive, reverse, op):
    x = numbers(len(shape), dtype, shape, nan=False)
    x = np.where(np.isinf(x), np.array(3, x.dtype), x) if x.dtype.kind == "f" else x
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    node = helper.make_node(op, ["x", "axis"], ["y"], exclusive=int(exclusive), reverse=int(reverse))
    (found,) = run_node(node, [x, np.array(axis)], known=[1], opset=26)
    line = np.moveaxis(np.flip(x, axis) if reverse else x, axis, -1)
    wide = line.astype(np.float32) if dtype == "f2" else line
    if exclusive:
        wide = np.concatenate([np.full_like(wide[..., :1], int(op == "CumProd")), wide[..., :-1]], -1)
    run = (np.add if op == "CumSum" else np.multiply).accumulate(wide, -1, dtype=wide.dtype).astype(x.dtype)
    run = np.moveaxis(run, -1, axis)
    np.testing.assert_array_equal(found, np.flip(run, axis) if reverse else run)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=4).map(tuple), st.sampled_from([*TYPES, "?"]), st.integers(0, 99))
def test_nonzero(shape, dtype, seed):
    x = np.asarray(numbers(seed, dtype, shape))
    (found,) = run_node(helper.make_node("NonZero", ["x"], ["y"]), [x])
    expected = np.array(np.nonzero(x)) if shape else np.zeros((0, int(bool(x))), np.int64)
    assert found.dtype == np.int64 and np.array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.data(), st.sampled_from([*TYPES, "?"]), st.booleans(), st.booleans(), st.integers(0, 99))
def test_compress(shape, data, dtype, flat, known, seed):
    x = numbers(seed, dtype, shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = x.size if flat else shape[axis]
    condition = numbers(seed + 1, "?", (data.draw(st.integers(0, size)),))
    node = helper.make_node("Compress", ["x", "c"], ["y"], **({} if flat else {"axis": axis}))
    (found,) = run_node(node, [x, condition], known=[1] if known else [])
    np.testing.assert_array_equal(found, np.compress(condition, x, axis=None if flat else axis))


def unique(x, axis, in_order):
    """The outputs by NumPy; equal_nan only where it has it."""
    values, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    inverse = inverse.reshape(-1)
    if not in_order:
        order = np.argsort(first)
        values = np.take(values, order, 0 if axis is None else axis)
        inverse = np.argsort(order)[inverse]
        first, counts = first[order], counts[order]
    return values, first, inverse, counts


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.data(), st.sampled_from([*TYPES, "?"]), st.booleans(), st.booleans(), st.integers(0, 99))
def test_unique(shape, data, dtype, flat, in_order, seed):
    x = numbers(seed, dtype, shape, nan=flat)
    x = x + np.array(0, x.dtype) if x.dtype.kind == "f" else x  # NumPy tells -0 from 0 in rows
    axis = None if flat else data.draw(st.integers(-len(shape), len(shape) - 1))
    attributes = {"sorted": int(in_order)} | ({} if flat else {"axis": axis})
    found = run_node(helper.make_node("Unique", ["x"], ["y", "i", "r", "c"], **attributes), [x])
    for got, want in zip(found, unique(x, axis, in_order), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((0, 3), 0), ((3, 0), 0), ((2, 0, 3), 2)])
def test_unique_of_nothing(shape, axis):
    x = np.zeros(shape, np.float32)
    attributes = {} if axis is None else {"axis": axis}
    found = run_node(helper.make_node("Unique", ["x"], ["y", "i", "r", "c"], **attributes), [x])
    values = np.unique(x, axis=axis) if axis is None or 0 not in shape[:axis] + shape[axis + 1 :] else x[:1]
    assert found[0].shape == (values.shape if axis is None else np.take(x, range(min(1, shape[axis])), axis).shape)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.integers(1, 3), max_size=2).map(tuple), st.booleans(),
       st.booleans(), st.sampled_from(["f4", "i8", "?"]), st.integers(0, 99))  # fmt: skip
def test_reversed_sequences(steps, entries, rest, time_first, known, dtype, seed):
    rng = np.random.default_rng(seed)
    x = numbers(seed, dtype, (*((steps, entries) if time_first else (entries, steps)), *rest))
    lengths = rng.integers(1, steps + 1, entries)
    node = helper.make_node("ReverseSequence", ["x", "n"], ["y"], time_axis=int(not time_first),
                            batch_axis=int(time_first))  # fmt: skip
    (found,) = run_node(node, [x, lengths], known=[1] if known else [])
    np.testing.assert_array_equal(found, ReferenceEvaluator(node).run(None, {"x": x, "n": lengths})[0])
