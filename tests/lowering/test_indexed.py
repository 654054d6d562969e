"""Gathers and scatters through all levels, on machines whose memory makes them go each way."""

from __future__ import annotations

import math
from collections.abc import Callable

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npucc.constants import ConstantStore
from npucc.dialects import graph, tile
from npucc.driver import compile, simulate
from npucc.frontend import interpolation
from npucc.interpreters.graph import run_graph
from npucc.interpreters.tile import run_tile
from npucc.options import Options
from npucc.passes.graph.fuse import build_group
from npucc.schedule.groups import group_problem
from npucc.schedule.search import search
from npucc.types import element_of_numpy, tensor
from npuisa.target import Target
from npusim.hazards import require_no_hazards
from one_op_models import model_of, run_nodes
from onnx import helper
from onnx.reference import ReferenceEvaluator
from xdsl.builder import Builder
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, FunctionType, ModuleOp, StringAttr
from xdsl.ir import Block, Region
from xdsl.rewriter import InsertPoint

TARGET = Target.load("edge-4t")
TYPES = [np.dtype(name) for name in ("f4", "f2", "i1", "i8", "?")] + [np.dtype(ml_dtypes.bfloat16)]
FUNCTIONS = ("none", "add", "mul", "min", "max")
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Array = np.ndarray


def numbers(rng: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> Array:
    """Small numbers, and for floats some that are none."""
    values = rng.integers(-3, 4, shape).astype(dtype)
    if dtype.kind in "fV" and values.size > 2:
        values.reshape(-1)[rng.integers(0, values.size, 2)] = np.inf, np.nan
    return values


def module_of(arrays: list[Array], make: Callable[..., graph.GraphOp], epilogue: bool = True) -> ModuleOp:
    """`@main` of one op and, where it may have one, an epilogue."""
    block = Block(arg_types=[tensor(array.shape, element_of_numpy(array.dtype)) for array in arrays])
    builder = Builder(InsertPoint.at_end(block))
    y = builder.insert(make(*block.args)).results[0]
    if epilogue and isinstance(y.owner, graph.GatherOp) and arrays[0].dtype.kind == "f":
        y = builder.insert(graph.NegOp(y)).results[0]
    builder.insert(func.ReturnOp(y))
    main = func.FuncOp("main", FunctionType.from_lists([a.type for a in block.args], [y.type]), Region(block))
    names = [StringAttr(f"x{index}") for index in range(len(arrays))]
    main.attributes |= {"npucc.inputs": ArrayAttr(names), "npucc.outputs": ArrayAttr([StringAttr("y")])}
    return ModuleOp([main])


def indices_for(rng: np.random.Generator, shape: tuple[int, int, int], size: int) -> Array:
    """Some lie outside: what they do is defined here."""
    return rng.integers(-size - 1, size + 1, shape).astype(rng.choice(["i4", "i8"]))


EXTENTS = st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 30), st.sampled_from([1, 3, 64, 100]))


@SLOW
@given(EXTENTS, st.sampled_from(TYPES), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_gather_levels(lower_module, make_machine, extents, dtype, rows, shared, small, seed):
    (b, s, n, r), rng = extents, np.random.default_rng(seed)
    x = numbers(rng, dtype, (b, s, r))
    indices = indices_for(rng, (1 if shared else b, n, 1 if rows else r), s)
    check(lower_module, make_machine, [x, indices], graph.GatherOp, small)


@SLOW
@given(EXTENTS, st.sampled_from(TYPES), st.sampled_from(FUNCTIONS), st.booleans(), st.booleans(), st.booleans(),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_scatter_levels(lower_module, make_machine, extents, dtype, fn, rows, shared, small, seed):
    (b, s, n, r), rng = extents, np.random.default_rng(seed)
    x, updates = numbers(rng, dtype, (b, s, r)), numbers(rng, dtype, (b, n, r))
    indices = indices_for(rng, (1 if shared else b, n, 1 if rows else r), s)
    check(lower_module, make_machine, [x, indices, updates], lambda *args: graph.ScatterOp(*args, fn), small)


def check(lower_module, make_machine, arrays: list[Array], make: Callable[..., graph.GraphOp], small: bool) -> None:
    """The tile program computes, bit for bit, what the graph computes."""
    module = module_of(arrays, make)
    (expected,) = run_graph(module, arrays, ConstantStore())
    lowered = lower_module(module, ConstantStore(), make_machine(4096 if small else 1 << 20, 1 << 16))
    (found,) = run_tile(lowered, arrays, ConstantStore())
    assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def compiled(arrays: dict[str, Array], node: onnx.NodeProto, target: Target, constants: dict[str, Array]) -> Array:
    """The output `y` of one node on `target`; the program has no hazard."""
    model = model_of([node], arrays, constants, ["y"])
    program = compile(model, target, Options(), shapes={name: array.shape for name, array in arrays.items()})
    require_no_hazards(program, target)
    return simulate(program, arrays, target=target, cycles=False).outputs["y"]


@pytest.mark.parametrize("sram", [4096, 1 << 20])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_programs_of_gather(make_machine, sram, axis):
    rng = np.random.default_rng(axis)
    x, indices = rng.standard_normal((6, 90, 33)).astype("f4"), rng.integers(-6, 6, (5, 4))
    node = helper.make_node("Gather", ["x", "i"], ["y"], axis=axis)
    found = compiled({"x": x, "i": indices}, node, make_machine(sram, 1 << 16), {})
    np.testing.assert_array_equal(found, np.take(x, indices, axis=axis))


@pytest.mark.parametrize("sram", [4096, 1 << 20])
@pytest.mark.parametrize("fn", FUNCTIONS)
def test_programs_of_scatter(make_machine, sram, fn):
    """4 KB hold neither the table nor all updates: rows are changed in DRAM, in the order of the updates."""
    rng = np.random.default_rng(3)
    x, updates = rng.standard_normal((700, 5)).astype("f4"), rng.standard_normal((300, 5)).astype("f4")
    indices = rng.integers(-700, 700, (300, 1))
    indices[7:20] = 11
    node = helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction=fn)
    found = compiled({"x": x, "i": indices, "u": updates}, node, make_machine(sram, 1 << 16), {})
    expected = x.copy()
    combine = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}
    for place, update in zip(indices[:, 0], updates):
        expected[place] = update if fn == "none" else combine[fn](expected[place], update)
    np.testing.assert_array_equal(found, expected)


def engines_of(lower_module, make_machine, arrays: list[Array], make, sram: int) -> set[str]:
    lowered = lower_module(module_of(arrays, make), ConstantStore(), make_machine(sram, 1 << 16))
    return {op.engine for op in lowered.walk() if isinstance(op, tile.GatherOp | tile.ScatterOp)}


def test_a_small_table_is_looked_up_in_sram_and_a_large_one_where_it_lies(lower_module, make_machine):
    few, many = np.zeros((1, 20, 8), "f4"), np.zeros((1, 50_000, 8), "f4")
    often = np.zeros((1, 2000, 1), "i8")
    assert engines_of(lower_module, make_machine, [few, often], graph.GatherOp, 1 << 20) == {"vx"}
    assert engines_of(lower_module, make_machine, [many, often], graph.GatherOp, 1 << 20) == {"dma0"}
    updates = [often[:, :4], np.zeros((1, 4, 8), "f4")]
    assert engines_of(lower_module, make_machine, [few, *updates], graph.ScatterOp, 1 << 20) == {"vx"}
    assert engines_of(lower_module, make_machine, [many, *updates], graph.ScatterOp, 1 << 16) == {"dma0"}


def test_an_epilogue_joins_a_gather():
    """Dequantisation and the sum with the positions of a quantised embedding: one group, one store."""
    rng = np.random.default_rng(0)
    table, ids = rng.integers(-99, 99, (500, 64)).astype("i1"), rng.integers(0, 500, (1, 16))
    positions = rng.standard_normal((1, 16, 64)).astype("f4")
    constants = {"table": table, "scale": np.float32(0.02), "zero": np.int8(3), "positions": positions}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("DequantizeLinear", ["rows", "scale", "zero"], ["words"]),
        helper.make_node("Add", ["words", "positions"], ["y"]),
    ]
    (found,) = run_nodes(nodes, {"ids": ids}, constants=constants)
    wanted = (table[ids].astype("f4") - 3) * np.float32(0.02) + positions
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    program = compile(model_of(nodes, {"ids": ids}, constants, ["y"]), TARGET, Options())
    assert {entry.group for entry in program.debug if entry.group >= 0} == {0}


def test_an_epilogue_of_one_element():
    x, indices = np.arange(17, dtype="f4"), np.array([-3])
    nodes = [helper.make_node("GatherElements", ["x", "i"], ["z"]), helper.make_node("Neg", ["z"], ["y"])]
    np.testing.assert_array_equal(run_nodes(nodes, {"x": x, "i": indices})[0], [-14])


def test_an_embedding_moves_only_its_rows():
    """30,522 x 384 floats are 47 MB; 128 of its rows are 197 kB, read once and written once."""
    table = np.random.default_rng(0).standard_normal((30522, 384)).astype("f4")
    ids = np.random.default_rng(1).integers(0, 30522, (1, 128))
    node = helper.make_node("Gather", ["table", "ids"], ["y"])
    target = TARGET
    program = compile(model_of([node], {"ids": ids}, {"table": table}, ["y"]), target, Options())
    result = simulate(program, {"ids": ids}, target=target)
    np.testing.assert_array_equal(result.outputs["y"], table[ids])
    moved = 2 * 128 * 384 * 4
    assert result.cycles < 1.1 * moved / target.dram_bytes_per_cycle + 4 * target.dram.latency_cycles


def test_the_bound_counts_only_rows_that_move():
    """The table is an input of the model: the compulsory traffic is not all of it."""
    inputs = {"x": np.zeros((30_000, 64), "f4"), "i": np.arange(100)}
    program = compile(model_of([helper.make_node("Gather", ["x", "i"], ["y"])], inputs, {}, ["y"]), TARGET, Options())
    report = simulate(program, target=TARGET).report
    assert report is not None and 0.5 * report.cycles < report.bound_cycles <= report.cycles


@pytest.mark.parametrize(
    ("op", "shape", "axis", "places"),
    [
        ("Gather", (100, 64), 0, (4000,)),
        ("Gather", (40_000, 64), 0, (3000,)),
        ("Gather", (32, 100, 200), 2, (100,)),
        ("GatherElements", (64, 4096), 1, (64, 4096)),
        ("GatherElements", (4096, 64), 0, (4096, 64)),
    ],
)
def test_the_schedule_is_priced_as_it_runs(op, shape, axis, places):
    rng, target = np.random.default_rng(0), TARGET
    inputs = {"x": rng.standard_normal(shape).astype("f4"), "i": rng.integers(0, shape[axis], places)}
    model = model_of([helper.make_node(op, ["x", "i"], ["y"], axis=axis)], inputs, {}, ["y"])
    cycles = simulate(compile(model, target, Options()), inputs, target=target).cycles
    table = np.zeros((math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])), "f4")
    rows = op == "Gather"
    indices = np.zeros((1, math.prod(places), 1) if rows else (table.shape[0], places[axis], table.shape[2]), "i8")
    module = module_of([table, indices], graph.GatherOp, epilogue=False)
    group = build_group([next(each for each in module.walk() if isinstance(each, graph.GatherOp))])
    plan = search(group_problem(group, target, lambda _: "dram", lambda _: False), target, target.sram.bytes)
    assert plan is not None and plan.cycles == pytest.approx(cycles, rel=0.1)


@pytest.mark.parametrize("part", [40, 1 << 15])
def test_sampling_in_a_loop_of_the_device(part, monkeypatch):
    monkeypatch.setattr(interpolation, "_PART", part)
    rng = np.random.default_rng(0)
    x, grid = rng.standard_normal((2, 4, 9, 9)).astype("f4"), rng.uniform(-1.1, 1.1, (2, 16, 10, 2)).astype("f4")
    node = helper.make_node("GridSample", ["x", "grid"], ["y"])
    found = compiled({"x": x, "grid": grid}, node, TARGET, {})
    expected = ReferenceEvaluator(model_of([node], {"x": x, "grid": grid}, {}, ["y"])).run(None, {"x": x, "grid": grid})
    np.testing.assert_allclose(found, expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["f16", "bf16"])
def test_tables_in_sixteen_bits(precision):
    rng = np.random.default_rng(0)
    x, indices = rng.standard_normal((50, 16)).astype("f4"), rng.integers(0, 50, (7,))
    w = rng.standard_normal((16, 8)).astype("f4")
    nodes = [helper.make_node("Gather", ["x", "i"], ["g"]), helper.make_node("MatMul", ["g", "w"], ["y"])]
    (found,) = run_nodes(nodes, {"i": indices}, constants={"x": x, "w": w}, precision=precision)
    np.testing.assert_allclose(found, x[indices] @ w, rtol=0.05, atol=0.2)
