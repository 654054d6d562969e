"""Descriptors, kernels and loop entries: round trip through their records, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isa_strategies import descriptors, kernels, loop_specs
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.descriptor_encoding import (
    SLOT_BITS,
    check_descriptor,
    decode_descriptor,
    encode_descriptor,
    encode_descriptors,
    is_narrow,
)
from npuisa.dtypes import dtype_named
from npuisa.errors import NpuError
from npuisa.kernel import Kernel, MicroOp, MicroType
from npuisa.program import Increment, LoopSpec
from npuisa.table_encoding import (
    check_kernel,
    check_loop,
    decode_kernel,
    decode_loop,
    encode_kernel,
    encode_loop,
)

F16, F32, I8 = dtype_named("f16"), dtype_named("f32"), dtype_named("i8")


def exact(view: Descriptor) -> tuple[object, ...]:
    """A descriptor with the bits of its fill, so that -0.0 and NaN count."""
    fill = struct.pack("<d", view.fill) if view.dtype.is_float else int(view.fill)
    return (*(getattr(view, f.name) for f in dataclasses.fields(view) if f.name != "fill"), fill)


@settings(max_examples=200)
@given(st.lists(descriptors(), max_size=3))
def test_descriptors_round_trip(views: list[Descriptor]) -> None:
    table = encode_descriptors(views)
    assert all(0 <= slot < 1 << SLOT_BITS for slot in table.slots + table.extension)
    for view, slot in zip(views, table.slots):
        assert exact(decode_descriptor(slot, table.extension, view.name)) == exact(view)


@settings(max_examples=100)
@given(descriptors(), st.integers(0, SLOT_BITS - 1))
def test_descriptor_encoding_is_unique(view: Descriptor, bit: int) -> None:
    """A slot that decodes is the slot that its descriptor encodes to."""
    slot, extension = encode_descriptor(view)
    try:
        found = decode_descriptor(slot ^ 1 << bit, extension, view.name)
    except NpuError:
        return
    assert exact(found) != exact(view)


@pytest.mark.parametrize(
    ("view", "slots"),
    [
        (Descriptor("x", Space.SRAM, F16, 0, (1, 56, 56, 256), row_major((1, 56, 56, 256))), 0),
        (Descriptor("x", Space.SRAM, F16, 0, (768, 64), (1, 768)), 0),
        (Descriptor("x", Space.SRAM, F32, 0, (4,), (1,), float("-inf")), 0),
        (Descriptor("x", Space.SRAM, F32, 0, (4,), (1,), -3.4028234663852886e38), 1),
        (Descriptor("x", Space.SRAM, F32, 0, (4,), (1,), 0.1), 1),
        (Descriptor("x", Space.DRAM, F16, 0, (65536,), (1,)), 1),
        (Descriptor("x", Space.DRAM, F16, 0, (2, 2), (1 << 23, 1)), 1),
        (Descriptor("x", Space.DRAM, F16, 0, (2,) * 6, row_major((2,) * 6)), 2),
        (Descriptor("x", Space.DRAM, F16, 0, (), ()), 0),
    ],
)
def test_which_descriptors_are_wide(view: Descriptor, slots: int) -> None:
    slot, extension = encode_descriptor(view)
    assert len(extension) == slots
    assert is_narrow(view) == (slots == 0)
    assert exact(decode_descriptor(slot, extension, "x")) == exact(view)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (Descriptor("x", Space.SRAM, F16, -1, (1,), (1,)), "base"),
        (Descriptor("x", Space.SRAM, F16, 1 << 40, (1,), (1,)), "base"),
        (Descriptor("x", Space.SRAM, F16, 0, (1, 2), (1,)), "differ in length"),
        (Descriptor("x", Space.SRAM, F16, 0, (1,) * 9, (1,) * 9), "rank"),
        (Descriptor("x", Space.SRAM, F16, 0, (-1,), (1,)), "dim 0"),
        (Descriptor("x", Space.SRAM, F16, 0, (1 << 32,), (1,)), "dim 0"),
        (Descriptor("x", Space.SRAM, F16, 0, (1,), (1 << 31,)), "stride 0"),
        (Descriptor("x", Space.SRAM, I8, 0, (1,), (1,), 128), "fill"),
        (Descriptor("x", Space.SRAM, I8, 0, (1,), (1,), 0.5), "fill"),
        (Descriptor("x", Space.SRAM, I8, 0, (1,), (1,), math.nan), "fill"),
        (Descriptor("x", Space.SRAM, F32, 0, (1,), (1,), (1 << 60) + 1), "fill"),
        (Descriptor("x", Space.SRAM, F32, 0, (1,), (1,), 1 << 2000), "fill"),
    ],
)
def test_illegal_descriptors_are_refused(view: Descriptor, message: str) -> None:
    with pytest.raises(NpuError, match=message) as caught:
        check_descriptor(view)
    assert caught.value.entry.code == "NPU-E0307"


def text(kernel: Kernel) -> str:
    """A kernel with the bits of its constants."""
    bits = [struct.pack("<d", value).hex() if isinstance(value, float) else value for value in kernel.constants]
    return repr((kernel.name, kernel.source_types, kernel.ops, bits, kernel.result))


@settings(max_examples=100)
@given(kernels())
def test_kernels_round_trip(kernel: Kernel) -> None:
    stream = io.BytesIO(encode_kernel(kernel))
    assert text(decode_kernel(stream.read, kernel.name)) == text(kernel)
    assert stream.read() == b""


@settings(max_examples=50)
@given(loop_specs())
def test_loops_round_trip(loop: LoopSpec) -> None:
    assert decode_loop(io.BytesIO(encode_loop(loop)).read) == loop


F = MicroType.F32


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (Kernel("k", (F,) * 5, ()), "more than 4 sources"),
        (Kernel("k", (F,), (MicroOp("neg", F, 0, (0,)),) * 33), "more than 32 micro-operations"),
        (Kernel("k", (F,), (), (0.0,) * 65), "more than 64 constants"),
        (Kernel("k", (F,), (), (1 << 63,)), "64 bits"),
        (Kernel("k", (F,), (MicroOp("gelu", F, 0, (0,)),)), "unknown micro-operation"),
        (Kernel("k", (F,), (MicroOp("add", F, 0, (0,)),)), "takes 2 sources"),
        (Kernel("k", (F,), (MicroOp("neg", F, 16, (0,)),)), "registers are"),
        (Kernel("k", (F,), (MicroOp("neg", F, 1, (2,)),)), "nothing has written"),
        (Kernel("k", (F,), (MicroOp("const", F, 1, (), 0),)), "0 constants"),
        (Kernel("k", (F,), (MicroOp("neg", F, 1, (0,), 3),)), "takes no constant"),
        (Kernel("k", (), ()), "result register"),
        (Kernel("k", (MicroType.I32,), (MicroOp("neg", F, 0, (0,)),)), "holds another type"),
        (Kernel("k", (F, F), (MicroOp("select", F, 0, (0, 0, 1)),)), "reads pred"),
        (Kernel("k", (MicroType.I32,), (MicroOp("exp", MicroType.I32, 0, (0,)),)), "exp does not exist in i32"),
        (Kernel("k", (F, F), (MicroOp("and", F, 0, (0, 1)),)), "and does not exist in f32"),
        (Kernel("k", (), (MicroOp("const", MicroType.I32, 0),), (1.0,)), "not a constant of type i32"),
        (Kernel("k", (), (MicroOp("const", MicroType.I32, 0),), (1 << 31,)), "not a constant of type i32"),
    ],
)
def test_illegal_kernels_are_refused(kernel: Kernel, message: str) -> None:
    with pytest.raises(NpuError, match=message) as caught:
        check_kernel(kernel)
    assert caught.value.entry.code == "NPU-E0308"


@pytest.mark.parametrize(
    ("increments", "message"),
    [
        ((Increment(0, 1),), "r1..r31"),
        ((Increment(32, 1),), "r1..r31"),
        ((Increment(1, 1), Increment(1, 2)), "incremented twice"),
        ((Increment(1, 1 << 47),), "48 bits"),
        ((Increment(1, 1, -1),), "modulus"),
    ],
)
def test_illegal_loops_are_refused(increments: tuple[Increment, ...], message: str) -> None:
    with pytest.raises(NpuError, match=message) as caught:
        check_loop(LoopSpec(increments))
    assert caught.value.entry.code == "NPU-E0309"
