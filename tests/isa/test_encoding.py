"""Instruction words: round trip of every class, golden words, and each way a word or value can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isa_strategies import ANY_INSTRUCTION, instructions_of
from npuisa.encoding import decode, decode_bytes, encode, encode_bytes, layout, used_bits
from npuisa.errors import NpuError
from npuisa.instructions import (
    BY_MNEMONIC,
    TABLE,
    WORD_BITS,
    DmaCopy,
    Engine,
    Instruction,
    MxConv,
    MxGemm,
    Operand,
    QSync,
    SLi,
    VMap,
)

GOLDEN = Path(__file__).parent / "golden_words.json"


@pytest.mark.parametrize("cls", TABLE.values(), ids=lambda cls: cls.mnemonic)
def test_every_class_round_trips(cls: type[Instruction]) -> None:
    @settings(max_examples=25)
    @given(instructions_of(cls))
    def check(item: Instruction) -> None:
        word = encode(item)
        assert 0 <= word < 1 << WORD_BITS
        assert decode(word) == item
        assert decode_bytes(encode_bytes(item)) == item

    check()


@settings(max_examples=200)
@given(ANY_INSTRUCTION, st.integers(0, WORD_BITS - 1))
def test_a_flipped_bit_gives_another_instruction_or_an_error(item: Instruction, bit: int) -> None:
    word = encode(item) ^ 1 << bit
    try:
        found = decode(word)
    except NpuError as error:
        assert error.entry.code == "NPU-E0306"
    else:
        assert found != item
        assert encode(found) == word


def test_golden_words() -> None:
    """The encoding is a contract: these words do not change without a new version of the program file."""
    rows = json.loads(GOLDEN.read_text())
    assert {row["mnemonic"] for row in rows} >= {"s.li", "dma.copy", "mx.gemm", "out.store", "v.map"}
    for row in rows:
        item = decode(int(row["word"], 16))
        assert repr(item) == row["instruction"]
        assert f"{encode(item):064x}" == row["word"]


def test_the_header_is_where_the_documentation_says() -> None:
    word = encode(DmaCopy(unit=Engine.DMA1, dst=Operand(5, 3), src=Operand(7), waits=(0, 63), posts=(9,)))
    assert word & 0xFF == 0x10
    assert word >> 8 & 0xF == Engine.DMA1
    assert [word >> offset & 0x7F for offset in (12, 19, 26, 33)] == [1, 64, 10, 0]
    assert word >> 40 & 0xFFFF == 5
    assert word >> 56 & 0x1F == 3
    assert word >> 61 & 0xFFFF == 7


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        (SLi(rd=32, value=0), ("s.li", "rd", "32", "0..31")),
        (SLi(rd=1, value=1 << 63), ("s.li", "value", str(1 << 63), str((1 << 63) - 1))),
        (DmaCopy(unit=Engine.MX, dst=Operand(0), src=Operand(0)), ("dma.copy", "unit", "MX", "dma0, dma1")),
        (QSync(unit=Engine.SEQ), ("q.sync", "unit", "SEQ", "vx")),
        (
            MxGemm(unit=Engine.VX, dst=Operand(0), a=Operand(0), b=Operand(0)),
            ("mx.gemm", "unit", "always mx"),
        ),
        (MxGemm(dst=Operand(0), a=Operand(0), b=Operand(0xFFFF)), ("mx.gemm", "b", "not optional")),
        (MxGemm(dst=Operand(0, 40), a=Operand(0), b=Operand(0)), ("mx.gemm", "dst", "register 40", "0..31")),
        (
            MxGemm(dst=Operand(0), a=Operand(0), b=Operand(0), waits=(1, 2, 3)),
            ("mx.gemm", "waits", "at most 2"),
        ),
        (MxGemm(dst=Operand(0), a=Operand(0), b=Operand(0), posts=(64,)), ("mx.gemm", "posts", "0..63")),
        (MxGemm(dst=Operand(0), a=Operand(0), b=Operand(0), mode=cast(Any, 3)), ("mx.gemm", "mode", "ADD_IF (2)")),
        (
            MxConv(dst=Operand(0), x=Operand(0), w=Operand(0), stride_h=65536),
            ("mx.conv", "stride_h", "65536", "0..65535"),
        ),
        (VMap(dst=Operand(0), kernel=cast(Any, 1.5)), ("v.map", "kernel", "1.5", "an integer")),
    ],
)
def test_a_value_that_does_not_fit_is_named(item: Instruction, parts: tuple[str, ...]) -> None:
    with pytest.raises(NpuError) as caught:
        encode(item)
    assert caught.value.entry.code == "NPU-E0305"
    for part in parts:
        assert part in str(caught.value)


GEMM = encode(MxGemm(dst=Operand(0), a=Operand(1), b=Operand(2)))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (0xFF, "unknown opcode"),
        (GEMM | 1 << (WORD_BITS - 1), "reserved bits"),
        (GEMM | 1 << used_bits(MxGemm), "reserved bits"),
        (GEMM ^ (Engine.MX ^ Engine.VX) << 8, "does not execute"),
        (GEMM | 0xF << 8, "does not execute"),
        (GEMM | 3 << layout(MxGemm)[3].offset, "no such choice"),
        (GEMM | 3 << 19, "first slot is empty"),
        (GEMM | 65 << 12, "no such semaphore"),
        (GEMM | 0xFFFF << layout(MxGemm)[2].offset, "not optional"),
    ],
)
def test_an_illegal_word_is_refused(word: int, message: str) -> None:
    with pytest.raises(NpuError, match=message) as caught:
        decode(word, "here")
    assert caught.value.entry.code == "NPU-E0306"
    assert caught.value.where == "here"


def test_the_table_is_sound() -> None:
    for opcode, cls in TABLE.items():
        assert cls.__doc__ and not cls.__doc__.startswith(cls.__name__), f"{cls.mnemonic} has no docstring"
        assert cls.opcode == opcode and BY_MNEMONIC[cls.mnemonic] is cls
        assert used_bits(cls) <= WORD_BITS
        assert cls.units, f"{cls.mnemonic} names no engine"
        for slot in layout(cls):
            if slot.spec.kind == "operand":
                assert slot.spec.spaces and slot.spec.access in ("r", "w", "rw", "rmw"), f"{cls.mnemonic}.{slot.name}"
            if slot.spec.enum is not None:
                assert max(slot.spec.enum) < 1 << slot.spec.width, f"{cls.mnemonic}.{slot.name}"
    assert len({cls.mnemonic for cls in TABLE.values()}) == len(TABLE)
