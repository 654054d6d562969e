"""Costs of the vector engine and the output stage, and SRAM banks against lines counted one by one."""

from __future__ import annotations

from math import ceil, log2

import numpy as np
import pytest
from handmade import Builder, edge
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.descriptor import Space, row_major
from npuisa.instructions import (
    NormFn,
    ReduceFn,
    VDwconv,
    VMap,
    VNorm,
    VReduce,
    VWindow,
)
from npuisa.kernel import Kernel, MicroOp, MicroType
from npusim.banks import access_cycles
from npusim.costs import (
    dwconv_cycles,
    instruction_cost,
    kernel_interval,
    map_cycles,
)
from view_strategies import views

TARGET = edge()


@settings(max_examples=100, deadline=None)
@given(view=views(), lanes=st.sampled_from([1, 4, 16]), base=st.sampled_from([0, 1024]))
def test_bank_conflicts_count_lines_per_bank(view: tuple[tuple[int, ...], tuple[int, ...], int], lanes: int, base: int):
    dims, strides, width = view
    sram = edge(sram={"banks": 4, "bank_bytes": 8}).sram
    offsets = [base + sum(i * s for i, s in zip(index, strides)) * width for index in np.ndindex(*dims)][:lanes]
    lines = {(offset - min(offsets)) // 8 for offset in offsets}
    busiest = max((sum(line % 4 == bank for line in lines) for bank in range(4)), default=0)
    assert access_cycles(sram, dims, strides, width, lanes) == max(busiest, 1)


def test_power_of_two_stride_hits_one_bank():
    b = Builder()
    dims = (64, 256)
    src, dst = b.view(Space.SRAM, dims, 0, strides=(1, 256)), b.view(Space.SRAM, dims, 1 << 19)
    cost = instruction_cost(VMap(dst=dst, kernel=0, s0=src), b.program(), TARGET)
    plain = instruction_cost(VMap(dst=dst, kernel=0, s0=dst), b.program(), TARGET)
    assert plain.bank_conflict == 0
    assert cost.bank_conflict == 64 * 4 * (64 - 1)
    assert cost.occupancy == plain.occupancy + cost.bank_conflict


def test_map_sums_the_intervals():
    ops = (
        MicroOp("const", MicroType.F32, 1),
        MicroOp("mul", MicroType.F32, 0, (0, 1)),
        MicroOp("exp", MicroType.F32, 0, (0,)),
        MicroOp("div", MicroType.F32, 0, (0, 1)),
    )
    kernel = Kernel("k", (MicroType.F32,), ops, (2.0,))
    assert kernel_interval(TARGET, kernel) == 1 + 4 + 4
    wide = Kernel("k", (MicroType.F64,), (MicroOp("add", MicroType.F64, 0, (0, 0)),))
    assert kernel_interval(TARGET, wide) == 2
    assert map_cycles(TARGET, 1000, 9) == ceil(1000 / 64) * 9 + 8
    assert map_cycles(TARGET, 1000, 9, output_stage=True) == ceil(1000 / 32) * 9 + 8


def test_moving_64_bit_elements_runs_at_half_rate():
    b = Builder()
    dst, src = b.view(Space.SRAM, (1000,), 0, "i64"), b.view(Space.SRAM, (1000,), 8000, "i64")
    assert instruction_cost(VMap(dst=dst, kernel=0, s0=src), b.program(), TARGET).total == 2 * ceil(1000 / 64) + 8


@pytest.mark.parametrize("rows, length", [(1, 1000), (100, 1000), (4096, 7)])
def test_reduction_takes_the_better_lane_mapping(rows: int, length: int):
    b = Builder()
    src, dst = b.view(Space.SRAM, (rows, length), 0), b.view(Space.SRAM, (rows, 1), 1 << 19)
    cost = instruction_cost(VReduce(dst=dst, src=src, fn=ReduceFn.SUM, axes=2), b.program(), TARGET)
    along = rows * (ceil(length / 64) + log2(64))
    conflicts = access_cycles(TARGET.sram, (rows,), (length,), 2, 64)
    across = ceil(rows / 64) * length * max(1, conflicts)
    assert cost.total == min(along, across) + 8


def test_reduction_over_outer_axes_needs_no_tree():
    b = Builder()
    src, dst = b.view(Space.SRAM, (1, 49, 512), 0), b.view(Space.SRAM, (1, 1, 512), 1 << 19)
    cost = instruction_cost(VReduce(dst=dst, src=src, fn=ReduceFn.SUM, axes=3), b.program(), TARGET)
    assert cost.total == 49 * 512 / 64 + 8


def test_softmax_makes_three_passes():
    b = Builder()
    src, dst = b.view(Space.SRAM, (12, 1000), 0), b.view(Space.SRAM, (12, 1000), 1 << 19)
    cost = instruction_cost(VNorm(dst=dst, src=src, fn=NormFn.SOFTMAX), b.program(), TARGET)
    assert cost.total == 12 * (16 * (1 + 1 + 4 + 1 + 1) + 2 * 6 + 4) + 8


def test_windows_cost_a_step_per_position():
    b = Builder()
    src, dst = b.view(Space.SRAM, (1, 16, 16, 64), 0), b.view(Space.SRAM, (1, 8, 8, 64), 1 << 19)
    window = VWindow(dst=dst, src=src, fn=ReduceFn.MAX, axis_a=1, size_a=3, axis_b=2, size_b=3)
    assert instruction_cost(window, b.program(), TARGET).total == 64 * 9 + 8
    weights = b.view(Space.SRAM, (3, 3, 64), 0)
    depthwise = instruction_cost(VDwconv(dst=dst, x=src, w=weights), b.program(), TARGET)
    assert depthwise.total == dwconv_cycles(TARGET, 64 * 64, 9) == 64 * 9 + 8


def test_row_major_strides_have_no_conflict():
    for dims in [(7, 64), (3, 5, 32), (1000,)]:
        assert access_cycles(TARGET.sram, dims, row_major(dims), 2, 64) == 1


def test_fused_units_apply_a_requantisation_in_one_pass():
    ops = tuple(MicroOp(name, MicroType.F32, 0, (0, 0)) for name in ("add", "mul", "add", "max", "min"))
    kernel = Kernel("requantise", (MicroType.F32,), (*ops, MicroOp("div", MicroType.F32, 0, (0, 0))))
    assert kernel_interval(TARGET, kernel) == 5 + 4
    assert kernel_interval(TARGET, kernel, 5) == 1 + 4
    assert kernel_interval(TARGET, kernel, 3) == 2 + 4


@pytest.mark.parametrize("channels", [1, 3, 8, 24, 64, 100])
def test_reduction_over_narrow_rows_shares_vectors(channels: int):
    b = Builder()
    src, dst = b.view(Space.SRAM, (784, channels), 0), b.view(Space.SRAM, (1, channels), 1 << 19)
    cost = instruction_cost(VReduce(dst=dst, src=src, fn=ReduceFn.SUM, axes=1), b.program(), TARGET)
    rows = max(64 // channels, 1)
    if channels > 1:
        assert cost.total >= ceil(784 / rows) * ceil(channels / 64) + ceil(log2(rows)) + 8
    assert cost.total >= 784 * channels / 64 + 8


def test_windows_read_what_their_stride_makes_them_read():
    """Stride 16 along a contiguous axis: 64 lanes lie in 64 lines of f16, all banks four times."""
    b = Builder()
    src, dst = b.view(Space.SRAM, (1, 1, 4096, 1), 0), b.view(Space.SRAM, (1, 1, 256, 1), 1 << 19)
    for stride, conflict in ((1, 0), (16, (4 * 2 * 64 + 16) / 16 - 8)):  # 64 lines a step, 16 of the result
        window = VWindow(dst=dst, src=src, fn=ReduceFn.MAX, axis_a=1, size_a=1, axis_b=2, size_b=2, stride_b=stride)
        assert instruction_cost(window, b.program(), TARGET).bank_conflict == conflict


@pytest.mark.parametrize("registers, reads", [(0, 9 * 196 * 192), (9, 9 * 192), (8, 9 * 196 * 192)])
def test_depthwise_weights_are_read_every_step_unless_registers_hold_them(registers: int, reads: int):
    target = edge(vector={"weight_registers": registers})
    b = Builder()
    dst, x = b.view(Space.SRAM, (1, 14, 14, 192), 0), b.view(Space.SRAM, (1, 16, 16, 192), 1 << 18)
    instruction = VDwconv(dst=dst, x=x, w=b.view(Space.SRAM, (3, 3, 192), 1 << 17))
    cost = instruction_cost(instruction, b.program(), target)
    assert cost.sram_read == 2 * (9 * 196 * 192 + reads)


def test_the_schedule_sees_what_the_banks_deliver():
    """A sum of two f32 vectors moves 768 bytes per cycle of a memory that delivers 512."""
    b = Builder()
    n = 64 * 512
    views = [b.view(Space.SRAM, (n,), base, "f32") for base in (0, 1 << 18, 1 << 19)]
    cost = instruction_cost(VMap(dst=views[0], kernel=0, s0=views[1], s1=views[2]), b.program(), TARGET)
    assert cost.total == map_cycles(TARGET, n, 1.0, sram_bytes=12) == 512 * 1.5 + 8
