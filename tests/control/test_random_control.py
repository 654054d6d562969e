"""Random loops and branches: NumPy, the interpreters of all levels and the simulator agree; no hazards."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.driver import Compilation, make_context
from npucc.interpreters.graph import run_graph
from npucc.interpreters.tile import run_tile
from npucc.npu_values import run_npu
from npucc.options import Options
from npucc.pipeline import Level, pipeline
from npuisa.instructions import SFence, SLi
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.hazards import check_hazards, require_no_hazards
from random_control import random_program


def small_target() -> Target:
    """A machine on which matrices of 40 x 96 do not fit all at once."""
    target = Target.load("edge-4t")
    return target.model_copy(update={"sram": target.sram.model_copy(update={"bytes": 1 << 16})})


def check(seed: int, depth: int, shape: tuple[int, int] = (2, 5), target: Target | None = None) -> None:
    """One program on all levels."""
    module, constants, arrays, expected = random_program(seed, depth, shape)
    target = target or Target.load("edge-4t")
    compilation = Compilation(Options(), module, make_context(target, constants))
    module.verify()

    def agrees(values: list[np.ndarray]) -> None:
        np.testing.assert_allclose(values[0], expected, rtol=2e-3, atol=2e-4)

    agrees(run_graph(module, arrays, constants))
    for step in pipeline(compilation.options):
        compilation.run([step])
        if step.level is Level.GRAPH:
            agrees(run_graph(module, arrays, constants))
        elif step.level is Level.TILE:
            agrees(run_tile(module, arrays, constants))
    program = compilation.emit()
    feed = dict(zip(("x", "rows", "number"), arrays))
    agrees(list(run_npu(module, feed, constants, target).values()))
    simulator = FunctionalSimulator(program, target)
    agrees(list(simulator.run(feed).values()))
    require_no_hazards(program, target, simulator.loads)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1 << 32))
def test_levels_agree(seed: int) -> None:
    check(seed, depth=1)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1 << 32))
def test_levels_agree_when_nested(seed: int) -> None:
    check(seed, depth=2)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1 << 32))
def test_levels_agree_where_tensors_do_not_fit(seed: int) -> None:
    check(seed, 1, (40, 96), small_target())


def test_without_fences_there_are_races() -> None:
    """Steps are ordered by nothing else."""
    module, constants, arrays, _ = random_program(3, 1)
    target = Target.load("edge-4t")
    compilation = Compilation(Options(), module, make_context(target, constants))
    compilation.run(pipeline(compilation.options))
    program = compilation.emit()
    simulator = FunctionalSimulator(program, target)
    simulator.run(dict(zip(("x", "rows", "number"), arrays)))
    assert check_hazards(program, target, loads=simulator.loads) == []
    nothing = SLi(rd=0, value=0)
    program.instructions = [nothing if isinstance(each, SFence) else each for each in program.instructions]
    assert check_hazards(program, target, loads=simulator.loads)
