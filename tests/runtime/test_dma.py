"""dma.copy and dma.fill: layouts, conversions, overlap, fill values."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.errors import NpuError
from npuisa.instructions import DmaCopy, DmaFill, Engine, Operand

BF16 = np.dtype(ml_dtypes.bfloat16)
TYPES = [np.dtype(name) for name in ("f4", "f2", "f8", "i1", "u1", "i2", "i4", "i8", "u4", "?")] + [BF16]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 5), max_size=4).map(tuple),
    st.sampled_from(TYPES),
    st.sampled_from(TYPES),
    st.data(),
)
def test_copy_between_layouts_and_types(bench, dims, source_type, target_type, data):
    machine, rng = bench(), np.random.default_rng(len(dims))
    src = rng.integers(0, 100, dims).astype(source_type)
    order = data.draw(st.permutations(range(len(dims))))
    strides, step = [0] * len(dims), 1
    for axis in order:
        strides[axis], step = step, step * dims[axis] + data.draw(st.integers(0, 2))
    source = machine.place(dims, source_type, data=src)
    shift = data.draw(st.integers(0, 1)) * target_type.itemsize
    dst = machine.place(dims, target_type, strides=tuple(strides), shift=shift)
    result = machine.run(DmaCopy(unit=Engine.DMA1, dst=dst, src=source), read=dst)
    assert np.array_equal(result, src.astype(target_type))


def test_every_half_converts_to_single(bench):
    """All 65,536 f16 patterns, with and without infinities and NaN in the block (they take different paths)."""
    patterns = np.arange(65536, dtype=np.uint16).view(np.float16)
    for values in (patterns, patterns[np.isfinite(patterns)]):
        machine = bench()
        source = machine.place(values.shape, "f2", data=values)
        dst = machine.place(values.shape, "f4")
        result = machine.run(DmaCopy(unit=Engine.DMA0, dst=dst, src=source), read=dst)
        assert np.array_equal(result, values.astype(np.float32), equal_nan=True)
        assert np.array_equal(np.signbit(result), np.signbit(values))


def test_copies_keep_nan_payloads(bench):
    machine = bench()
    bits = np.array([0x7FC01234, 0xFFA00001, 0x7F800001], np.uint32)
    source, dst = machine.place((3,), "f4", data=bits.view(np.float32)), machine.place((3,), "f4")
    result = machine.run(DmaCopy(unit=Engine.DMA0, dst=dst, src=source), read=dst)
    assert np.array_equal(result.view(np.uint32), bits)


def test_broadcast_source_and_overlapping_operands(bench):
    machine = bench()
    source = machine.place((3, 4), "i4", data=np.broadcast_to(np.arange(4, dtype="i4"), (3, 4)), strides=(0, 1))
    dst = machine.place((3, 4), "i4")
    copied = machine.run(DmaCopy(unit=Engine.DMA0, dst=dst, src=source), read=dst)
    assert copied.tolist() == [[0, 1, 2, 3]] * 3

    machine = bench()
    source = machine.place((10,), "i4", data=np.arange(10, dtype="i4"))
    descriptor = machine.descriptors[source.desc]
    machine.descriptors.append(replace(descriptor, base=descriptor.base + 4))
    shifted = Operand(1)
    moved = machine.run(DmaCopy(unit=Engine.DMA0, dst=shifted, src=source), read=shifted)
    assert moved.tolist() == list(range(10))


FILLS = [("f4", -np.inf), ("f2", 1.5), ("i1", -3), ("u1", 255), (BF16, 2.0), ("?", 1)]


@pytest.mark.parametrize(("dtype", "fill"), FILLS)
def test_fill(bench, dtype, fill):
    machine = bench()
    dst = machine.place((3, 2), dtype, strides=(1, 4))
    machine.descriptors[0] = replace(machine.descriptors[0], fill=fill)
    assert (machine.run(DmaFill(unit=Engine.DMA2, dst=dst), read=dst) == np.asarray(fill).astype(dtype)).all()


def test_unwritten_memory_is_nan(bench):
    machine = bench()
    dst, other = machine.place((4,), "f4"), machine.place((4,), "f4")
    result = machine.run(DmaCopy(unit=Engine.DMA0, dst=dst, src=other), read=dst)
    assert np.isnan(result).all()


def test_wrong_copies_are_named(bench):
    machine = bench()
    a, b = machine.place((4,), "f4"), machine.place((2, 2), "f4")
    with pytest.raises(NpuError, match="NPU-E0312: source and destination differ in shape"):
        machine.run(DmaCopy(unit=Engine.DMA0, dst=a, src=b), read=a)
    c = machine.place((2,), "i4")
    machine.descriptors[c.desc] = replace(machine.descriptors[c.desc], fill=0.5)
    with pytest.raises(NpuError, match=r"NPU-E0307: .*fill is not a value of i32"):
        machine.run(DmaFill(unit=Engine.DMA0, dst=c), read=c)
