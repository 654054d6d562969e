"""Fused kernels compute what storing every intermediate result in its element type would give."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from one_op_models import run_nodes
from onnx import TensorProto, helper

node = helper.make_node
NARROW = ("int8", "uint8", "int16", "uint16", "uint32")


def values(dtype: str, seed: int) -> np.ndarray:
    info = np.iinfo(dtype)
    drawn = np.random.default_rng(seed).integers(info.min, info.max, 200, dtype=dtype, endpoint=True)
    drawn[:4] = info.min, info.max, info.min, 1
    return drawn


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_arithmetic_wraps_before_it_is_compared_or_widened(dtype: str, op: str) -> None:
    a, b = values(dtype, 0), values(dtype, 1)
    exact = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}[op](a, b)
    nodes = [
        node(op, ["a", "b"], ["t"]), node("Greater", ["t", "a"], ["y"]),
        node("Cast", ["t"], ["z"], to=TensorProto.INT64)
    ]  # fmt: skip
    greater, wide = run_nodes(nodes, {"a": a, "b": b}, outputs=("y", "z"))
    np.testing.assert_array_equal(greater, exact > a)
    np.testing.assert_array_equal(wide, exact.astype(np.int64))


@pytest.mark.parametrize("dtype", NARROW)
def test_a_chain_of_sums_and_products_wraps_once(dtype: str) -> None:
    a, b = values(dtype, 2), values(dtype, 3)
    nodes = [
        node("Mul", ["a", "b"], ["t"]), node("Sub", ["t", "b"], ["u"]), node("Mul", ["u", "a"], ["v"]),
        node("Max", ["v", "b"], ["w"]), node("Add", ["w", "w"], ["y"])
    ]  # fmt: skip
    expected = np.maximum((a * b - b) * a, b)
    np.testing.assert_array_equal(run_nodes(nodes, {"a": a, "b": b})[0], expected + expected)


def test_the_least_number_has_no_magnitude() -> None:
    a = np.array([-128, 127, -1], np.int8)
    nodes = [node("Abs", ["a"], ["t"]), node("Greater", ["t", "z"], ["y"])]
    np.testing.assert_array_equal(run_nodes(nodes, {"a": a, "z": np.zeros(3, np.int8)})[0], np.abs(a) > 0)


U64 = {
    "Div": np.floor_divide, "Mod": np.mod, "Max": np.maximum, "Min": np.minimum, "Greater": np.greater,
    "LessOrEqual": np.less_equal, "Add": np.add, "Sub": np.subtract, "Mul": np.multiply,
}  # fmt: skip


@pytest.mark.parametrize("op", U64)
def test_u64_is_unsigned(op: str) -> None:
    a, b = values("uint64", 4), values("uint64", 5)
    b[::3] >>= np.uint64(40)
    b = np.maximum(b, 1)
    np.testing.assert_array_equal(run_nodes([node(op, ["a", "b"], ["y"])], {"a": a, "b": b})[0], U64[op](a, b))


def test_u64_to_and_from_floats() -> None:
    a = values("uint64", 6)
    for name, dtype in (("FLOAT", np.float32), ("DOUBLE", np.float64)):
        (found,) = run_nodes([node("Cast", ["a"], ["y"], to=getattr(TensorProto, name))], {"a": a})
        np.testing.assert_array_equal(found, a.astype(dtype))
        below = np.minimum(found, np.nextafter(dtype(2.0**64), dtype(0)))
        (back,) = run_nodes([node("Cast", ["a"], ["y"], to=TensorProto.UINT64)], {"a": below})
        np.testing.assert_array_equal(back, below.astype(np.uint64))


@pytest.mark.parametrize(
    ("name", "narrow"), [("FLOAT16", np.float16), ("BFLOAT16", ml_dtypes.bfloat16)], ids=["f16", "bf16"]
)
@pytest.mark.parametrize("wide", [np.float32, np.float64, np.int32])
def test_a_cast_to_16_bits_rounds_inside_a_kernel(name: str, narrow: type, wide: type) -> None:
    x = np.array([1e6, 1.0001, 1e-9, 2049.0, 1 + 2.0**-11 + 2.0**-40, -3.3], wide)
    back = TensorProto.DOUBLE if wide is np.float64 else TensorProto.FLOAT
    nodes = [node("Cast", ["x"], ["t"], to=getattr(TensorProto, name)), node("Cast", ["t"], ["y"], to=back)]
    with np.errstate(over="ignore"):
        expected = x.astype(narrow)
    (found,) = run_nodes(nodes, {"x": x})
    np.testing.assert_array_equal(found, expected.astype(found.dtype))


def test_kernels_of_zero_and_minus_zero_differ() -> None:
    x = np.ones(3, np.float32)
    nodes = [node("Div", ["x", "p"], ["a"]), node("Div", ["x", "q"], ["b"])]
    constants = {"p": np.float32(0.0), "q": np.float32(-0.0)}
    a, b = run_nodes(nodes, {"x": x}, constants=constants, outputs=("a", "b"))
    assert np.all(a == np.inf) and np.all(b == -np.inf)


def test_fmod_of_floats() -> None:
    a, b = np.array([-7.5, 7, 5.25], np.float32), np.array([2, -3, 0.5], np.float32)
    (found,) = run_nodes([node("Mod", ["a", "b"], ["y"], fmod=1)], {"a": a, "b": b})
    np.testing.assert_array_equal(found, np.fmod(a, b))
