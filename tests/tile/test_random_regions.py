"""Random tile programs whose groups stand in loops and branches: every region is synchronised by itself, so that it may
run any number of times, also where credits of semaphores are adapted."""

from __future__ import annotations

import random

import numpy as np
import pytest
from npucc.constants import ConstantStore
from npucc.dialects.tile import GroupOp, SyncOp
from npucc.emit import emit_program
from npucc.interpreters.tile import run_tile
from npuisa.errors import NpuError
from npusim.functional import run_functional
from npusim.hazards import check_hazards
from random_programs import Generator
from tile_text import edge, run_passes
from xdsl.builder import Builder
from xdsl.dialects import arith, func, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, ModuleOp
from xdsl.ir import Block, Operation, Region
from xdsl.rewriter import InsertPoint

INPUT = np.random.default_rng(5).normal(size=(16, 4)).astype(np.float32)


def with_regions(module: ModuleOp, seed: int) -> ModuleOp:
    """The same with a run of groups in a loop of one to three steps, perhaps in a second loop."""
    rng = random.Random(seed)
    main = next(op for op in module.ops if isinstance(op, func.FuncOp))
    for _ in range(rng.randint(1, 2)):
        wrap(main.body.block, rng)
    module.verify()
    return module


def wrap(block: Block, rng: random.Random) -> None:
    """Put some neighbouring groups and loops of `block` into a loop."""
    items: list[Operation] = [op for op in block.ops if isinstance(op, GroupOp | scf.ForOp)]
    first = rng.randrange(len(items))
    chosen = items[first : rng.randint(first, len(items) - 1) + 1]
    builder = Builder(InsertPoint.before(chosen[0]))
    bounds = [
        builder.insert(arith.ConstantOp(IntegerAttr(n, IndexType()))).result for n in (0, rng.randint(1, 3), 1)
    ]
    body = Block(arg_types=[IndexType()])
    builder.insert(scf.ForOp(*bounds, [], Region(body)))
    for op in chosen:
        op.detach()
        body.add_op(op)
    body.add_op(scf.YieldOp())


def check(module: ModuleOp, expected: list[np.ndarray]) -> None:
    """The program computes what the tile program means, and nothing races."""
    program = emit_program(run_passes(module.clone(), "convert-tile-to-npu"), ConstantStore())
    (found,) = run_functional(program, {"x": INPUT}, target=edge()).values()
    np.testing.assert_array_equal(found, expected[0])
    assert check_hazards(program, edge()) == []


@pytest.mark.parametrize("seed", range(30))
def test_regions_run_any_number_of_times(seed: int) -> None:
    module = with_regions(Generator(seed).module(), seed)
    expected = run_tile(module, [INPUT], ConstantStore())
    check(run_passes(module, "tile-plan-memory,tile-insert-semaphores"), expected)


def test_adapted_credits_are_given_back() -> None:
    adapted = 0
    for seed in range(24):
        module = with_regions(Generator(seed).module(), seed)
        expected = run_tile(module, [INPUT], ConstantStore())
        run_passes(module, "tile-plan-memory")
        for limit in range(30, 0, -1):
            attempt = module.clone()
            try:
                run_passes(attempt, f"tile-insert-semaphores{{limit={limit}}}")
            except NpuError:
                break
        else:
            continue
        few = module.clone()
        run_passes(few, f"tile-insert-semaphores{{limit={limit + 1}}}")
        check(few, expected)
        adapted += any(isinstance(op, SyncOp) and op.next_op is None for op in few.walk())
    assert adapted > 2
