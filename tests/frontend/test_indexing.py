"""Positions and lookups: arg max, one-hot, top k, running sums, gathers with computed indices."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(23)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("last", [0, 1])
def test_arg_extremes_with_ties(op, axis, last, matches_reference):
    x = RNG.integers(0, 3, (4, 9)).astype(np.float32)
    matches_reference(op, [x], axis=axis, keepdims=last, select_last_index=last)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_one_hot(axis, matches_reference):
    inputs = [np.array([[0, 3, -1], [5, 2, -4]]), np.array(4), np.array([-1, 2], np.float32)]
    matches_reference("OneHot", inputs, constants=[1], axis=axis)


def test_hardmax_takes_the_first(matches_reference):
    matches_reference("Hardmax", [np.array([[1, 3, 3, 0], [2, 2, 2, 2]], np.float32)])


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64, np.float64])
@pytest.mark.parametrize("options", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}])
def test_running_sums(dtype, options, matches_reference):
    x = RNG.integers(-9, 9, (3, 5, 2)).astype(dtype)
    matches_reference("CumSum", [x, np.array(1)], constants=[1], **options)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_with_computed_indices(dtype, axis, matches_reference):
    x = RNG.integers(0, 9, (4, 5, 4)).astype(dtype)
    matches_reference("Gather", [x, np.array([[0, -1, 3], [2, 2, -4]])], axis=axis)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
def test_gather_elements(dtype, matches_onnxruntime):
    x = RNG.integers(0, 9, (3, 4, 5)).astype(dtype)
    matches_onnxruntime("GatherElements", [x, RNG.integers(-4, 4, (2, 6, 5))], axis=1)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_top_k(largest, dtype, matches_reference):
    x = RNG.permutation(40).reshape(4, 10).astype(dtype)
    matches_reference("TopK", [x, np.array([3])], constants=[1], outputs=2, largest=largest)


def test_top_k_of_values_that_equal_the_filler(matches_onnxruntime):
    x = np.array([[-np.inf, 1, -np.inf, -np.inf]], np.float32)
    matches_onnxruntime("TopK", [x, np.array([3])], constants=[1], outputs=2)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_compress(axis, matches_reference):
    condition = np.array([True, False, True, True])[: 4 if axis != 1 else 3]
    attributes = {} if axis is None else {"axis": axis}
    matches_reference("Compress", [normal(4, 3), condition], constants=[1], **attributes)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_reverse_sequence(axes, matches_reference):
    x = normal(4, 3, 2) if axes == (0, 1) else normal(3, 4, 2)
    inputs = [x, np.array([1, 4, 2])]
    matches_reference("ReverseSequence", inputs, constants=[1], time_axis=axes[0], batch_axis=axes[1])


def test_lookup_in_a_table_with_infinities(matches_reference):
    table = np.array([[1, -np.inf], [2, 3], [np.nan, np.inf]], np.float32)
    matches_reference("Gather", [table, np.array([1, 0, 1])], constants=[0])
