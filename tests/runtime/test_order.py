"""v.sort, v.scan and v.compress against Python's own sort, running loops and lists."""

from __future__ import annotations

import functools
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.assembly import assemble
from npuisa.disassembly import disassemble
from npuisa.instructions import ReduceFn, VCompress, VScan, VSort, sort_workspace
from npuisa.target import Target
from npusim.costs import compress_cycles, instruction_cost, scan_cycles, sort_cycles
from npusim.functional import run_functional
from npusim.hazards import HazardKind, check_hazards, require_no_hazards

BF16 = np.dtype(ml_dtypes.bfloat16)
TYPES = [np.dtype(name) for name in ("f4", "f2", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?")] + [BF16]
SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)
LENGTHS = st.one_of(st.integers(1, 20), st.sampled_from([63, 64, 65, 257]))
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, -math.nan, 1.0, 1.0, -2.5]


def is_float(dtype):
    return dtype.kind not in "iub"


def numbers(rng, dtype, shape):
    """Few different values, so that there are ties; with everything that is special about the type."""
    if is_float(dtype):
        values = np.array(SPECIAL + [float(x) for x in rng.standard_normal(3)])
    elif dtype == np.bool_:
        values = np.array([False, True])
    else:
        limits = np.iinfo(dtype)
        values = np.array([limits.min, limits.max, 0, 1, limits.max // 3], dtype)
    return rng.choice(values, shape).astype(dtype)


def before(a, b, descending):
    """Python's three-way comparison of (key, position), NaN above everything."""
    (x, i), (y, j) = a, b
    x_nan, y_nan = x != x, y != y
    order = (x_nan - y_nan) if x_nan or y_nan else (x > y) - (x < y)
    order = -order if descending else order
    return order or i - j


def argsort(line, descending):
    pairs = [(x.item() if line.dtype != BF16 else float(x), i) for i, x in enumerate(line)]
    key = functools.cmp_to_key(lambda a, b: before(a, b, descending))
    return [i for _, i in sorted(pairs, key=key)]


@settings(max_examples=120, deadline=None)
@given(SHAPES, LENGTHS, st.floats(0, 1), st.sampled_from(TYPES), st.booleans(), st.sampled_from(["i4", "i8"]),
       st.booleans(), st.integers(0, 2**32 - 1))  # fmt: skip
def test_sort(bench, lead, length, share, dtype, descending, out, transposed, seed):
    rng, machine = np.random.default_rng(seed), bench()
    dims, count = (*lead, length), max(1, round(share * length))
    data = numbers(rng, dtype, dims)
    strides = tuple(np.cumprod((1, *dims[:-1])).tolist()) if transposed else None
    src = machine.place(dims, dtype, data=data, strides=strides)
    dst = machine.place((*lead, count), out)
    work = machine.place((sort_workspace(length, count, dtype.itemsize * 8),), "i8")
    found = machine.run(VSort(dst=dst, src=src, work=work, descending=int(descending)), read=dst)
    for index in np.ndindex(*lead):
        assert found[index].tolist() == argsort(data[index], descending)[:count]


FUNCTIONS = {ReduceFn.SUM: np.add, ReduceFn.PROD: np.multiply, ReduceFn.MAX: np.maximum, ReduceFn.MIN: np.minimum}
NUMBERS = [dtype for dtype in TYPES if dtype != np.bool_]


def neutral(fn, dtype):
    if fn in (ReduceFn.SUM, ReduceFn.PROD):
        return int(fn is ReduceFn.PROD)
    if is_float(dtype):
        return -math.inf if fn is ReduceFn.MAX else math.inf
    return np.iinfo(dtype).min if fn is ReduceFn.MAX else np.iinfo(dtype).max


@settings(max_examples=120, deadline=None)
@given(SHAPES, LENGTHS, st.sampled_from(NUMBERS), st.sampled_from(ReduceFn), st.booleans(), st.booleans(),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_scan(bench, lead, length, dtype, fn, exclusive, reverse, seed):
    rng, machine = np.random.default_rng(seed), bench()
    data = numbers(rng, dtype, (*lead, length))
    src, dst = machine.place(data.shape, dtype, data=data), machine.place(data.shape, dtype)
    instruction = VScan(dst=dst, src=src, fn=fn, exclusive=int(exclusive), reverse=int(reverse))
    with np.errstate(all="ignore"):
        found = machine.run(instruction, read=dst)
        wide = np.dtype("f4") if is_float(dtype) and dtype != np.float64 else dtype
        line = data[..., ::-1] if reverse else data
        total = np.full(lead, neutral(fn, dtype), wide)
        for i in range(length):
            after = FUNCTIONS[fn](total, line[..., i].astype(wide), dtype=wide)
            expected = (total if exclusive else after).astype(dtype)
            total = after
            at = length - 1 - i if reverse else i
            np.testing.assert_array_equal(found[..., at].astype("f8"), expected.astype("f8"))


def test_scan_of_a_mask_counts(bench):
    machine = bench()
    data = np.random.default_rng(0).integers(0, 2, (3, 1000)).astype(bool)
    src, dst = machine.place(data.shape, bool, data=data), machine.place(data.shape, "i4")
    found = machine.run(VScan(dst=dst, src=src, fn=ReduceFn.SUM), read=dst)
    assert np.array_equal(found, np.cumsum(data, axis=-1))


def test_sums_of_half_precision_run_in_single(bench):
    machine = bench()
    src, dst = machine.place((4096,), "f2", data=np.ones(4096, "f2")), machine.place((4096,), "f4")
    assert machine.run(VScan(dst=dst, src=src, fn=ReduceFn.SUM), read=dst)[-1] == 4096


@settings(max_examples=120, deadline=None)
@given(SHAPES, LENGTHS, st.floats(0, 1), st.sampled_from(TYPES), st.sampled_from([None, *TYPES]), st.booleans(),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_compress(bench, lead, length, share, kind, values, counting, seed):
    rng, machine = np.random.default_rng(seed), bench()
    dims, room = (*lead, length), max(1, round(share * length))
    condition = numbers(rng, kind, dims)
    fill = -1 if values is None else 1
    data = None if values is None else numbers(rng, values, dims)
    out = np.dtype("i8") if values is None else values
    operands = {
        "mask": machine.place(dims, kind, data=condition),
        "dst": machine.place((*lead, room), out, fill=fill),
    }
    if data is not None:
        operands["src"] = machine.place(dims, values, data=data)
    if counting:
        operands["count"] = machine.place((*lead, 1), "i4")
    instruction = VCompress(**operands)
    found = machine.run(instruction, read=operands["dst"])
    for index in np.ndindex(*lead):
        chosen = [i for i in range(length) if float(condition[index][i]) != 0][:room]
        wanted = np.full(room, fill, out)
        wanted[: len(chosen)] = chosen if data is None else data[index][chosen]
        np.testing.assert_array_equal(found[index].astype("f8"), wanted.astype("f8"))
        if counting:
            assert machine.run(instruction, read=operands["count"])[index].item() == len(chosen)


TARGET = Target.load("edge-4t")
LANES = TARGET.vector.lanes
DEPTH = TARGET.vector.depth


@pytest.mark.parametrize(("length", "stages"), [(64, 21), (1024, 55), (1000, 55), (65536, 136)])
def test_sorting_takes_the_stages_of_the_network(length, stages):
    assert sort_cycles(TARGET, 1, length, length) == -(-length // LANES) * stages + DEPTH
    assert sort_cycles(TARGET, 1, length, length, wide=2) == 2 * -(-length // LANES) * stages + DEPTH


def test_short_rows_share_vectors():
    assert sort_cycles(TARGET, 8, 8, 8) == 6 + DEPTH  # 8 rows of 8 in 64 lanes
    assert sort_cycles(TARGET, 9, 8, 8) == 2 * 6 + DEPTH


def test_the_best_one_takes_one_pass_and_a_tree():
    assert sort_cycles(TARGET, 1, 6400, 1) == 100 + 6 + DEPTH


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 50))
def test_fewer_elements_are_never_dearer(length, count, rows):
    count = min(count, length)
    assert sort_cycles(TARGET, rows, length, count) <= sort_cycles(TARGET, rows, length, length)


def test_scan_and_compress_take_a_vector_per_cycle():
    assert scan_cycles(TARGET, 1, 6400) == 100 + 6 + DEPTH
    assert scan_cycles(TARGET, 64, 10) == 10 + DEPTH  # a lane per row
    assert compress_cycles(TARGET, 3, 6400) == 300 + 6 + DEPTH


def test_what_exceeds_the_registers_goes_through_the_memory(bench):
    small, large = _sort_cost(bench, 512), _sort_cost(bench, 1024)
    assert small.sram_read == 512 * 4
    assert large.sram_read == 1024 * 4 + 2 * 1024 * 8  # one stage through the memory, the others in registers


def _sort_cost(bench, length):
    machine = bench()
    src, dst = machine.place((length,), "f4"), machine.place((length,), "i4")
    work = machine.place((sort_workspace(length, length, 32),), "i8")
    instruction = VSort(dst=dst, src=src, work=work)
    return instruction_cost(instruction, machine.program(instruction), TARGET)


PROGRAM = """
.target edge-4t
.region x input  @ 0   size 256
.region y output @ 256 size 256
.region n output @ 512 size 64
.input  x f32 [64] @ x
.output y f32 [64] @ y
.output n i32 [1] @ n
.sem loaded = 0
.sem done = 0
.desc x_dram dram f32 [64] @ x
.desc y_dram dram f32 [64] @ y
.desc n_dram dram i32 [1] @ n
.desc x_sram sram f32 [64] @ 0
.desc y_sram sram f32 [64] @ 256 fill -1.5
.desc n_sram sram i32 [1] @ 512
.desc order sram i32 [64] @ 1024
.desc work sram i64 [64] @ 2048
.desc late sram f32 [64] @ 2048
    dma0.copy  x_sram, x_dram post loaded
    v.compress y_sram, x_sram, x_sram, n_sram wait loaded post done
    dma2.copy  y_dram, y_sram wait done
    dma2.copy  n_dram, n_sram
    v.sort     order, x_sram, work descending=1
    {late}
    s.halt
"""


def assembled(late: str = ""):
    return assemble(PROGRAM.format(late=late))


def test_a_program_in_assembly():
    program = assembled()
    assert assemble(disassemble(program)) == program
    x = np.where(np.arange(64) % 3 == 0, np.arange(64), 0).astype(np.float32)
    found = run_functional(program, {"x": x})
    assert found["n"].tolist() == [21]
    np.testing.assert_array_equal(found["y"], [*x[x != 0], *[-1.5] * 43])
    require_no_hazards(program, TARGET)


def test_every_operand_is_watched_for_races():
    for late, operand in (("dma3.copy late, x_dram", "work"), ("dma3.copy n_sram, n_dram", "n_sram")):
        hazards = check_hazards(assembled(late=late), TARGET)
        assert any(hazard.kind is HazardKind.RACE for hazard in hazards), operand
        assert any(operand in str(hazard) for hazard in hazards)
