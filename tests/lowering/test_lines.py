"""Argsort, running sums and compaction: the levels agree with each other and with the simulator, without hazards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npucc.dialects import graph, tile
from npucc.emit import emit_program
from npucc.interpreters.graph import run_graph
from npucc.interpreters.tile import run_tile
from npucc.npu_values import run_npu
from npucc.passes.npu.lower_tile import ConvertTileToNpuPass
from npucc.passes.tile.insert_semaphores import TileInsertSemaphoresPass
from npucc.passes.tile.plan_memory import TilePlanMemoryPass
from npuisa.errors import NpuError
from npusim.functional import run_functional
from npusim.hazards import require_no_hazards
from npusim.timing import simulate_timing

RELAXED = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def everywhere(built: Any, module: Any, target: Any, lower: Any) -> list[np.ndarray]:
    """The results of the graph, after the tile interpreter, the npu interpreter and the simulator gave the same."""
    expected = run_graph(module, built.inputs, built.constants)
    lowered = lower(module, built.constants, target)
    found = [run_tile(lowered, built.inputs, built.constants)]
    from npucc.context import NpuContext

    context = NpuContext()
    context.constants, context.target = built.constants, target
    for each in (TilePlanMemoryPass(), TileInsertSemaphoresPass(), ConvertTileToNpuPass()):
        each.apply(context, lowered)
        lowered.verify()
    inputs = {f"x{index}": array for index, array in enumerate(built.inputs)}
    program = emit_program(lowered, built.constants)
    require_no_hazards(program, target)
    assert simulate_timing(program, target).cycles > 0
    for run in (run_npu(lowered, inputs, built.constants, target), run_functional(program, inputs)):
        found.append([run[f"y{index}"] for index in range(len(expected))])
    for values in found:
        for want, got in zip(expected, values, strict=True):
            assert want.dtype == got.dtype
            np.testing.assert_array_equal(got, want)
    return expected


def tied(built: Any, rng: np.random.Generator) -> None:
    """Inputs with ties, NaN, infinities and zeros of both signs."""
    choice = np.array([0.0, -0.0, 1.0, 1.5, -2.0, np.nan, np.inf, -np.inf], np.float32)
    built.inputs = [rng.choice(choice, x.shape) for x in built.inputs]


@RELAXED
@given(
    lead=st.lists(st.integers(1, 9), max_size=2).map(tuple),
    length=st.integers(1, 300),
    share=st.floats(0, 1),
    first=st.booleans(),
    descending=st.booleans(),
    element=st.sampled_from(["i32", "i64"]),
    sram=st.sampled_from([1 << 20, 16_000]),
    seed=st.integers(0, 99),
)
def test_argsort(
    lead: tuple[int, ...], length: int, share: float, first: bool, descending: bool, element: str, sram: int, seed: int,
    graph_builder: Any, make_machine: Any, lower_module: Any,
) -> None:  # fmt: skip
    shape, axis = ((length, *lead), 0) if first else ((*lead, length), len(lead))
    b = graph_builder([shape])
    tied(b, np.random.default_rng(seed))
    count = max(1, round(share * length))
    (order,) = everywhere(
        b,
        b.module(b.insert(graph.ArgsortOp(b.block.args[0], count, descending, element, axis))),
        make_machine(sram, 4096),
        lower_module,
    )
    chosen = np.take_along_axis(b.inputs[0], order.astype(np.int64), axis)
    whole = np.sort(b.inputs[0], axis)
    np.testing.assert_array_equal(chosen, np.take(np.flip(whole, axis) if descending else whole, range(count), axis))


@RELAXED
@given(
    lead=st.lists(st.integers(1, 9), max_size=2).map(tuple),
    length=st.integers(1, 300),
    fn=st.sampled_from(["sum", "prod", "max", "min"]),
    exclusive=st.booleans(),
    reverse=st.booleans(),
    first=st.booleans(),
    sram=st.sampled_from([1 << 20, 16_000]),
)
def test_scan(
    lead: tuple[int, ...], length: int, fn: str, exclusive: bool, reverse: bool, first: bool, sram: int,
    graph_builder: Any, make_machine: Any, lower_module: Any,
) -> None:  # fmt: skip
    b = graph_builder([(length, *lead) if first else (*lead, length)])
    running = b.insert(graph.ScanOp(b.block.args[0], fn, exclusive, reverse, axis=0 if first else -1))
    everywhere(b, b.module(b.insert(graph.NegOp(running))), make_machine(sram, 4096), lower_module)


@RELAXED
@given(
    lead=st.lists(st.integers(1, 9), max_size=2).map(tuple),
    length=st.integers(1, 300),
    share=st.floats(0, 1),
    sram=st.sampled_from([1 << 20, 16_000]),
    seed=st.integers(0, 99),
)
def test_compaction(
    lead: tuple[int, ...], length: int, share: float, sram: int, seed: int,
    graph_builder: Any, make_machine: Any, lower_module: Any,
) -> None:  # fmt: skip
    b = graph_builder([(*lead, length), (*lead, length)])
    tied(b, np.random.default_rng(seed))
    x, y = b.block.args
    count = max(1, round(share * length))
    mask = b.insert(graph.GreaterOp(x, y))
    places = b.insert(graph.NonzeroOp(mask, count, "i32"))
    shifted = b.insert(graph.AddOp(places, places))
    module = b.module(places, shifted, b.insert(graph.CompressOp(x, mask, count)), b.insert(graph.NonzeroOp(y, 1)))
    everywhere(b, module, make_machine(sram, 4096), lower_module)


def test_a_line_beyond_the_memory_is_a_clear_error(graph_builder: Any, make_machine: Any, lower_module: Any) -> None:
    b = graph_builder([(4, 5000)])
    module = b.module(b.insert(graph.ArgsortOp(b.block.args[0], 5000)))
    with pytest.raises(NpuError) as caught:
        lower_module(module, b.constants, make_machine(65_536, 512))
    assert caught.value.entry.code == "NPU-E0701" and "bytes of SRAM at least" in caught.value.found


def test_the_sort_works_in_a_pool_of_one_slot(graph_builder: Any, make_machine: Any, lower_module: Any) -> None:
    b = graph_builder([(64, 1000)])
    module = b.module(b.insert(graph.ArgsortOp(b.block.args[0], 10, True)))
    lowered = lower_module(module, b.constants, make_machine(40_000, 512))
    pools = {op.label.data: op for op in lowered.walk() if isinstance(op, tile.PoolOp)}
    assert pools["work"].depth.value.data == 1 and pools["work"].slot_bytes.value.data == 32 * 8
