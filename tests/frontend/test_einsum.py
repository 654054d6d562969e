"""Einsum against NumPy: any number of operands, diagonals, ellipses, broadcasting."""

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


def check(equation, arrays):
    node = helper.make_node("Einsum", [f"x{i}" for i in range(len(arrays))], ["y"], equation=equation)
    (found,) = run_node(node, arrays)
    wide = {"f": "f8", "i": "i8", "u": "u8"}[arrays[0].dtype.kind]
    expected = np.einsum(equation, *(a.astype(wide) for a in arrays))
    expected = expected if wide == "f8" else expected.astype(arrays[0].dtype)
    assert found.shape == expected.shape and found.dtype == arrays[0].dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("...ii->...i", [(2, 3, 4, 4)]),
        ("iijj->ij", [(3, 3, 2, 2)]),
        ("iji->j", [(3, 4, 3)]),
        ("iii", [(4, 4, 4)]),
        ("ij", [(2, 3)]),
        ("ba", [(2, 3)]),
        ("i,i->", [(5,), (5,)]),
        ("i,j->ij", [(2,), (3,)]),
        ("bij,bjk,bkl->bil", [(2, 3, 4), (2, 4, 5), (2, 5, 2)]),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
        ("...ij,jk", [(2, 5, 3, 4), (4, 2)]),
        ("ij,ij->j", [(1, 3), (4, 3)]),
        ("Ab,bC -> AC", [(2, 3), (3, 4)]),
        ("ab,cd->", [(2, 3), (4, 5)]),
        ("i...->...", [(3, 2, 4)]),
        (",ij->ij", [(), (2, 3)]),
        ("ij,jk->ik", [(2, 0), (0, 3)]),
    ],
)
def test_equations(equation, shapes):
    rng = np.random.default_rng(0)
    check(equation, [rng.standard_normal(shape).astype(np.float32) for shape in shapes])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_random_equations(data):
    sizes = {letter: data.draw(st.integers(1, 4)) for letter in "abcd"}
    terms = data.draw(st.lists(st.lists(st.sampled_from("abcd"), max_size=4), min_size=1, max_size=3))
    used = sorted({letter for term in terms for letter in term})
    output = data.draw(st.lists(st.sampled_from(used), unique=True)) if used else []
    dtype = data.draw(st.sampled_from(["f4", "f8", "i4", "i8", "i1", "u2"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    low = 0 if dtype[0] == "u" else -3
    arrays = [rng.integers(low, 4, [sizes[letter] for letter in term]).astype(dtype) for term in terms]
    check(",".join("".join(term) for term in terms) + "->" + "".join(output), arrays)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("ij,jk->ik", [(2, 3)]), ("ij->ik", [(2, 3)]), ("ij->ii", [(2, 3)]), ("ijk", [(2, 3)]), ("i1", [(2, 3)]),
     ("ii", [(2, 3)]), ("ij,jk", [(2, 3), (4, 5)])],
)  # fmt: skip
def test_wrong_equations(equation, shapes):
    with pytest.raises(Malformed):
        check(equation, [np.zeros(shape, np.float32) for shape in shapes])
