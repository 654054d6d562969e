"""`--precision f16`: what 16 bits cannot hold stays f32."""

from __future__ import annotations

import numpy as np
import pytest
from npucc.driver import compile, simulate
from npucc.options import Options
from npucc.run_results import run_result
from npuisa.target import Target
from one_op_models import model_of, run_nodes
from onnx import TensorProto, helper

node = helper.make_node
f32 = np.float32


def run16(nodes: list, inputs: dict, constants: dict | None = None) -> np.ndarray:
    return run_nodes(nodes, inputs, constants=constants, precision="f16")[0]


def test_identifiers_are_compared_as_they_are() -> None:
    ids = np.array([2049, 70000, 4097, 9000], np.int64)
    nodes = [
        node("Cast", ["x"], ["a"], to=TensorProto.FLOAT), node("Transpose", ["b"], ["c"]),
        node("Sub", ["a", "c"], ["d"]), node("Abs", ["d"], ["e"]), node("Less", ["e", "half"], ["y"])
    ]  # fmt: skip
    others = np.array([2049, 70001, 4097, 9001], f32)
    found = run16(nodes, {"x": ids, "b": others}, {"half": f32(0.5)})
    np.testing.assert_array_equal(found, [True, False, True, False])


def test_integers_by_way_of_floats() -> None:
    x = np.array([[2049, 3001], [70000, 5]], np.int64)
    nodes = [
        node("Cast", ["x"], ["a"], to=TensorProto.FLOAT), node("Transpose", ["a"], ["b"]),
        node("Mul", ["b", "two"], ["c"]), node("Cast", ["c"], ["y"], to=TensorProto.INT64)
    ]  # fmt: skip
    np.testing.assert_array_equal(run16(nodes, {"x": x}, {"two": f32(2)}), 2 * x.T)


def test_floor_of_an_input() -> None:
    x = np.arange(2000, 6000, dtype=f32).reshape(40, 100)
    nodes = [node("Transpose", ["x"], ["t"]), node("Mul", ["t", "c"], ["u"]), node("Floor", ["u"], ["y"])]
    np.testing.assert_array_equal(run16(nodes, {"x": x}, {"c": f32(0.25)}), np.floor(x.T / 4))


@pytest.mark.parametrize("fn", ["Sum", "Max"])
@pytest.mark.parametrize("join", ["Add", "Max"])
def test_an_epsilon_keeps_a_quotient_finite(fn: str, join: str) -> None:
    x = np.array([[0, 0, 0, 0], [1, 2, -3, 4]], f32)
    nodes = [
        node("Abs", ["x"], ["a"]), node(f"Reduce{fn}", ["a", "axes"], ["r"]), node(join, ["r", "eps"], ["s"]),
        node("Div", ["x", "s"], ["y"])
    ]  # fmt: skip
    reduced = np.abs(x).sum(1, keepdims=True) if fn == "Sum" else np.abs(x).max(1, keepdims=True)
    constants = {"eps": f32(1e-8), "axes": np.array([1])}
    np.testing.assert_allclose(run16(nodes, {"x": x}, constants), x / np.maximum(reduced, 1e-8), rtol=1e-3)


def test_scales_below_the_normal_range() -> None:
    x = np.full((2, 4), 1e-4, f32)
    nodes = [
        node("ReduceMax", ["x", "axes"], ["m"]), node("Mul", ["m", "c"], ["s"]), node("Div", ["x", "s"], ["y"])
    ]  # fmt: skip
    found = run16(nodes, {"x": x}, {"c": f32(1 / 127), "axes": np.array([1])})
    np.testing.assert_allclose(found, np.full((2, 4), 127), rtol=2e-3)


@pytest.mark.parametrize(("op", "end"), [("Add", -1e31), ("Where", -1e9)])
def test_masks_that_leave_the_model_keep_their_value(op: str, end: float) -> None:
    x, keep = np.array([1, 2, 3], f32), np.array([True, False, True])
    mask = np.where(keep, 0, end).astype(f32)
    nodes = [node("Add", ["x", "m"], ["y"])] if op == "Add" else [node("Where", ["k", "x", "m"], ["y"])]
    inputs = {"x": x} if op == "Add" else {"x": x, "k": keep}
    constants = {"m": mask if op == "Add" else f32(end)}
    expected = x + mask if op == "Add" else np.where(keep, x, f32(end))
    np.testing.assert_allclose(run16(nodes, inputs, constants), expected, rtol=1e-3)


@pytest.mark.parametrize("end", [-1e9, -3.4028234e38])
def test_masks_before_a_softmax_stay_finite(end: float) -> None:
    """Also where a row is masked out altogether, and where the mask is computed."""
    x, keep = np.zeros((2, 4), f32), np.array([[1, 1, 0, 0], [0, 0, 0, 0]], f32)
    nodes = [
        node("Sub", ["one", "keep"], ["a"]), node("Mul", ["a", "end"], ["m"]), node("Add", ["x", "m"], ["s"]),
        node("Softmax", ["s"], ["y"])
    ]  # fmt: skip
    found = run16(nodes, {"x": x, "keep": keep}, {"one": f32(1), "end": f32(end)})
    np.testing.assert_allclose(found, [[0.5, 0.5, 0, 0], [0.25] * 4], atol=1e-3)


def test_powers_and_what_they_multiply_stay_in_range() -> None:
    x = np.full((2, 4), 60, f32)
    nodes = [
        node("Mul", ["x", "x"], ["a"]), node("Mul", ["a", "x"], ["b"]), node("Transpose", ["b"], ["c"]),
        node("Mul", ["c", "k"], ["y"])
    ]  # fmt: skip
    np.testing.assert_allclose(run16(nodes, {"x": x}, {"k": f32(1e-3)}), np.full((4, 2), 216), rtol=1e-3)


def test_factors_beyond_the_range() -> None:
    x = np.array([[1, 2], [3, 4]], f32)
    nodes = [node("Mul", ["x", "k"], ["a"]), node("Transpose", ["a"], ["b"]), node("Div", ["b", "k"], ["y"])]
    np.testing.assert_allclose(run16(nodes, {"x": x}, {"k": f32(1e5)}), x.T, rtol=1e-3)


def test_elements_that_leave_the_range_are_counted() -> None:
    """A product of two inputs may or may not fit: where it does not, the result says which node it was."""
    nodes = [
        node("Mul", ["a", "b"], ["t"], name="product"), node("ReduceMax", ["t", "axes"], ["u"], name="greatest"),
        node("Mul", ["u", "k"], ["y"], name="scale")
    ]  # fmt: skip
    a = np.full((40, 50), 100, f32)
    a[3, :7] = 300
    b = a.copy()
    b[0, 0] = np.inf
    model = model_of(nodes, {"a": a, "b": b}, {"k": f32(1e-3), "axes": np.array([1])}, ["y"])
    shapes = {"a": a.shape, "b": b.shape}
    target = Target.load("edge-4t")
    program = compile(model, target, Options(precision="f16"), shapes=shapes)
    result = simulate(program, {"a": a, "b": b}, target=target)
    assert sum(each.elements for each in result.overflows) == 7
    assert all("product" in each.node for each in result.overflows)
    typed = run_result(program, result, target, 0.0)
    assert typed.overflows == result.overflows and "7 elements" in typed.notes[-1]
    fits = simulate(program, {"a": a / 10, "b": a}, target=target, cycles=False)
    assert fits.overflows == []
