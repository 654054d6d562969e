"""Cost formulas against the same formulas spelled out independently, and against enumeration."""

from __future__ import annotations

from math import ceil, gcd, log2, prod

import numpy as np
import pytest
from handmade import Builder, edge
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.descriptor import Space, row_major
from npuisa.errors import NpuError
from npuisa.instructions import (
    AluFn,
    BranchFn,
    DmaCopy,
    DmaFill,
    Engine,
    Instruction,
    MxConv,
    MxDwconv,
    MxGemm,
    NormFn,
    OutStore,
    ReduceFn,
    SAlu,
    SBr,
    SLi,
    VDwconv,
    VMap,
    VNorm,
    VReduce,
    VWindow,
)
from npuisa.kernel import Kernel, MicroOp, MicroType
from npuisa.program import Increment, Program
from npuisa.target import Target
from npusim.banks import access_cycles, feed, geometry_of
from npusim.bounds import bounds
from npusim.cost import Cost
from npusim.costs import (
    burst_bytes,
    channel_bytes_per_cycle,
    depthwise_cycles,
    dma_cycles,
    dwconv_cycles,
    gemm_cycles,
    gemm_stream_cycles,
    instruction_cost,
    kernel_interval,
    map_cycles,
    missing_costs,
    norm_cycles,
    reduce_cycles,
    window_cycles,
)
from npusim.costs_dma import bursts_touched
from npusim.footprint import footprint, overlap
from npusim.register_steps import register_values
from npusim.timing import simulate_timing

TARGET = edge()
GEMMS = [(1, 1, 1), (32, 32, 32), (33, 31, 65), (197, 768, 64), (1, 512, 1000), (3136, 147, 64), (49, 4608, 512)]


def test_every_instruction_has_a_cost():
    missing = missing_costs()
    assert not missing, f"{', '.join(missing)} has no cost: add it to runtime/npusim/costs.py"


def scale_sim(flow: str, rows: int, cols: int, m: int, k: int, n: int) -> int:
    """Cycles as SCALE-Sim publishes them (fold by fold, operands mapped as in its analytical model)."""
    if flow == "ws":
        return ceil(k / rows) * ceil(n / cols) * (2 * rows + cols + m - 2)
    if flow == "is":
        return ceil(k / rows) * ceil(m / cols) * (2 * rows + cols + n - 2)
    return ceil(m / rows) * ceil(n / cols) * (rows + cols + k - 2)


@pytest.mark.parametrize("flow", ["ws", "is", "os"])
@pytest.mark.parametrize("rows, cols", [(32, 32), (16, 64), (128, 128)])
def test_gemm_without_shadow_weights_is_scale_sim(flow: str, rows: int, cols: int):
    target = edge(matrix={"rows": rows, "cols": cols, "dataflow": flow, "shadow_weights": False})
    for m, k, n in GEMMS:
        assert gemm_cycles(target, "f16", m, k, n) == scale_sim(flow, rows, cols, m, k, n)


def gemm_on(target_sections: dict[str, object], m: int, k: int, n: int, dtype: str = "f16") -> int:
    """Cycles a program with one gemm takes, from the start of the gemm to its completion."""
    b = Builder()
    acc = b.view(Space.ACC, (m, n), 0, "f32")
    a, w = b.view(Space.SRAM, (m, k), 0, dtype), b.view(Space.SRAM, (k, n), 1 << 19, dtype)
    b.emit(MxGemm(dst=acc, a=a, b=w))
    timeline = simulate_timing(b.program(), edge(matrix=target_sections), timeline=True).timeline
    return round(timeline[0].end - timeline[0].start)


@pytest.mark.parametrize("m, k, n", GEMMS)
def test_one_gemm_costs_exactly_the_closed_form(m: int, k: int, n: int):
    assert gemm_on({"shadow_weights": False}, m, k, n) == scale_sim("ws", 32, 32, m, k, n)
    folds = ceil(k / 32) * ceil(n / 32)
    assert gemm_on({}, m, k, n) == 32 + folds * max(m, 32) + 62


@pytest.mark.parametrize("dtype, pace", [("f32", 4), ("i8", 0.5), ("f16", 1)])
def test_rates_scale_the_streamed_time(dtype: str, pace: float):
    for m, k, n in GEMMS:
        folds = ceil(k / 32) * ceil(n / 32)
        assert gemm_cycles(TARGET, dtype, m, k, n) == 32 + folds * max(ceil(m * pace), 32) + 62


def test_shadow_dataflows():
    """Input-stationary streams n and loads R rows first; output-stationary has nothing to load."""
    inputs = edge(matrix={"dataflow": "is"})
    assert gemm_cycles(inputs, "f16", 100, 64, 500) == 32 + 2 * 4 * 500 + 62
    outputs = edge(matrix={"dataflow": "os"})
    assert gemm_cycles(outputs, "f16", 100, 64, 500) == 4 * 16 * 64 + 62


def test_parts_account_for_the_whole():
    cost = one_cost(gemm := (200, 100, 70))
    m, k, n = gemm
    assert cost.useful == pytest.approx(m * k * n / 1024)
    assert cost.useful + cost.padding == 4 * 3 * 200
    assert (cost.fill, cost.latency, cost.weight_load) == (32, 62, 0)
    thin = one_cost((8, 64, 64))
    assert thin.weight_load == 4 * (32 - 8)
    assert thin.total == gemm_cycles(TARGET, "f16", 8, 64, 64)


def one_cost(shape: tuple[int, int, int]) -> Cost:
    m, k, n = shape
    b = Builder()
    acc, a, w = b.view(Space.ACC, (m, n), 0, "f32"), b.view(Space.SRAM, (m, k), 0), b.view(Space.SRAM, (k, n), 0)
    return instruction_cost(MxGemm(dst=acc, a=a, b=w), b.program(), TARGET)


def test_unsupported_type_is_an_error_with_a_remedy():
    with pytest.raises(NpuError, match="NPU-E0421") as error:
        gemm_cycles(TARGET, "f64", 1, 1, 1)
    assert "bf16" in str(error.value)


@pytest.mark.parametrize("groups", [1, 4])
def test_convolution_is_a_gemm_per_group(groups: int):
    b = Builder()
    dst = b.view(Space.ACC, (2, 14, 14, 96), 0, "f32")
    x, w = b.view(Space.SRAM, (2, 16, 16, 64), 0), b.view(Space.SRAM, (3, 3, 64 // groups, 96), 0)
    cost = instruction_cost(MxConv(dst=dst, x=x, w=w, groups=groups), b.program(), TARGET)
    m, k, n = 2 * 14 * 14, 9 * 64 // groups, 96 // groups
    assert cost.total == 32 + groups * ceil(k / 32) * ceil(n / 32) * m + 62


def test_depthwise_in_the_array():
    b = Builder()
    views = b.view(Space.ACC, (1, 8, 8, 40), 0, "f32"), b.view(Space.SRAM, (1, 10, 10, 40), 0)
    instruction = MxDwconv(dst=views[0], x=views[1], w=b.view(Space.SRAM, (3, 3, 40), 0))
    cost = instruction_cost(instruction, b.program(), edge(matrix={"depthwise_macs": 32}))
    assert cost.occupancy == 64 * 40 * 9 / 32
    with pytest.raises(NpuError, match=r"v\.dwconv"):
        instruction_cost(instruction, b.program(), TARGET)


SIZES = st.integers(1, 300)


@settings(max_examples=40, deadline=None)
@given(m=SIZES, k=SIZES, n=SIZES)
def test_formulas_take_arrays(m: int, k: int, n: int):
    """An array of sizes gives what each size gives alone."""
    ms, ns = np.array([m, 2 * m, 1]), np.array([n, 1, 3 * n])
    for formula in (gemm_cycles, gemm_stream_cycles):
        expected = [formula(TARGET, "i8", a, k, b) for a, b in zip(ms.tolist(), ns.tolist())]
        assert np.array_equal(formula(TARGET, "i8", ms, k, ns), expected)
    pairs = list(zip(ms.tolist(), ns.tolist()))
    assert np.array_equal(dma_cycles(TARGET, ms, ns), [dma_cycles(TARGET, a, b) for a, b in pairs])
    assert np.array_equal(map_cycles(TARGET, ms, 3.0), [map_cycles(TARGET, a, 3.0) for a, _ in pairs])
    assert np.array_equal(window_cycles(TARGET, ms, ns), [window_cycles(TARGET, a, b) for a, b in pairs])
    assert np.array_equal(norm_cycles(TARGET, ms, ns), [norm_cycles(TARGET, a, b) for a, b in pairs])
    for inner in (True, False):
        expected = [reduce_cycles(TARGET, a, b, innermost=inner) for a, b in pairs]
        assert np.array_equal(reduce_cycles(TARGET, ms, ns, innermost=inner), expected)


# --- footprints and DMA -----------------------------------------------------------------------------------


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Small views: dims, strides (some 0, negative, overlapping), width."""
    rank = draw(st.integers(0, 3))
    dims = tuple(draw(st.lists(st.integers(0, 4), min_size=rank, max_size=rank)))
    strides = tuple(draw(st.lists(st.integers(-6, 12), min_size=rank, max_size=rank)))
    return dims, strides, draw(st.sampled_from([1, 2, 4]))


def bytes_of(dims: tuple[int, ...], strides: tuple[int, ...], width: int) -> set[int]:
    """Every byte of a view, one element at a time."""
    return {
        sum(i * s for i, s in zip(index, strides)) * width + byte
        for index in np.ndindex(*dims)
        for byte in range(width)
    }


@settings(max_examples=300, deadline=None)
@given(view=views())
def test_footprint_is_the_bytes_of_the_view(view: tuple[tuple[int, ...], tuple[int, ...], int]):
    shape = footprint(*view)
    covered = {start + byte for start in shape.starts().tolist() for byte in range(shape.run)} if shape.run else set()
    assert covered == bytes_of(*view)
    if covered:
        assert (min(covered), max(covered) + 1) == (shape.low, shape.high)


@settings(max_examples=400, deadline=None)
@given(first=views(), second=views(), distance=st.integers(-60, 60))
def test_overlap_is_exact(
    first: tuple[tuple[int, ...], tuple[int, ...], int],
    second: tuple[tuple[int, ...], tuple[int, ...], int],
    distance: int,
):
    shared = bytes_of(*first) & {byte + distance for byte in bytes_of(*second)}
    assert overlap(footprint(*first), footprint(*second), distance) == bool(shared)


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


# --- banks ------------------------------------------------------------------------------------------------


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


# --- vector engine ----------------------------------------------------------------------------------------


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


# --- feeds of the matrix engine ---------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(vector=views(), stream=views(), lanes=st.sampled_from([1, 4, 16]))
def test_feeds_choose_between_vector_accesses_and_line_buffers(
    vector: tuple[tuple[int, ...], tuple[int, ...], int],
    stream: tuple[tuple[int, ...], tuple[int, ...], int],
    lanes: int,
):
    sram = edge(sram={"banks": 4, "bank_bytes": 8}).sram
    width = vector[2]
    rows = [sum(i * s for i, s in zip(index, vector[1])) * width for index in np.ndindex(*vector[0])][:lanes]
    steps = [sum(i * s for i, s in zip(index, stream[1])) * width for index in np.ndindex(*stream[0])]
    steps = steps[: 8 // width]

    def busiest(offsets: list[int]) -> int:
        lines = {(offset - min(offsets)) // 8 for offset in offsets}
        return max((sum(line % 4 == bank for line in lines) for bank in range(4)), default=0) or 1

    each = busiest(rows)
    buffered = busiest([row + step for row in rows for step in steps]) / max(len(steps), 1)
    assert feed(geometry_of(sram), vector[:2], stream[:2], width, lanes).cycles == min(each, buffered)


@pytest.mark.parametrize("dataflow, factor", [("ws", 1), ("is", 2), ("os", 2)])
def test_dense_operands_of_power_of_two_sizes(dataflow: str, factor: int):
    """Channels last, ws reads along channels without conflicts.

    is and os take vectors across rows that lie a multiple of all banks apart: line buffers of 16 elements
    limit the loss to 32 / 16 of the time, where single accesses would take 32.
    """
    target = edge(matrix={"dataflow": dataflow})
    b = Builder()
    dst, x = b.view(Space.ACC, (1, 14, 14, 256), 0, "f32"), b.view(Space.SRAM, (1, 16, 16, 256), 0)
    conv = MxConv(dst=dst, x=x, w=b.view(Space.SRAM, (3, 3, 256, 256), 0))
    acc, a = b.view(Space.ACC, (256, 256), 0, "f32"), b.view(Space.SRAM, (256, 512), 0)
    gemm = MxGemm(dst=acc, a=a, b=b.view(Space.SRAM, (512, 256), 0))
    for instruction in (conv, gemm):
        cost = instruction_cost(instruction, b.program(), target)
        stream = cost.useful + cost.padding
        assert cost.bank_conflict == (factor - 1) * stream


def test_a_transposed_stationary_tile_loads_by_columns():
    """Keys of an attention head, [k, n] with k contiguous: the loader reads columns instead of rows."""
    b = Builder()
    acc, a = b.view(Space.ACC, (64, 128), 0, "f32"), b.view(Space.SRAM, (64, 64), 0)
    keys = b.view(Space.SRAM, (64, 128), 1 << 16, strides=(1, 64))
    assert instruction_cost(MxGemm(dst=acc, a=a, b=keys), b.program(), TARGET).bank_conflict == 0


def test_channels_first_inputs_conflict():
    """k elements 4 KiB apart lie in one bank; line buffers reach 4 of 16 banks, 8 cycles per step."""
    b = Builder()
    acc, w = b.view(Space.ACC, (64, 32), 0, "f32"), b.view(Space.SRAM, (64, 32), 0)
    a = b.view(Space.SRAM, (64, 64), 1 << 16, strides=(64, 2048))
    cost = instruction_cost(MxGemm(dst=acc, a=a, b=w), b.program(), TARGET)
    assert cost.bank_conflict == 2 * 64 * (8 - 1)


# --- against SCALE-Sim ------------------------------------------------------------------------------------

RESNET18 = """
    224 7 3 64 2, 56 3 64 64 1, 56 3 64 64 1, 56 3 64 64 1, 56 3 64 64 1, 56 3 64 128 2, 28 3 128 128 1,
    56 1 64 128 2, 28 3 128 128 1, 28 3 128 128 1, 28 3 128 256 2, 14 3 256 256 1, 28 1 128 256 2,
    14 3 256 256 1, 14 3 256 256 1, 14 3 256 512 2, 7 3 512 512 1, 14 1 256 512 2, 7 3 512 512 1,
    7 3 512 512 1, 1 1 512 1000 1
"""
"""Layers as SCALE-Sim's topology has them: input size, kernel, channels in, out, stride; no padding."""


@pytest.mark.parametrize("flow, thousands", [("ws", 418), ("os", 262)])
def test_resnet18_takes_the_cycles_that_scale_sim_reports(flow: str, thousands: int):
    """SCALE-Sim 3.0.0 on 128 x 128, ideal bandwidth: 418 k cycles (ws) and 262 k (os) for 1,471 M MACs."""
    target = edge(matrix={"rows": 128, "cols": 128, "dataflow": flow, "shadow_weights": False})
    layers = np.array([[int(number) for number in layer.split()] for layer in RESNET18.split(",")])
    size, kernel, channels, filters, stride = layers.T
    m, k = (-(-(size - kernel) // stride) + 1) ** 2, kernel**2 * channels
    assert round(int(np.sum(m * k * filters)) / 1e6) == 1471
    assert round(float(np.sum(gemm_cycles(target, "f16", m, k, filters))) / 1000) == thousands


# --- machines that are not plain systolic arrays -----------------------------------------------------------


@pytest.mark.parametrize(
    "pixels, kernel, channels, filters, steps",
    [(112 * 112, 9, 3, 32, 3), (56 * 56, 9, 24, 32, 9), (56 * 56, 1, 64, 64, 2), (56 * 56, 1, 40, 64, 2)],
)
def test_ethos_u55_counts_as_vela_does(pixels: int, kernel: int, channels: int, filters: int, steps: int):
    """npu_performance.py: 4 cycles per micro-block of 2 x 2 x 8 and step; steps are kernel elements times 32 channels
    (depth first) or ceil(kernel / 4) times 8 channels (part kernel first)."""
    target = Target.load("ethos-u55-256")
    found = gemm_stream_cycles(target, "i8", pixels, channels, filters, window=kernel)
    assert found == 4 * (pixels // 4) * (filters // 8) * steps
    assert min(-(-channels // 32) * kernel, -(-channels // 8) * -(-kernel // 4)) == steps


def test_ethos_u55_depthwise_counts_as_vela_does():
    target = Target.load("ethos-u55-256")
    assert depthwise_cycles(target, 56 * 56 * 64, 9) == 4 * (56 * 56 // 4) * (64 // 8) * ceil(9 / 4)


def test_arrays_share_a_product_along_the_better_dimension():
    sections = {"rows": 32, "cols": 32, "arrays": 4, "arrays_split": ("m", "n"), "skew": "systolic"}
    four, one = edge(matrix=sections), edge()
    assert gemm_stream_cycles(four, "f16", 4000, 64, 32) == gemm_stream_cycles(one, "f16", 1000, 64, 32)
    assert gemm_stream_cycles(four, "f16", 40, 64, 512) == gemm_stream_cycles(one, "f16", 40, 64, 128)
    only_n = edge(matrix=sections | {"arrays_split": ("n",)})
    assert gemm_stream_cycles(only_n, "f16", 4000, 64, 32) == gemm_stream_cycles(one, "f16", 4000, 64, 32)
    ms, ns = np.array([4000, 40]), np.array([32, 512])
    assert gemm_stream_cycles(four, "f16", ms, 64, ns).tolist() == [2 * 1000, 2 * 4 * 40]
    assert four.macs_per_cycle("f16") == 4 * one.macs_per_cycle("f16")


def test_broadcast_arrays_do_not_ripple():
    assert gemm_cycles(edge(matrix={"skew": "broadcast"}), "f16", 100, 32, 32) == 32 + 100 + 5
    assert gemm_cycles(edge(matrix={"skew": "broadcast", "dataflow": "os"}), "f16", 32, 100, 32) == 100


def test_fused_units_apply_a_requantisation_in_one_pass():
    ops = tuple(MicroOp(name, MicroType.F32, 0, (0, 0)) for name in ("add", "mul", "add", "max", "min"))
    kernel = Kernel("requantise", (MicroType.F32,), (*ops, MicroOp("div", MicroType.F32, 0, (0, 0))))
    assert kernel_interval(TARGET, kernel) == 5 + 4
    assert kernel_interval(TARGET, kernel, 5) == 1 + 4
    assert kernel_interval(TARGET, kernel, 3) == 2 + 4


def test_a_rate_of_two_takes_two_vectors_at_once():
    """int8 rows 512 bytes apart (a multiple of all banks): two of them hit the same bank, f16 takes one per cycle."""

    def conflict(dtype: str, pitch: int) -> float:
        b = Builder()
        acc, w = b.view(Space.ACC, (256, 32), 0, "f32"), b.view(Space.SRAM, (32, 32), 0, dtype)
        a = b.view(Space.SRAM, (256, 32), 1 << 16, dtype, strides=(pitch, 1))
        return instruction_cost(MxGemm(dst=acc, a=a, b=w), b.program(), TARGET).bank_conflict

    assert conflict("i8", 512) == 128 and conflict("i8", 544) == 0
    assert conflict("f16", 512) == 0


def test_transposed_results_conflict_in_the_accumulators():
    b = Builder()
    sram = b.view(Space.SRAM, (256, 32), 0)
    rows, columns = b.view(Space.ACC, (256, 32), 0, "f32"), b.view(Space.ACC, (256, 32), 0, "f32", strides=(1, 256))
    straight, across = (
        instruction_cost(OutStore(dst=sram, kernel=0, acc=acc), b.program(), TARGET) for acc in (rows, columns)
    )
    assert straight.bank_conflict == 0 and across.bank_conflict == 256 * (32 - 1)


def test_padding_zeros_are_padding():
    b = Builder()
    x, w = b.view(Space.SRAM, (1, 7, 7, 32), 0), b.view(Space.SRAM, (3, 3, 32, 32), 1 << 16)
    conv = MxConv(dst=b.view(Space.ACC, (1, 7, 7, 32), 0, "f32"), x=x, w=w, pad_h=1, pad_w=1)
    b.emit(conv)
    cost = instruction_cost(conv, b.program(), TARGET)
    taps = sum((3 - (i in (0, 6))) * (3 - (j in (0, 6))) for i in range(7) for j in range(7))
    assert cost.useful == taps and cost.useful + cost.padding == 9 * 49
    assert bounds(b.program(), TARGET).macs == taps * 32 * 32


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
        window = VWindow(
            dst=dst, src=src, fn=ReduceFn.MAX, axis_a=1, size_a=1, axis_b=2, size_b=2, stride_b=stride
        )
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
