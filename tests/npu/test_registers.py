"""Address registers against direct evaluation of the loops, on random nests of loops, pools and views."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.constants import ConstantStore
from npucc.dialects import tile
from npucc.emit import emit_program
from npucc.interpreters.addresses import address_differences
from npucc.passes.npu.lower_tile import lower_function
from npuisa.errors import NpuError
from npuisa.instructions import SCALAR_REGISTERS, SBr
from npuisa.target import Target
from npuisa.validate import validate_program
from npusim.functional import run_functional
from tile_builder import TileProgram
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

TARGET = Target.load("edge-4t")
ROWS = 64

ITEM = st.deferred(
    lambda: st.one_of(
        st.tuples(st.just("acquire"), st.integers(0, 2)),
        st.tuples(st.just("use"), st.integers(0, 9), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("loop"), st.integers(1, 3), st.integers(1, 2), st.lists(ITEM, min_size=1, max_size=4)),
    )
)
GROUP = st.tuples(
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.lists(
        st.tuples(st.just("loop"), st.integers(1, 3), st.integers(1, 2), st.lists(ITEM, min_size=1, max_size=4)),
        min_size=1,
        max_size=3,
    ),
)


class NestBuilder:
    """Builds a group from a drawn description; uses refer to buffers and counters that are in scope."""

    def __init__(self, p: TileProgram, depths: list[int]) -> None:
        self.p = p
        self.pools = [p.pool(f"p{i}", "sram", depth, 256 + 64 * i) for i, depth in enumerate(depths)]
        self.accumulator = p.pool("acc", "acc", 1, 64)

    def block(self, items: list, buffers: list[SSAValue], counters: list[SSAValue]) -> None:
        buffers = list(buffers)
        for item in items:
            if item[0] == "acquire":
                buffers.append(self.p.acquire(self.pools[item[1]], (ROWS,), "f32"))
            elif item[0] == "use":
                self._use(item[1], item[2], item[3], buffers, counters)
            elif len(counters) < 6:
                _, count, step, inner = item
                with self.p.loop(step, step * (count + 1), step) as counter:
                    self.block(inner, buffers, [*counters, counter])

    def _use(self, which: int, seed: int, two: bool, buffers: list[SSAValue], counters: list[SSAValue]) -> None:
        if not buffers:
            return
        buffer = buffers[-1 - which % len(buffers)]
        offset: SSAValue | int = seed
        for counter in counters[seed % 3 :][: 1 + two]:
            base = self.p.index(seed) if isinstance(offset, int) else offset
            offset = self.p.builder.insert(arith.AddiOp(base, counter)).result
        view = self.p.view(buffer, [offset], [2])
        self.p.add(tile.FillOp(view, 1.0))
        if not isinstance(offset, int):
            acc = self.p.acquire(self.accumulator, (2, 2), "f32")
            a = self.p.view(self.matrix, [0, 0], [2, 2])
            difference = self.p.builder.insert(arith.SubiOp(offset, self.p.index(seed + 1))).result
            self.p.add(tile.GemmOp(a, a, acc, accumulate=difference))

    matrix: SSAValue


@settings(max_examples=60, deadline=None)
@given(st.lists(GROUP, min_size=1, max_size=2))
def test_registers_follow_loops_and_rotations(groups: list) -> None:
    p = TileProgram({}, {})
    matrix = p.alloc("m", (2, 2), "f32", "sram")
    for index, (depths, items) in enumerate(groups):
        with p.group(f"g{index}"):
            builder = NestBuilder(p, depths)
            builder.matrix = matrix
            with p.loop(0, 1, 1) if index else nullcontext():
                builder.block([("acquire", 0), *items], [], [])
    module = p.finish()
    try:
        program = lower_function(module, TARGET)
    except NpuError as error:
        assert error.entry.code == "NPU-E0722"
        return
    program.verify()
    assert address_differences(module, program, TARGET) == []


def test_sibling_segments_share_registers() -> None:
    """Nine segments of a two-dimensional tiling need the registers of one."""
    p = TileProgram({"x": ((64, 64), "f32")}, {"y": ((64, 64), "f32")})
    with p.group("g"):
        pool = p.pool("t", "sram", 2, 4 * 16)
        with p.loop(0, 64, 32) as outer:
            for rows in ((0, 8), (8, 24), (24, 32)):
                for columns in ((0, 8), (8, 56), (56, 64)):
                    with p.loop(*rows, 4) as i, p.loop(*columns, 4) as j:
                        tile_ = p.acquire(pool, (4, 4), "f32")
                        row = p.builder.insert(arith.AddiOp(outer, i)).result
                        p.add(tile.CopyOp(p.view(p.args["x"], [row, j], [4, 4]), tile_, "dma0"))
                        p.add(tile.CopyOp(tile_, p.view(p.args["y"], [row, j], [4, 4]), "dma2"))
    module = p.finish()
    program = lower_function(module, TARGET)
    assert address_differences(module, program, TARGET) == []
    used = {
        operand.reg for op in program.walk() if hasattr(op, "operands_used") for _, _, operand in op.operands_used()
    }
    assert len(used - {0}) == 2  # one walks x and y, one the slots


def test_running_out_of_registers_is_explained() -> None:
    p = TileProgram({"x": ((4096,), "f32")}, {"y": ((4096,), "f32")})
    with p.group("wide"):
        pool = p.pool("t", "sram", 1, 64)
        with p.loop(0, 4, 1) as i:
            buffer = p.acquire(pool, (4,), "f32")
            for stride in range(1, SCALAR_REGISTERS + 2):
                start = p.builder.insert(arith.MuliOp(i, p.index(stride))).result
                p.add(tile.CopyOp(p.view(p.args["x"], [start], [4]), buffer))
    with pytest.raises(NpuError) as caught:
        lower_function(p.finish(), TARGET)
    assert caught.value.entry.code == "NPU-E0722" and 'group 0 "wide"' in str(caught.value)
    assert caught.value.remedy


def test_buffers_without_address_are_reported() -> None:
    p = TileProgram({"x": ((4,), "f32")}, {})
    with p.group("g"):
        pool = p.builder.insert(tile.PoolOp("sram", 1, 16, "t")).result
        p.add(tile.CopyOp(p.args["x"], p.acquire(pool, (4,), "f32")))
    with pytest.raises(NpuError, match="tile-plan-memory"):
        lower_function(p.finish(), TARGET)


def test_loops_beyond_the_hardware_levels_are_counted_in_registers() -> None:
    """Six levels over a rotating buffer: the outer two become branches, with the same accesses."""
    p = TileProgram({"x": ((3, 2, 2, 2, 2, 3, 4), "f32")}, {"y": ((3, 2, 2, 2, 2, 3, 4), "f32")})
    with p.group("deep"), ExitStack() as loops:
        pool = p.pool("t", "sram", 3, 64)
        counters = []
        for extent in (3, 2, 2, 2, 2, 3):
            counters.append(loops.enter_context(p.loop(0, extent, 1)))
        sizes = [1] * 6 + [4]
        buffer = p.acquire(pool, sizes, "f32")
        p.add(tile.CopyOp(p.view(p.args["x"], [*counters, 0], sizes), buffer))
        p.add(tile.CopyOp(buffer, p.view(p.args["y"], [*counters, 0], sizes)))
    module = p.finish()
    program = lower_function(module, TARGET)
    assert address_differences(module, program, TARGET) == []
    lowered = ModuleOp([program])
    lowered.verify()
    x = np.arange(3 * 2 * 2 * 2 * 2 * 3 * 4, dtype=np.float32).reshape(3, 2, 2, 2, 2, 3, 4)
    emitted = emit_program(lowered, ConstantStore())
    assert sum(isinstance(i, SBr) for i in emitted.instructions) == 2
    validate_program(emitted, TARGET)
    np.testing.assert_array_equal(run_functional(emitted, {"x": x}, target=TARGET)["y"], x)
