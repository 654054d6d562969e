"""Gathers and scatters against loops over elements, and their cost against counts of rows and banks."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.assembly import assemble
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.dtypes import dtype_named
from npuisa.errors import NpuError
from npuisa.instructions import DmaGather, DmaScatter, Engine, ScatterFn, VGather, VScatter
from npuisa.target import Target
from npusim.costs_indexed import Transfer, dma_cost, expected_conflict, indexed_vector_cost, vector_cycles
from npusim.functional import run_functional
from npusim.hazards import HazardKind, check_hazards

TYPES = [np.dtype(name) for name in ("f4", "f2", "i1", "u8", "?")] + [np.dtype(ml_dtypes.bfloat16)]
INDEX_TYPES = ["i4", "i8", "u1", "u8"]
COMBINE = {ScatterFn.ADD: np.add, ScatterFn.MUL: np.multiply, ScatterFn.MIN: np.minimum, ScatterFn.MAX: np.maximum}
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 7), st.integers(1, 4))


def place_of(index, size):
    """None where the index is outside."""
    wrapped = int(index) + size if index < 0 else int(index)
    return wrapped if 0 <= wrapped < size else None


def filled(rng, dtype, shape):
    """Random bytes (infinities and NaN included), bools as 0 and 1."""
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    return np.frombuffer(rng.bytes(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)


def index_array(rng, dtype, shape, size):
    low = 0 if np.dtype(dtype).kind == "u" else -size - 2
    return rng.integers(low, size + 2, shape).astype(dtype)


def placed_indices(machine, values, dims):
    """The index operand; axes of extent 1 are broadcast with stride 0."""
    strides = tuple(0 if extent == 1 else step for extent, step in zip(values.shape, row_major(values.shape)))
    operand = machine.place(dims, values.dtype, strides=strides)
    descriptor = machine.descriptors[operand.desc]
    own = Descriptor("own", Space.SRAM, descriptor.dtype, descriptor.base, values.shape, row_major(values.shape))
    machine.initial.append((own, values))
    machine.next_free[Space.SRAM] += values.nbytes
    return operand


@settings(max_examples=100, deadline=None)
@given(SIZES, st.sampled_from(TYPES), st.sampled_from(INDEX_TYPES), st.booleans(), st.booleans(), st.booleans(),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_gather(bench, sizes, dtype, index_type, rows, shared, on_dma, seed):
    (b, s, n, r), rng, machine = sizes, np.random.default_rng(seed), bench()
    src = filled(rng, dtype, (b, s, r))
    places = index_array(rng, index_type, (1 if shared else b, n, 1 if rows else r), s)
    source = machine.place((b, s, r), dtype, data=src, strides=(1, b, b * s))
    indices, dst = placed_indices(machine, places, (b, n, r)), machine.place((b, n, r), dtype)
    fields = {"dst": dst, "src": source, "indices": indices}
    made = DmaGather(unit=Engine.DMA0, **fields) if on_dma else VGather(**fields)
    expected = np.zeros((b, n, r), dtype)
    for at in np.ndindex(b, n, r):
        place = place_of(np.broadcast_to(places, (b, n, r))[at], s)
        if place is not None:
            expected[at] = src[at[0], place, at[2]]
    assert machine.run(made, read=dst).tobytes() == expected.tobytes()


@settings(max_examples=150, deadline=None)
@given(SIZES, st.sampled_from(TYPES), st.sampled_from(INDEX_TYPES), st.sampled_from(ScatterFn), st.booleans(),
       st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))  # fmt: skip
def test_scatter_applies_updates_in_order(bench, sizes, dtype, index_type, fn, rows, shared, on_dma, seed):
    (b, s, n, r), rng, machine = sizes, np.random.default_rng(seed), bench()
    old, updates = (filled(rng, dtype, shape) for shape in ((b, s, r), (b, n, r)))
    places = index_array(rng, index_type, (1 if shared else b, n, 1 if rows else r), s)
    dst = machine.place((b, s, r), dtype, data=old, strides=(1, b, b * s))
    source = machine.place((b, n, r), dtype, data=updates)
    fields = {"dst": dst, "src": source, "indices": placed_indices(machine, places, (b, n, r)), "fn": fn}
    made = DmaScatter(unit=Engine.DMA0, **fields) if on_dma else VScatter(**fields)
    expected = old.copy()
    with np.errstate(all="ignore"):
        for i in range(n):  # within one i no two updates meet
            for batch, lane in np.ndindex(b, r):
                place = place_of(np.broadcast_to(places, (b, n, r))[batch, i, lane], s)
                if place is not None:
                    new, was = updates[batch, i, lane], expected[batch, place, lane]
                    expected[batch, place, lane] = new if fn is ScatterFn.NONE else COMBINE[fn](was, new)
    result = machine.run(made, read=dst)
    np.testing.assert_array_equal(result.astype("f8") if dtype.kind in "fV" else result,
                                  expected.astype("f8") if dtype.kind in "fV" else expected)  # fmt: skip


@pytest.mark.parametrize("fn", [ScatterFn.ADD, ScatterFn.NONE])
def test_long_rows(bench, fn):
    """Rows are combined one after the other; an index that comes twice counts twice."""
    machine, rng = bench(), np.random.default_rng(0)
    old, updates = rng.standard_normal((2, 9, 64)).astype("f4"), rng.standard_normal((2, 5, 64)).astype("f4")
    places = np.array([3, -1, 3, 40, 8], "i8")
    dst, src = machine.place((2, 9, 64), "f4", data=old), machine.place((2, 5, 64), "f4", data=updates)
    indices = placed_indices(machine, places.reshape(1, 5, 1), (2, 5, 64))
    expected = old.copy()
    for i, place in enumerate((3, 8, 3, None, 8)):
        if place is not None:
            expected[:, place] = updates[:, i] + (expected[:, place] if fn is ScatterFn.ADD else 0)
    np.testing.assert_array_equal(machine.run(VScatter(dst=dst, src=src, indices=indices, fn=fn), read=dst), expected)


PROGRAM = """
.target edge-4t
.region table constant @ 0 size 1280
.region list input @ 1280 size 32
.region y output @ 1344 size 1280
.input list i64 [4] @ list
.output y f32 [{rows},64] @ y
.sem listed = 0
.sem moved = 0
.desc t_dram dram f32 [1,5,64] @ table
.desc l_dram dram i64 [4] @ list
.desc l_sram sram i64 [4] @ 0
.desc l_rows sram i64 [1,4,64 : 4,1,0] @ 0
.desc part sram f32 [1,4,64] @ 64
.desc out_part dram f32 [1,4,64] @ y
.desc out_all dram f32 [1,5,64] @ y
"""
GATHERED = """
    dma0.copy    l_sram, l_dram              post listed
    dma1.gather  part, t_dram, l_rows        {wait} post moved
    dma2.copy    out_part, part              wait moved
    s.halt
"""


def gathering(wait):
    program = assemble(PROGRAM.format(rows=4) + GATHERED.format(wait=wait))
    program.constants["table"] = np.arange(320, dtype="f4").view("u1")
    return program


def test_rows_are_gathered_from_dram():
    program, table = gathering("wait listed"), np.arange(320, dtype="f4").reshape(5, 64)
    result = run_functional(program, {"list": np.array([4, 0, -2, 7])})["y"]
    np.testing.assert_array_equal(result, np.stack([table[4], table[0], table[3], np.zeros(64)]))
    assert not check_hazards(program, Target.load("edge-4t"))


def test_a_race_on_the_index_list_is_found():
    kinds = {hazard.kind for hazard in check_hazards(gathering(""), Target.load("edge-4t"))}
    assert HazardKind.RACE in kinds


def test_rules(bench):
    machine = bench()
    rows, part = machine.place((1, 5, 8), "f4"), machine.place((1, 3, 8), "f4")
    floats, fewer = machine.place((1, 3, 8), "f4"), machine.place((1, 2, 8), "i4")
    other = machine.place((1, 3, 8), "f2")
    for dst, indices in ((part, floats), (part, fewer), (other, machine.place((1, 3, 8), "i4"))):
        with pytest.raises(NpuError):
            machine.run(VGather(dst=dst, src=rows, indices=indices), read=part)


@pytest.mark.parametrize(("lanes", "banks"), [(16, 16), (64, 32), (5, 3), (32, 4), (7, 1), (1, 8)])
def test_expected_conflict_is_the_mean_of_the_fullest_bin(lanes, banks):
    rng = np.random.default_rng(1)
    thrown = [np.bincount(rng.integers(0, banks, lanes), minlength=banks).max() for _ in range(4000)]
    assert expected_conflict(lanes, banks) == pytest.approx(np.mean(thrown), rel=0.02)


def descriptor(space, dims, dtype="f32", strides=None):
    return Descriptor("d", space, dtype_named(dtype), 0, dims, strides or row_major(dims))


def test_a_gather_of_rows_moves_only_the_rows():
    """128 of 30,522 rows of 384 floats: 128 x 1,536 bytes, each 12 bursts of 128."""
    target = Target.load("edge-4t")
    indices = descriptor(Space.SRAM, (1, 128, 384), "i64", (128, 1, 0))
    transfer = Transfer(descriptor(Space.DRAM, (1, 30522, 384)), descriptor(Space.SRAM, (1, 128, 384)), indices, False)
    cost = dma_cost(target, transfer)
    assert cost.dram_read == 128 * -(-1536 // target.dram.burst_bytes) * target.dram.burst_bytes
    assert cost.dram_written == 0 and cost.total < 30522 * 384 * 4 / target.dram_bytes_per_cycle / 100


def test_single_elements_pay_whole_bursts_and_combining_pays_twice():
    target = Target.load("edge-4t")
    table, dense = descriptor(Space.DRAM, (1, 1000, 1)), descriptor(Space.SRAM, (1, 50, 1))
    indices = descriptor(Space.SRAM, (1, 50, 1), "i32")
    replaced = dma_cost(target, Transfer(table, dense, indices, True))
    combined = dma_cost(target, Transfer(table, dense, indices, True, True))
    assert replaced.dram_written == combined.dram_written == combined.dram_read == 50 * target.dram.burst_bytes
    assert replaced.dram_read == 0


def test_lanes_meet_in_banks():
    target = Target.load("edge-4t")
    lanes = target.vector.lanes
    indices = descriptor(Space.SRAM, (1, 64 * lanes, 1), "i32")
    table, dense = descriptor(Space.SRAM, (1, 4096, 1)), descriptor(Space.SRAM, (1, 64 * lanes, 1))
    cost = indexed_vector_cost(target, Transfer(table, dense, indices, False))
    conflicts = expected_conflict(lanes, target.sram.banks)
    assert cost.occupancy == pytest.approx(math.ceil(64 * conflicts) + target.vector.depth, abs=1)
    assert cost.useful == 64
    rows = float(vector_cycles(target, 64 * lanes, lanes)) - target.vector.depth
    assert rows == 64, "rows of a vector do not collide"
