"""Rules of operands: each class keeps and breaks its own; every way of checking a program applies them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isa_strategies import programs
from npuisa.assembly import assemble
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.disassembly import disassemble
from npuisa.dtypes import dtype_named
from npuisa.errors import NpuError
from npuisa.instructions import (
    TABLE,
    DmaCopy,
    DmaFill,
    Engine,
    Instruction,
    MxConv,
    MxDwconv,
    MxGemm,
    NormFn,
    Operand,
    OutStore,
    QSync,
    ReduceFn,
    VDwconv,
    VMap,
    VNorm,
    VReduce,
    VWindow,
)
from npuisa.kernel import Kernel, MicroType
from npuisa.operand_rules import OPERAND_RULES, check_operands, distinct_elements
from npuisa.program import Increment, LoopSpec, Program
from npuisa.program_file import save
from npuisa.table_encoding import check_loop
from npuisa.validate import validate_program

KERNELS = [Kernel("one", (MicroType.F32,), ()), Kernel("two", (MicroType.F32,) * 2, ())]
NEW = {"fn": ReduceFn.MAX, "axis_a": 0, "size_a": 3, "axis_b": 1, "size_b": 3}


def checked(cls: type[Instruction], views: dict[str, Any], **fields: Any) -> None:
    """Check a `cls` whose operands are `(type, dims)` or descriptors."""
    descriptors: list[Descriptor] = []
    for name, view in views.items():
        if not isinstance(view, Descriptor):
            dtype, *dims = view.split()
            shape = tuple(map(int, dims))
            view = Descriptor(name, Space.SRAM, dtype_named(dtype), 0, shape, row_major(shape))
        fields[name] = Operand(len(descriptors))
        descriptors.append(view)
    if cls.fixed_engine is None:
        fields["unit"] = cls.units[0]
    check_operands(cls(**fields), descriptors, KERNELS)


@pytest.mark.parametrize(
    ("cls", "legal", "broken", "fields", "message"),
    [
        (DmaCopy, {"dst": "f32 4 4", "src": "f16 4 4"}, {"src": "f32 16"}, {}, "differ in shape"),
        (MxGemm, {"dst": "i32 2 5", "a": "i8 2 4", "b": "i8 4 5"}, {"b": "i8 16 5"}, {}, "dims must be"),
        (MxGemm, {"dst": "i32 2 5", "a": "i8 2 4", "b": "i8 4 5"}, {"dst": "f16 2 5"}, {}, "element types"),
        (MxGemm, {"dst": "f32 2 5", "a": "f16 2 4", "b": "f16 4 5"}, {"dst": "i32 2 5"}, {}, "element types"),
        (MxGemm, {"dst": "f32 2 5", "a": "f16 2 4", "b": "f32 4 5"}, {"b": "i8 4 5"}, {}, "element types"),
        (MxConv, {"dst": "f32 1 3 3 8", "x": "f16 1 5 5 4", "w": "f16 3 3 4 8"}, {"w": "f16 3 3 2 8"}, {}, "dims must"),
        (MxConv, {"dst": "f32 1 3 3 8", "x": "f16 1 5 5 4", "w": "f16 3 3 4 8"}, {"dst": "f16 1 3 3 8"}, {}, "types"),
        (MxDwconv, {"dst": "f32 1 3 3 4", "x": "f16 1 5 5 4", "w": "f16 3 3 4"}, {"dst": "f16 1 3 3 4"}, {}, "types"),
        (VDwconv, {"dst": "f16 1 3 3 4", "x": "f16 1 5 5 4", "w": "f16 3 3 4"}, {"w": "f16 3 3 5"}, {}, "dims must be"),
        (OutStore, {"dst": "f16 4", "acc": "i32 4"}, {"acc": "f16 4"}, {"kernel": 0}, "accumulators hold"),
        (OutStore, {"dst": "f16 4", "acc": "i32 4"}, {"s1": "f16 4"}, {"kernel": 0}, "takes 1 sources"),
        (VMap, {"dst": "f16 4", "s0": "f32 4", "s1": "i8 4"}, {"s1": "i8 1"}, {"kernel": 1}, "dims of dst"),
        (VReduce, {"dst": "f32 4 1", "src": "f32 4 9"}, {"dst": "f32 4"}, {"fn": ReduceFn.SUM, "axes": 2}, "must have"),
        (VWindow, {"dst": "f32 2 2 8", "src": "f32 4 4 8"}, {"dst": "f32 2 2 4"}, NEW, "differ only"),
        (VNorm, {"dst": "f16 4 9", "src": "f32 4 9"}, {"dst": "i8 4 9"}, {"fn": NormFn.SOFTMAX}, "floats"),
    ],
)
def test_rule_of_each_class(
    cls: type[Instruction], legal: dict[str, str], broken: dict[str, str], fields: dict[str, Any], message: str
) -> None:
    checked(cls, legal, **fields)
    with pytest.raises(NpuError, match=message) as caught:
        checked(cls, legal | broken, **fields)
    assert caught.value.entry.code == "NPU-E0312"


@pytest.mark.parametrize("name", ["stride_h", "dilation_w"])
def test_steps_of_a_convolution_have_16_bits_and_are_positive(name: str) -> None:
    views = {"dst": "f32 1 3 3 8", "x": "f16 1 5 5 4", "w": "f16 3 3 4 8"}
    checked(MxConv, views, **{name: 65535})
    with pytest.raises(NpuError, match=f"{name} must be 1 or more"):
        checked(MxConv, views, **{name: 0})


def test_a_sync_without_effect_is_refused() -> None:
    checked(QSync, {}, count=1)
    with pytest.raises(NpuError, match="count must be 1 or more"):
        checked(QSync, {}, count=0)


def test_the_fill_value_fits_its_type() -> None:
    wrong = Descriptor("d", Space.SRAM, dtype_named("i8"), 0, (4,), (1,), fill=300)
    with pytest.raises(NpuError, match="not a value of i8"):
        checked(DmaFill, {"dst": wrong})


@pytest.mark.parametrize("base", [4096, 4100])
def test_bases_are_aligned(base: int) -> None:
    f64 = Descriptor("d", Space.SRAM, dtype_named("f64"), base, (4,), (1,))
    if base % 8 == 0:
        checked(DmaFill, {"dst": f64})
    else:
        with pytest.raises(NpuError, match="not aligned to its element size of 8 bytes"):
            checked(DmaFill, {"dst": f64})


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), max_size=4))
def test_distinct_elements_are_distinct(axes: list[tuple[int, int]]) -> None:
    """Whatever is accepted has no element twice; what is not nested may be refused although it has none."""
    places = [0]
    for dim, stride in axes:
        places = [place + i * stride for place in places for i in range(dim)]
    if distinct_elements(tuple(dim for dim, _ in axes), tuple(stride for _, stride in axes)):
        assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("dims", "strides", "distinct"),
    [((4, 4), (4, 1), True), ((4, 4), (1, 4), True), ((4, 4), (1, 1), False), ((4, 4), (-8, 2), True),
     ((4,), (0,), False), ((4, 1), (1, 0), True), ((4, 4), (3, 1), False), ((0, 4), (0, 0), True)],
)  # fmt: skip
def test_destinations_may_not_overlap_themselves(
    dims: tuple[int, ...], strides: tuple[int, ...], distinct: bool
) -> None:
    view = Descriptor("d", Space.SRAM, dtype_named("f32"), 4096, dims, strides)
    source = Descriptor("s", Space.SRAM, dtype_named("f32"), 4096, dims, strides)
    if distinct:
        checked(DmaCopy, {"dst": view, "src": source})
    else:
        with pytest.raises(NpuError, match="several elements in the same place"):
            checked(DmaCopy, {"dst": view, "src": source})


def test_every_instruction_of_an_engine_has_a_rule() -> None:
    queued = {cls for cls in TABLE.values() if cls.fixed_engine is not Engine.SEQ}
    missing = sorted(cls.mnemonic for cls in queued - OPERAND_RULES.keys())
    assert not missing, f"add a rule to isa/npuisa/operand_rules.py for {', '.join(missing)}"


def gemm(dims: tuple[int, int]) -> Program:
    f16, f32 = dtype_named("f16"), dtype_named("f32")
    views = [
        Descriptor("d", Space.ACC, f32, 0, dims, row_major(dims)),
        Descriptor("a", Space.SRAM, f16, 0, (4, 8), (8, 1)),
        Descriptor("b", Space.SRAM, f16, 64, (8, 4), (4, 1)),
    ]
    item = MxGemm(dst=Operand(0), a=Operand(1), b=Operand(2))
    return Program("edge-4t", [item], views, [], [], [], [], [], [], [])


def test_validation_loader_and_assembler_agree(tmp_path: Path) -> None:
    validate_program(gemm((4, 4)))
    text = disassemble(gemm((4, 4)))
    assemble(text)
    wrong = text.replace("4x4", "2x2") if "4x4" in text else disassemble(gemm((2, 2)))
    for attempt in (
        lambda: validate_program(gemm((2, 2))),
        lambda: save(gemm((2, 2)), tmp_path / "wrong.npu"),
        lambda: assemble(wrong),
    ):
        with pytest.raises(NpuError, match=r"NPU-E0312: dims must be dst \[.., m, n\]"):
            attempt()


@settings(max_examples=10)
@given(programs())
def test_legal_programs_keep_the_rules(program: Program) -> None:
    for item in program.instructions:
        check_operands(item, program.descriptors, program.kernels)


@pytest.mark.parametrize(("step", "modulus", "legal"), [(5, 6, True), (-5, 6, True), (6, 6, False), (1000, 7, False)])
def test_a_step_is_smaller_than_its_modulus(step: int, modulus: int, legal: bool) -> None:
    loop = LoopSpec((Increment(1, step, modulus),))
    if legal:
        check_loop(loop)
    else:
        with pytest.raises(NpuError, match="a step is smaller than its modulus"):
            check_loop(loop)


def test_a_thousand_instructions_are_validated_quickly() -> None:
    program = gemm((4, 4))
    program.instructions *= 1000
    start = time.process_time()
    validate_program(program)
    assert time.process_time() - start < 0.2, "50 ms on an idle core"


@pytest.mark.parametrize("name", ["f8e4m3fn", "f4e2m1", "f8e8m0", "i4", "u2"])
def test_no_arithmetic_in_types_that_only_memory_has(name):
    """The matrix engine, reductions, windows, softmax and scans take operands that were converted before."""
    dtype = dtype_named(name)
    square = Descriptor("x", Space.SRAM, dtype, 0, (4, 4), (4, 1))
    row = Descriptor("r", Space.SRAM, dtype, 64, (4, 1), (1, 1))
    sums = Descriptor("s", Space.ACC, dtype_named("f32" if dtype.is_float else "i32"), 0, (4, 4), (4, 1))
    descriptors = [square, row, sums]
    for instruction in (
        MxGemm(dst=Operand(2), a=Operand(0), b=Operand(0)),
        VReduce(dst=Operand(1), src=Operand(0), axes=2, fn=ReduceFn.MAX),
    ):
        with pytest.raises(NpuError, match="no arithmetic in this element type"):
            check_operands(instruction, descriptors, [])
