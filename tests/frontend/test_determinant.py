"""Det against NumPy in f64."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.frontend.problems import Malformed
from onnx import helper

sys.path.insert(0, str(Path(__file__).parent))

from bounded_results import run_node

NODE = helper.make_node("Det", ["x"], ["y"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=2).map(tuple), st.integers(0, 8), st.sampled_from(["f4", "f8", "f2"]),
       st.booleans(), st.integers(0, 99))  # fmt: skip
def test_determinants(batch, size, dtype, integers, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (*batch, size, size)) if integers else rng.standard_normal((*batch, size, size))
    x = x.astype(dtype)
    (found,) = run_node(NODE, [x])
    expected = np.linalg.det(x.astype("f8"))
    assert found.shape == expected.shape and found.dtype == x.dtype
    scale = np.prod(np.linalg.norm(x.astype("f8"), axis=-1), axis=-1)  # Hadamard's bound
    tolerance = {"f4": 1e-5, "f8": 1e-12, "f2": 2e-3}[dtype]
    assert np.all(np.abs(found - expected) <= tolerance * np.maximum(scale, 1e-30))


@pytest.mark.parametrize("matrix", [np.eye(5)[::-1], np.eye(4)[[1, 2, 3, 0]], np.ones((4, 4)), np.zeros((3, 3))])
def test_exact_ones(matrix):
    (found,) = run_node(NODE, [matrix.astype(np.float32)])
    assert found == round(np.linalg.det(matrix))


@pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
def test_only_square_matrices(shape):
    with pytest.raises(Malformed):
        run_node(NODE, [np.zeros(shape, np.float32)])
