"""Tensors without elements: no work where the result is empty, the neutral element where a reduction is."""

from __future__ import annotations

import numpy as np
import pytest
from one_op_models import run_nodes
from onnx import helper

node = helper.make_node
f32 = np.float32


def empty(*shape: int, dtype: type = f32) -> np.ndarray:
    return np.zeros(shape, dtype)


def test_a_product_without_inner_axis_is_its_epilogue() -> None:
    bias = np.arange(-2, 3, dtype=f32)
    nodes = [node("Gemm", ["x", "w", "b"], ["t"]), node("Relu", ["t"], ["y"])]
    (found,) = run_nodes(nodes, {"x": empty(4, 0)}, constants={"w": empty(0, 5), "b": bias})
    np.testing.assert_array_equal(found, np.tile(np.maximum(bias, 0), (4, 1)))


def test_a_batched_product_without_inner_axis_over_many_tiles() -> None:
    z = np.random.default_rng(0).standard_normal((3, 400, 600)).astype(f32)
    nodes = [node("MatMul", ["x", "w"], ["t"]), node("Add", ["t", "z"], ["y"])]
    (found,) = run_nodes(nodes, {"x": empty(3, 400, 0), "w": empty(3, 0, 600), "z": z})
    np.testing.assert_array_equal(found, z)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
@pytest.mark.parametrize("fn", ["Sum", "Prod", "Max", "Min"])
def test_an_empty_reduction_gives_its_neutral_element(fn: str, dtype: type) -> None:
    ends = (-np.inf, np.inf) if dtype is np.float32 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    neutral = {"Sum": 0, "Prod": 1, "Max": ends[0], "Min": ends[1]}[fn]
    nodes = [node(f"Reduce{fn}", ["x", "axes"], ["y"], keepdims=0)]
    (found,) = run_nodes(nodes, {"x": empty(3, 0, 2, dtype=dtype)}, constants={"axes": np.array([1])})
    np.testing.assert_array_equal(found, np.full((3, 2), neutral, dtype))


def test_softmax_over_an_axis_without_elements() -> None:
    nodes = [node("Softmax", ["x"], ["t"]), node("Add", ["t", "t"], ["y"])]
    assert run_nodes(nodes, {"x": empty(3, 0)})[0].shape == (3, 0)


def test_chains_of_empty_tensors() -> None:
    nodes = [
        node("Relu", ["x"], ["a"]), node("Softmax", ["a"], ["b"]), node("Transpose", ["b"], ["c"]),
        node("Concat", ["c", "z"], ["y"], axis=1)
    ]  # fmt: skip
    z = np.arange(6, dtype=f32).reshape(3, 2)
    np.testing.assert_array_equal(run_nodes(nodes, {"x": empty(0, 3), "z": z})[0], z)


def test_a_convolution_of_no_images() -> None:
    w = np.ones((2, 3, 3, 3), f32)
    assert run_nodes([node("Conv", ["x", "w"], ["y"])], {"x": empty(0, 3, 5, 5)}, constants={"w": w})[0].shape == (
        0, 2, 3, 3,
    )  # fmt: skip


def test_a_product_of_a_product_of_nothing() -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["t"]), node("Exp", ["t"], ["u"]), node("Transpose", ["t"], ["v"]),
        node("MatMul", ["u", "v"], ["y"])
    ]  # fmt: skip
    (found,) = run_nodes(nodes, {"x": empty(70, 0), "w": empty(0, 90)})
    np.testing.assert_array_equal(found, np.zeros((70, 70), f32))
