"""Kept copies of operands never outlive the bytes they came from."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.dtypes import dtype_named
from npuisa.instructions import (
    AccMode,
    DmaCopy,
    DmaFill,
    Engine,
    Instruction,
    MxConv,
    MxGemm,
    Operand,
    OutStore,
    ReduceFn,
    SLoop,
    VReduce,
)
from npuisa.kernel import Kernel, MicroType
from npuisa.program import LoopSpec, Port, Program, Region, RegionKind
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.staging import SLOTS, Staging, address_range

F16, F32 = dtype_named("f16"), dtype_named("f32")
RESULT_BYTES, MEMORY = 1024, 4096
SOURCES, READERS = range(4), range(4, 8)


def descriptors(places: list[int]) -> list[Descriptor]:
    """DRAM sources 0-3, f16 matrix operands at drawn SRAM addresses (overlapping), accumulators, results."""
    sram = [
        Descriptor("x", Space.SRAM, F16, places[0] * 2, (1, 5, 5, 4), row_major((1, 5, 5, 4))),
        Descriptor("w", Space.SRAM, F16, places[1] * 2, (3, 3, 4, 4), row_major((3, 3, 4, 4))),
        Descriptor("a", Space.SRAM, F16, places[2] * 2, (6, 8), (9, 1)),
        Descriptor("b", Space.SRAM, F16, places[3] * 2, (8, 8), row_major((8, 8))),
    ]
    dram = [Descriptor("d", Space.DRAM, F16, 512 * i, item.dims, row_major(item.dims)) for i, item in enumerate(sram)]
    conv_acc = Descriptor("conv", Space.ACC, F32, 0, (1, 3, 3, 4), row_major((1, 3, 3, 4)))
    gemm_acc = Descriptor("gemm", Space.ACC, F32, 512, (6, 8), row_major((6, 8)))
    store = Descriptor("store", Space.SRAM, F16, places[4] * 2, (6, 8), row_major((6, 8)))
    total = Descriptor("total", Space.SRAM, F16, places[5] * 2, (1, 8), (8, 1))
    return [*dram, *sram, conv_acc, gemm_acc, store, total]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    copies = [DmaCopy(unit=Engine.DMA0, dst=Operand(4 + i), src=Operand(i)) for i in range(4)]
    conv = MxConv(dst=Operand(8), x=Operand(4), w=Operand(5), mode=AccMode.ADD)
    gemm = MxGemm(dst=Operand(9), a=Operand(6), b=Operand(7), mode=AccMode.ADD)
    others = [
        conv,
        gemm,
        OutStore(dst=Operand(10), kernel=0, acc=Operand(9)),
        VReduce(dst=Operand(11), src=Operand(6), fn=ReduceFn.MAX, axes=1),
        DmaFill(unit=Engine.DMA1, dst=Operand(11)),
    ]
    body = draw(st.lists(st.sampled_from([*others, conv, gemm, *copies]), max_size=12))
    code: list[Instruction] = [*copies, SLoop(count=4, end=len(copies) + 3 + len(body), step=0), conv, gemm, *body]
    places = draw(st.lists(st.integers(0, 400), min_size=6, max_size=6))
    identity = Kernel("identity", (MicroType.F32,), ())
    region, port = Region("in", RegionKind.INPUT, 0, 2048), Port("in", F16, (1024,), 0)
    return Program("edge-4t", code, descriptors(places), [identity], [LoopSpec()], [], [], [region], [port], [])


def final_memory(program: Program, keep: bool) -> tuple[np.ndarray, np.ndarray]:
    simulator = FunctionalSimulator(program, Target.load("edge-4t"))
    simulator._staging._keep = keep
    for space in (Space.SRAM, Space.ACC):
        simulator.memory.segment(space, 0, 1).data.fill(0)
    given = np.random.default_rng(0).standard_normal(1024).astype(np.float16)
    simulator.memory.write_input(program.inputs[0], given)
    simulator.execute()
    sram, acc = (simulator.memory.segment(space, 0, 1).data for space in (Space.SRAM, Space.ACC))
    return sram[:MEMORY].copy(), acc[:RESULT_BYTES].copy()


@settings(max_examples=60, deadline=None)
@given(programs())
def test_programs_give_the_same_bytes_with_and_without_kept_copies(program):
    for kept, fresh in zip(final_memory(program, True), final_memory(program, False)):
        assert np.array_equal(kept, fresh)


def test_copies_are_found_again_until_their_bytes_are_written():
    staging, owner, memory = Staging(keep=True), object(), np.zeros(100, np.uint8)
    source = memory[10:20]
    low = address_range(memory)[0]
    copy, ready = staging.take(owner, source, (10,), np.dtype("f4"))
    assert not ready
    copy[:] = 7
    staging.written(low + 20, low + 30)
    staging.written(low, low + 10)
    again, ready = staging.take(owner, source, (10,), np.dtype("f4"))
    assert ready and (again == 7).all()
    staging.written(low + 19, low + 30)
    assert not staging.take(owner, source, (10,), np.dtype("f4"))[1]


def test_the_least_recently_used_copy_goes_first():
    staging, owner = Staging(keep=True), object()
    sources = [np.zeros(4, np.float32) for _ in range(SLOTS + 1)]
    for source in (*sources[:SLOTS], sources[0], sources[SLOTS]):
        staging.take(owner, source, (4,), np.dtype("f4"))
    assert staging.take(owner, sources[0], (4,), np.dtype("f4"))[1]
    assert not staging.take(owner, sources[1], (4,), np.dtype("f4"))[1]


def test_nothing_is_kept_for_users_who_do_not_report_writes():
    staging, owner, source = Staging(), object(), np.zeros(4, np.float32)
    first, _ = staging.take(owner, source, (4,), np.dtype("f4"))
    second, ready = staging.take(owner, source, (4,), np.dtype("f4"))
    assert not ready and not np.shares_memory(first, second)


def test_address_range_of_reversed_views():
    memory = np.zeros(100, np.uint8)
    low = address_range(memory)[0]
    assert address_range(memory[50:10:-2]) == (low + 12, low + 51)
