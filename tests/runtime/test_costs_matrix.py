"""Costs of the matrix engine against the formulas spelled out independently, SCALE-Sim and Vela."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from handmade import Builder, edge
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.descriptor import Space
from npuisa.errors import NpuError
from npuisa.instructions import (
    MxConv,
    MxDwconv,
    MxGemm,
    OutStore,
)
from npuisa.target import Target
from npusim.banks import feed, geometry_of
from npusim.bounds import bounds
from npusim.cost import Cost
from npusim.costs import (
    depthwise_cycles,
    dma_cycles,
    gemm_cycles,
    gemm_stream_cycles,
    instruction_cost,
    map_cycles,
    missing_costs,
    norm_cycles,
    reduce_cycles,
    window_cycles,
)
from npusim.timing import simulate_timing
from view_strategies import views

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
