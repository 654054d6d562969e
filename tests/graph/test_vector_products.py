"""Contractions of f64 and wide integers, down to the simulator, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import npucc
import numpy as np
import pytest
from npucc.passes.graph import vector_products
from npuisa.errors import NpuError
from onnx import helper

RNG = np.random.default_rng(3)
TYPES = [np.int32, np.int64, np.uint32, np.uint64, np.float64]


def values(dtype: Any, *shape: int) -> np.ndarray:
    if dtype == np.float64:
        return RNG.standard_normal(shape) / 7
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def run(op: str, a: np.ndarray, b: np.ndarray, **attributes: Any) -> np.ndarray:
    element = helper.np_dtype_to_tensor_dtype(a.dtype)
    inputs = [helper.make_tensor_value_info(name, element, x.shape) for name, x in (("a", a), ("b", b))]
    outputs = [helper.make_tensor_value_info("y", element, None)]
    graph = helper.make_graph([helper.make_node(op, ["a", "b"], ["y"], **attributes)], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return npucc.simulate(npucc.compile(model), {"a": a, "b": b}, cycles=False).outputs["y"]


def check(op: str, a: np.ndarray, b: np.ndarray, expected: Callable[[], np.ndarray], **attributes: Any) -> None:
    found = run(op, a, b, **attributes)
    with np.errstate(over="ignore"):
        wanted = expected()
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=0 if found.dtype.kind in "iu" else 1e-12, atol=0)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shapes", [((3, 4), (4, 5)), ((2, 1, 3, 4), (3, 4, 1)), ((4,), (4, 5)), ((3, 1), (1, 4))])
def test_matrix_products(dtype, shapes):
    """Integers wrap around as NumPy's do."""
    a, b = (values(dtype, *shape) for shape in shapes)
    check("MatMul", a, b, lambda: a @ b)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_long_sums_are_cut_into_parts(dtype, monkeypatch):
    monkeypatch.setattr(vector_products, "MOST_PRODUCTS", 100)
    a, b = values(dtype, 5, 33), values(dtype, 33, 6)
    check("MatMul", a, b, lambda: a @ b)


@pytest.mark.parametrize("groups, weights", [(1, (6, 4, 3, 2)), (2, (6, 2, 3, 2)), (4, (4, 1, 3, 2))])
def test_convolutions_of_f64(groups, weights):
    x, w = values(np.float64, 2, 4, 5, 6), values(np.float64, *weights)

    def expected() -> np.ndarray:
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), (2, 3))[:, :, ::2]
        parts = zip(np.split(windows, groups, 1), np.split(w, groups))
        return np.concatenate([np.einsum("ncijkl,ockl->noij", *part) for part in parts], 1)

    check("Conv", x, w, expected, group=groups, pads=[1, 0, 1, 1], strides=[2, 1])


def test_what_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(vector_products, "MOST_PARTS", 2)
    monkeypatch.setattr(vector_products, "MOST_PRODUCTS", 100)
    with pytest.raises(NpuError, match="E0601"):
        run("MatMul", values(np.float64, 5, 33), values(np.float64, 33, 6))
