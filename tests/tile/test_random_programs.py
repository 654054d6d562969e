"""Random tile programs, planned, synchronised, lowered and run: same values as the tile interpreter, no hazard."""

from __future__ import annotations

import numpy as np
import pytest
from npucc.constants import ConstantStore
from npucc.context import NpuContext
from npucc.emit import emit_program
from npucc.interpreters.tile import run_tile
from npucc.passes.registry import make_pipeline
from npuisa.target import Target
from npusim.functional import run_functional
from npusim.hazards import check_hazards
from npusim.timing import simulate_timing
from random_programs import Generator

PIPELINE = "tile-plan-memory{{prefetch={prefetch}}},tile-insert-semaphores,convert-tile-to-npu"


def check(seed: int) -> None:
    """Compile the program of `seed` and compare."""
    module = Generator(seed).module()
    module.verify()
    x = np.random.default_rng(seed).uniform(-1, 1, (16, 4)).astype(np.float32)
    (expected,) = run_tile(module, [x], ConstantStore())
    target = Target.load("edge-4t")
    context = NpuContext(target=target)
    for made in make_pipeline(PIPELINE.format(prefetch=str(seed % 2 == 0).lower())):
        made.apply(context, module)
        module.verify()
    program = emit_program(module, ConstantStore())
    assert check_hazards(program, target) == []
    found = run_functional(program, {"x": x}, target=target)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert simulate_timing(program, target).cycles > 0


@pytest.mark.parametrize("seed", range(40))
def test_random_program_is_synchronised(seed: int) -> None:
    check(seed)
