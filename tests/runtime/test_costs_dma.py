"""Costs of DMA against bursts counted one by one, and what is known of the registers that move operands."""

from __future__ import annotations

from math import ceil, gcd, prod

import pytest
from handmade import Builder, edge
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.descriptor import Space
from npuisa.instructions import (
    AluFn,
    BranchFn,
    DmaCopy,
    DmaFill,
    Engine,
    Instruction,
    SAlu,
    SBr,
    SLi,
)
from npuisa.program import Increment, Program
from npusim.costs import (
    burst_bytes,
    channel_bytes_per_cycle,
    dma_cycles,
    instruction_cost,
)
from npusim.costs_dma import bursts_touched
from npusim.register_steps import register_values
from view_strategies import bytes_of

TARGET = edge()


def bursts_by_counting(dims: tuple[int, ...], strides: tuple[int, ...], width: int, burst: int, base: int = 0) -> int:
    """Bytes of the aligned bursts that each maximal contiguous run of a view touches, by walking its bytes."""
    touched = sorted(base + byte for byte in bytes_of(dims, strides, width))
    starts = [byte for previous, byte in zip([None, *touched], touched) if previous is None or byte != previous + 1]
    ends = [byte for byte, after in zip(touched, [*touched[1:], None]) if after is None or after != byte + 1]
    return sum(end // burst - start // burst + 1 for start, end in zip(starts, ends)) * burst


@pytest.mark.parametrize(
    "dims, strides",
    [((6, 40), (40, 1)), ((6, 40), (50, 1)), ((3, 4, 10), (80, 20, 1)), ((3, 4, 20), (80, 20, 1)), ((40, 6), (1, 40))],
)
@pytest.mark.parametrize("base", [0, 2, 62])
def test_dma_pays_every_burst_that_a_run_touches(dims: tuple[int, ...], strides: tuple[int, ...], base: int):
    b = Builder()
    src, dst = b.view(Space.DRAM, dims, base, strides=strides), b.view(Space.SRAM, dims, 0, strides=strides)
    cost = instruction_cost(DmaCopy(unit=Engine.DMA0, dst=dst, src=src), b.program(), TARGET)
    moved = bursts_by_counting(dims, strides, 2, 64, base)
    assert cost.dram_read == moved
    assert cost.total == pytest.approx(100 + moved / 32)
    assert (cost.dram_written, cost.sram_read, cost.sram_written) == (0, 0, prod(dims) * 2)


@settings(max_examples=60, deadline=None)
@given(grain=st.sampled_from([2, 4, 16, 48, 64, 96]), run=st.integers(1, 200), row=st.integers(0, 300))
def test_a_moving_register_meets_all_its_offsets_equally(grain: int, run: int, row: int):
    """The mean over 64 executions whose base moves by the grain, each counted run by run."""
    grid = ((5, row),)
    expected = sum(
        (start + run - 1) // 64 - start // 64 + 1
        for step in range(64)
        for start in range(step * grain, step * grain + 5 * row, row or 1)
    )
    expected = expected if row else 5 * sum((s + run - 1) // 64 - s // 64 + 1 for s in range(0, 64 * grain, grain))
    assert bursts_touched(64, 0, gcd(grain, 64), grid, run) * 64 == pytest.approx(expected)


def test_expected_bursts_of_a_schedule_are_the_mean_over_offsets():
    for grain, run in [(64, 640), (16, 48), (2, 66), (32, 8)]:
        starts = range(0, 64 * grain, grain)
        whole = -(-run // gcd(grain, 64)) * gcd(grain, 64)
        mean = sum((start + whole - 1) // 64 - start // 64 + 1 for start in starts) / 64
        assert burst_bytes(TARGET, 10, run, grain) == pytest.approx(10 * 64 * mean)


def moving_copy(step: int, *before: Instruction, modulus: int = 0) -> tuple[Program, DmaCopy]:
    """4 rows of 64 bytes, 192 apart, from byte 6 on plus register 3, which a loop of 4 rounds moves."""
    b = Builder()
    src, dst = b.view(Space.DRAM, (4, 32), 6, reg=3, strides=(96, 1)), b.view(Space.SRAM, (4, 32), 0)
    copy = DmaCopy(unit=Engine.DMA0, dst=dst, src=src)
    for instruction in before:
        b.emit(instruction)
    with b.loop(4, Increment(3, step, modulus)):
        b.emit(copy)
    return b.program(), copy


def test_bursts_of_moving_operands_follow_from_the_loops_around_them():
    aligned, copy = moving_copy(128)
    assert register_values(aligned, copy, 3) == (0, 128) and register_values(aligned, copy, 0) == (0, 0)
    assert instruction_cost(copy, aligned, TARGET).dram_read == 64 * 4 * 2
    shifted, copy = moving_copy(128, SLi(rd=3, value=58))
    assert register_values(shifted, copy, 3) == (58, 128)
    assert instruction_cost(copy, shifted, TARGET).dram_read == 64 * 4
    uneven, copy = moving_copy(6)
    assert instruction_cost(copy, uneven, TARGET).dram_read == 64 * 4 * 2 - 8  # of 32 even offsets one is aligned
    circular, copy = moving_copy(96, modulus=256)
    assert register_values(circular, copy, 3) == (0, 32)


def test_registers_of_other_loops_and_branches():
    b = Builder()
    src, dst = b.view(Space.DRAM, (8,), 0, reg=2), b.view(Space.SRAM, (8,), 0)
    inside, behind, counted = (DmaCopy(unit=Engine.DMA0, dst=dst, src=src, posts=(n,)) for n in range(3))
    with b.loop(4, Increment(2, 6)):
        b.emit(inside)
    b.emit(behind)
    b.emit(SLi(rd=4, value=3))
    start = b.emit(counted)
    b.emit(SAlu(fn=AluFn.ADD, rd=2, ra=2, value=64))
    b.emit(SAlu(fn=AluFn.SUB, rd=4, ra=4, value=1))
    b.emit(SBr(fn=BranchFn.NE, ra=4, to=start))
    program = b.program()
    assert [register_values(program, copy, 2) for copy in (inside, behind, counted)] == [(0, 6), (0, 0), (0, 64)]


def test_dma_channel_is_bound_by_bursts_in_flight():
    slow = edge(dram={"latency_cycles": 500})
    assert channel_bytes_per_cycle(TARGET) == 32
    assert channel_bytes_per_cycle(slow) == pytest.approx(64 * 64 * 0.8 / 500)
    assert dma_cycles(slow, 1, 6400) == pytest.approx(500 + 6400 / (64 * 64 * 0.8 / 500))


def test_dram_to_dram_pays_both_sides_and_fill_one():
    b = Builder()
    far, near = b.view(Space.DRAM, (1000,), 0), b.view(Space.DRAM, (1000,), 4096)
    both = instruction_cost(DmaCopy(unit=Engine.DMA0, dst=far, src=near), b.program(), TARGET)
    once = instruction_cost(DmaFill(unit=Engine.DMA0, dst=far), b.program(), TARGET)
    assert both.dram_read == both.dram_written == once.dram_written == ceil(2000 / 64) * 64
    assert both.occupancy == 2 * once.occupancy


def test_transposing_copy_reads_dram_in_order_and_writes_sram_by_elements():
    """A channel moves one bank line per cycle on the SRAM side; a transposed tile has one element per line."""
    b = Builder()
    src = b.view(Space.DRAM, (64, 64), 0, strides=(1, 64))
    dst = b.view(Space.SRAM, (64, 64), 0)
    cost = instruction_cost(DmaCopy(unit=Engine.DMA0, dst=dst, src=src), b.program(), TARGET)
    assert cost.dram_read == 64 * 64 * 2
    assert cost.occupancy == 64 * 64
    assert cost.bank_conflict == 64 * 64 - 64 * 64 * 2 / 32


def test_copy_on_chip_has_no_dram_part():
    b = Builder()
    src, dst = b.view(Space.SRAM, (64, 64), 0), b.view(Space.SRAM, (64, 64), 8192)
    cost = instruction_cost(DmaCopy(unit=Engine.DMA0, dst=dst, src=src), b.program(), TARGET)
    assert (cost.total, cost.dram_bytes) == (64 * 64 * 2 / 32, 0)
