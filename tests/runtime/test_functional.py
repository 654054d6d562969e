"""Whole programs: ports, constants, semaphores in program order, taps, loops over tiles, and every error of a run."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.dtypes import dtype_named
from npuisa.errors import NpuError
from npuisa.instructions import TABLE, DmaCopy, Engine, MxGemm, Operand, OutStore, QSync, SHalt, SLoop
from npuisa.kernel import Kernel, MicroOp, MicroType
from npuisa.program import DebugEntry, Increment, LoopSpec, Port, Program, Region, RegionKind
from npuisa.target import Target
from npusim.functional import FunctionalSimulator, run_functional
from npusim.semantics import SEMANTICS

F32 = dtype_named("f32")
M, K, N, TILE = 24, 64, 48, 16
WEIGHTS_AT, OUT_AT = 0x10000, 0x20000
X_FULL, W_FREE, W_FULL, ACC_FREE, ACC_FULL, OUT_FREE, OUT_FULL = range(7)


def dense(name: str, space: Space, base: int, dims: tuple[int, ...], row: int | None = None) -> Descriptor:
    strides = row_major(dims) if row is None else (row, 1)
    return Descriptor(name, space, F32, base, dims, strides)


def tiled_matmul() -> tuple[Program, np.ndarray]:
    """relu(x @ w), column tiles of w and of the result in rotating buffers of two, as the compiler emits it."""
    w = np.random.default_rng(0).standard_normal((K, N)).astype(np.float32)
    x_bytes, w_tile, out_tile = M * K * 4, K * TILE * 4, M * TILE * 4
    descriptors = [
        dense("x", Space.DRAM, 0, (M, K)),
        dense("xs", Space.SRAM, 0, (M, K)),
        dense("w", Space.DRAM, WEIGHTS_AT, (K, TILE), N),
        dense("ws", Space.SRAM, x_bytes, (K, TILE)),
        dense("acc", Space.ACC, 0, (M, TILE)),
        dense("os", Space.SRAM, x_bytes + 2 * w_tile, (M, TILE)),
        dense("out", Space.DRAM, OUT_AT, (M, TILE), N),
    ]
    ops = (MicroOp("const", MicroType.F32, 1), MicroOp("max", MicroType.F32, 0, (0, 1)))
    relu = Kernel("relu", (MicroType.F32,), ops, (0.0,))
    code = [
        DmaCopy(unit=Engine.DMA0, dst=Operand(1), src=Operand(0), posts=(X_FULL,)),
        QSync(unit=Engine.MX, waits=(X_FULL,)),
        SLoop(count=N // TILE, end=7, step=0),
        DmaCopy(unit=Engine.DMA1, dst=Operand(3, 2), src=Operand(2, 1), waits=(W_FREE,), posts=(W_FULL,)),
        MxGemm(dst=Operand(4, 3), a=Operand(1), b=Operand(3, 2), waits=(W_FULL, ACC_FREE), posts=(W_FREE, ACC_FULL)),
        OutStore(
            dst=Operand(5, 4), kernel=0, acc=Operand(4, 3), waits=(ACC_FULL, OUT_FREE), posts=(ACC_FREE, OUT_FULL)
        ),
        DmaCopy(unit=Engine.DMA2, dst=Operand(6, 1), src=Operand(5, 4), waits=(OUT_FULL,), posts=(OUT_FREE,)),
        SHalt(),
    ]
    steps = (
        Increment(1, TILE * 4),
        Increment(2, w_tile, 2 * w_tile),
        Increment(3, out_tile, 2 * out_tile),
        Increment(4, out_tile, 2 * out_tile),
    )
    regions = [
        Region("in", RegionKind.INPUT, 0, x_bytes),
        Region("weights", RegionKind.CONSTANT, WEIGHTS_AT, w.nbytes),
        Region("out", RegionKind.OUTPUT, OUT_AT, M * N * 4),
    ]
    program = Program(
        target="edge-4t",
        instructions=code,
        descriptors=descriptors,
        kernels=[relu],
        loops=[LoopSpec(steps)],
        semaphores=[0, 2, 0, 2, 0, 2, 0],
        semaphore_names=["x_full", "w_free", "w_full", "acc_free", "acc_full", "out_free", "out_full"],
        regions=regions,
        inputs=[Port("x", F32, (M, K), 0)],
        outputs=[Port("y", F32, (M, N), OUT_AT)],
        constants={"weights": w.view(np.uint8).ravel()},
        debug=[DebugEntry(0, "fc", "matmul", ("/fc/MatMul",))] * len(code),
    )
    return program, w


def inputs(seed: int = 1) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(seed).standard_normal((M, K)).astype(np.float32)}


def test_every_queued_instruction_has_semantics():
    queued = {cls for cls in TABLE.values() if cls.fixed_engine is not Engine.SEQ}
    missing = sorted(cls.mnemonic for cls in queued - SEMANTICS.keys())
    assert not missing, f"no semantics for {missing}: add them to runtime/npusim/semantics/__init__.py"
    assert not SEMANTICS.keys() - queued


def test_tiled_matmul_with_rotating_buffers():
    program, w = tiled_matmul()
    given = inputs()
    result = run_functional(program, given)
    assert result["y"].dtype == np.float32
    np.testing.assert_allclose(result["y"], np.maximum(given["x"] @ w, 0), rtol=1e-5, atol=1e-5)


def test_a_prepared_simulator_runs_again_and_constants_are_not_copied():
    program, w = tiled_matmul()
    program.constants["weights"].flags.writeable = False
    simulator = FunctionalSimulator(program, Target.load("edge-4t"))
    for seed in (1, 2):
        given = inputs(seed)
        result = simulator.run(given)["y"]
        np.testing.assert_allclose(result, np.maximum(given["x"] @ w, 0), rtol=1e-5, atol=1e-5)
    segment = simulator.memory.segment(Space.DRAM, WEIGHTS_AT, WEIGHTS_AT + 4)
    assert segment is not None and np.shares_memory(segment.data, program.constants["weights"])


def test_taps_see_the_memory_after_each_issue_and_progress_is_reported(monkeypatch):
    monkeypatch.setattr("npusim.functional.PROGRESS_INTERVAL", 4)
    program, w = tiled_matmul()
    given, seen, ticks = inputs(), [], []

    def tap(issued, memory):
        descriptor = program.descriptors[4]
        low, high = descriptor.byte_range(issued.offsets[0])
        segment = memory.segment(Space.ACC, low, high)
        seen.append(np.ndarray(descriptor.dims, np.float32, segment.data, low).copy())

    run_functional(program, given, taps={4: tap}, progress=ticks.append)
    assert len(seen) == N // TILE
    for number, tile in enumerate(seen):
        np.testing.assert_allclose(tile, given["x"] @ w[:, number * TILE : (number + 1) * TILE], rtol=1e-5, atol=1e-5)
    assert ticks == [4, 8, 12, 16]


def replace_instruction(program: Program, index: int, **changes) -> None:
    program.instructions[index] = replace(program.instructions[index], **changes)


@pytest.mark.parametrize(
    ("index", "changes", "semaphore"),
    [(4, {"waits": (OUT_FULL, ACC_FREE)}, "out_full"), (1, {"count": 2}, "x_full")],
)
def test_program_order_that_blocks_is_an_error(index, changes, semaphore):
    program, _ = tiled_matmul()
    replace_instruction(program, index, **changes)
    message = rf"NPU-E0405: program order blocks at instruction {index} waiting on semaphore {semaphore}"
    with pytest.raises(NpuError, match=message + r"[\s\S]*group 0 fc \[/fc/MatMul\]"):
        run_functional(program, inputs())


def test_sync_counts_posts():
    program, _ = tiled_matmul()
    replace_instruction(program, 1, waits=(W_FREE,), posts=(X_FULL,), count=2)
    program.instructions.insert(2, QSync(unit=Engine.MX, waits=(X_FULL,), posts=(W_FREE,), count=2))
    replace_instruction(program, 3, end=8)
    replace_instruction(program, 0, posts=())
    run_functional(program, inputs())


@pytest.mark.parametrize(
    ("descriptor", "base", "text"),
    [
        (3, (1 << 20) - 64, r"operand dst \(ws, r2 = 0\) lies outside sram"),
        (2, WEIGHTS_AT + 64, r"operand src \(w, r1 = 128\) lies outside dram"),
        (6, WEIGHTS_AT, "constant region weights is read-only"),
        (0, 0x90000, "dram has in"),
    ],
)
def test_operands_outside_their_memory_are_named(descriptor, base, text):
    program, _ = tiled_matmul()
    program.descriptors[descriptor] = replace(program.descriptors[descriptor], base=base)
    with pytest.raises(NpuError, match="NPU-E0404") as caught:
        run_functional(program, inputs())
    assert re.search(text, str(caught.value)), caught.value
    assert "bytes [" in str(caught.value)


def test_inputs_must_match_the_signature():
    program, _ = tiled_matmul()
    with pytest.raises(NpuError, match=r"NPU-E0407[\s\S]*missing \['x'\], unknown \['z'\]"):
        run_functional(program, {"z": inputs()["x"]})
    with pytest.raises(NpuError, match=r"NPU-E0407: input x does not fit[\s\S]*float64"):
        run_functional(program, {"x": inputs()["x"].astype(np.float64)})
    with pytest.raises(NpuError, match=r"NPU-E0407: input x does not fit"):
        run_functional(program, {"x": inputs()["x"][:-1]})


def test_regions_must_be_whole_and_disjoint():
    program, _ = tiled_matmul()
    program.regions.append(Region("again", RegionKind.SCRATCH, WEIGHTS_AT + 8, 64))
    with pytest.raises(NpuError, match="NPU-E0408: DRAM regions overlap"):
        run_functional(program, inputs())
    program, _ = tiled_matmul()
    program.constants = {"weights": program.constants["weights"][:-4]}
    with pytest.raises(NpuError, match="NPU-E0408: constant region weights needs"):
        run_functional(program, inputs())
