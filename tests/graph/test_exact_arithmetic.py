"""Simplification keeps the values of arithmetic with constants, also where real numbers would allow more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graph_models import new_context
from npucc.dialects import graph
from npucc.interpreters.graph import run_graph
from npucc.passes.graph.simplify import GraphSimplifyPass
from npucc.types import tensor_of
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.ir import Block, Region, SSAValue

F32 = np.float32


def simplified(build: Callable[..., SSAValue], x: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(result as built, result after simplification, names of the ops that are left) of a graph of one input."""
    context = new_context()
    block = Block(arg_types=[tensor_of(x)])

    def constant(value: object, dtype: type = F32) -> SSAValue:
        array = np.asarray(value, dtype)
        return emit(graph.ConstantOp(context.constants.add("c", array), tensor_of(array)))

    def emit(op: graph.GraphOp) -> SSAValue:
        block.add_op(op)
        return op.result

    y = build(emit, constant, block.args[0])
    block.add_op(func.ReturnOp(y))
    function = func.FuncOp("main", ([tensor_of(x)], [y.type]), Region(block))
    function.attributes["npucc.inputs"] = ArrayAttr([StringAttr("x")])
    function.attributes["npucc.outputs"] = ArrayAttr([StringAttr("y")])
    module = ModuleOp([function])
    with np.errstate(all="ignore"):
        before = run_graph(module, {"x": x}, context.constants)[0]
        GraphSimplifyPass().apply(context, module)
        module.verify()
        after = run_graph(module, {"x": x}, context.constants)[0]
    return before, after, [op.name for op in block.ops if isinstance(op, graph.GraphOp)]


def assert_same_bits(before: np.ndarray, after: np.ndarray) -> None:
    assert before.tobytes() == after.tobytes(), f"{before} became {after}"


@pytest.mark.parametrize("divisor", [41.0, 47.0, 49.0, 10.0, 255.0, 4.0, -0.125])
def test_quotients_keep_their_rounding(divisor: float) -> None:
    x = np.arange(1, 400, dtype=F32) * F32(divisor)

    def build(emit, constant, x):
        return emit(graph.FloorOp(emit(graph.DivOp(x, constant(divisor)))))

    before, after, names = simplified(build, x)
    assert_same_bits(before, after)
    assert ("graph.mul" in names) == (divisor in (4.0, -0.125))  # exact reciprocals are products


@pytest.mark.parametrize("terms", [(12582912.0, -12582912.0), (3e38, 3e38), (-3e38, 3e38), (1.0, -0.75)])
def test_sums_that_round_on_purpose_stay(terms: tuple[float, float]) -> None:
    x = np.array([1.3, 2.7, -0.6, -3e38, 1e8], F32)
    before, after, names = simplified(
        lambda emit, constant, x: emit(graph.AddOp(emit(graph.AddOp(x, constant(terms[0]))), constant(terms[1]))), x
    )
    assert_same_bits(before, after)
    assert names.count("graph.add") == 2


def test_sums_of_one_direction_are_one() -> None:
    x = np.array([1.0, -3.0], F32)
    before, after, names = simplified(
        lambda emit, constant, x: emit(graph.AddOp(emit(graph.AddOp(x, constant(2.0))), constant(0.5))), x
    )
    assert_same_bits(before, after)
    assert names.count("graph.add") == 1


@pytest.mark.parametrize(
    ("factors", "count"), [((1e-30, 1e-30), 2), ((1e30, 1e30), 2), ((np.inf, 0.0), 2), ((2.0, 0.3), 2), ((4.0, 3.0), 1)]
)
def test_products_neither_overflow_nor_vanish(factors: tuple[float, float], count: int) -> None:
    x = np.array([1e38, 1e-30, 1.0, -7.0], F32)
    before, after, names = simplified(
        lambda emit, constant, x: emit(graph.MulOp(emit(graph.MulOp(x, constant(factors[0]))), constant(factors[1]))), x
    )
    assert_same_bits(before, after)
    assert names.count("graph.mul") == count


@pytest.mark.parametrize(("scale", "folded"), [(2.5, True), (1e-20, False), (1e20, True), (0.0, True)])
def test_scales_reach_weights_that_can_hold_them(scale: float, folded: bool) -> None:
    """1e-30 * 1e-20 is not a number of f32, but 1e38 * 1e-30 * 1e-20 is one."""
    x = np.full((2, 1), 1e38, F32)
    before, after, names = simplified(
        lambda emit, constant, x: emit(graph.MulOp(emit(graph.MatmulOp(x, constant([[1e-30]]))), constant([scale]))), x
    )
    np.testing.assert_allclose(after, before, rtol=1e-6)
    assert ("graph.mul" not in names) == folded


def test_quotients_and_biases_behind_a_contraction_are_folded() -> None:
    """(x w + b) / c + t as exporters write a BatchNormalization, with biases that cancel in one channel."""
    x = np.array([[0.5, 2.0], [3.0, -1.0]], F32)

    def build(emit, constant, x):
        y = emit(graph.AddOp(emit(graph.MatmulOp(x, constant([[1.0, 2.0], [3.0, 4.0]]))), constant([3.0, 7.0])))
        y = emit(graph.DivOp(y, constant([3.0, 7.0])))
        return emit(graph.AddOp(y, constant([0.25, -1.0])))

    before, after, names = simplified(build, x)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)
    assert [name for name in names if name != "graph.constant"] == ["graph.matmul", "graph.add"]


def test_rounding_behind_a_contraction_stays() -> None:
    magic = 12582912.0

    def build(emit, constant, x):
        y = emit(graph.MatmulOp(x, constant([[1.0, 0.5]])))
        return emit(graph.AddOp(emit(graph.AddOp(y, constant(magic))), constant(-magic)))

    before, after, _ = simplified(build, np.array([[1.3], [2.7]], F32))
    np.testing.assert_array_equal(after, [[1.0, 1.0], [3.0, 1.0]])
    assert_same_bits(before, after)


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("make", [graph.AddOp, graph.SubOp])
def test_neutral_terms_keep_the_sign_of_zero(zero: float, make: type[graph.BinaryOp]) -> None:
    x = np.array([-0.0, 0.0, 1.0], F32)
    before, after, names = simplified(lambda emit, constant, x: emit(make(x, constant(zero))), x)
    assert_same_bits(before, after)
    removed = np.signbit(F32(zero)) == (make is graph.AddOp)
    assert ("graph.add" not in names) == removed


def test_zero_biases_of_contractions_vanish() -> None:
    _, _, names = simplified(
        lambda emit, constant, x: emit(graph.AddOp(emit(graph.MatmulOp(x, constant([[2.0]]))), constant([0.0]))),
        np.ones((2, 1), F32),
    )
    assert "graph.add" not in names


@pytest.mark.parametrize("known", [True, False])
def test_square_roots_of_what_cannot_be_negative(known: bool) -> None:
    x = np.array([-np.inf, -0.0, 4.0, np.inf], F32)

    def build(emit, constant, x):
        base = emit(graph.AddOp(emit(graph.MulOp(x, x)), constant(1e-5))) if known else x
        return emit(graph.PowOp(base, constant(0.5)))

    before, after, names = simplified(build, x)
    np.testing.assert_allclose(after, before, rtol=1e-6)
    np.testing.assert_array_equal(np.signbit(after), np.signbit(before))
    assert ("graph.sqrt" in names) == known


@pytest.mark.parametrize("outer", [(5.0, 3.0), (2.0, 6.0), (None, 3.0), (4.0, None)])
@pytest.mark.parametrize("inner", [(0.0, None), (6.0, 2.0), (-1.0, 5.0)])
def test_clips_of_clips(inner: tuple[float | None, float | None], outer: tuple[float | None, float | None]) -> None:
    x = np.array([-2.0, -1.0, 1.0, 4.0, 10.0, np.nan, np.inf], F32)
    before, after, names = simplified(
        lambda emit, constant, x: emit(graph.ClipOp(emit(graph.ClipOp(x, *inner)), *outer)), x
    )
    np.testing.assert_array_equal(after, before)
    assert len(names) == 1

