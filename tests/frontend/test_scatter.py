"""Gathers and scatters at points, with constant and with computed indices; transforms as products."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(29)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


KNOWN = pytest.mark.parametrize("known", [True, False])


@KNOWN
@pytest.mark.parametrize("batch", [0, 1])
def test_gather_nd(known, batch, matches_reference):
    indices = RNG.integers(-3, 3, (3, 5, 2))
    matches_reference("GatherND", [normal(3, 3, 4, 2), indices], constants=[1] if known else [], batch_dims=batch)


@KNOWN
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_scatter_nd(known, reduction, dtype, matches_reference):
    rows = np.array([[4], [-6], [3]]) if reduction == "none" else np.array([[4], [1], [4]])
    x, updates = RNG.integers(0, 9, (6, 3)).astype(dtype), RNG.integers(0, 9, (3, 3)).astype(dtype)
    constants = [1] if known else []
    matches_reference("ScatterND", [x, rows, updates], opset=18, constants=constants, reduction=reduction)


@KNOWN
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scatter_elements(known, axis, reduction, matches_reference):
    indices = np.array([[1, 0, -1], [0, 2, 1]]) if axis else np.array([[1, 0, 2], [0, 2, -2]])
    inputs = [normal(3, 3), indices, normal(2, 3)]
    constants = [1] if known else []
    matches_reference("ScatterElements", inputs, opset=18, constants=constants, axis=axis, reduction=reduction)


def test_the_last_of_equal_points_wins(one_node, run):
    x, rows, updates = np.zeros(4, np.float32), np.array([[1], [1]]), np.array([5, 6], np.float32)
    model = one_node("ScatterND", [x, rows, updates], constants=[1])
    np.testing.assert_array_equal(run(model, {"x0": x, "x2": updates})[0], [0, 6, 0, 0])


@pytest.mark.parametrize("options", [{}, {"exclusive": 1}, {"reverse": 1}])
def test_running_products(options, matches_reference):
    matches_reference("CumProd", [normal(3, 4), np.array(1)], opset=26, constants=[1], **options)
