"""Buffers in use at the same time have bytes of their own."""

from __future__ import annotations

import pytest
from npucc.analysis.tile_program import outline
from npucc.driver import make_context
from npucc.synchronisation.address_check import check_addresses
from npuisa.errors import NpuError
from npuisa.target import Target
from xdsl.parser import Parser

TARGET = Target.load("edge-4t")
D, S = "memref<64xf32, #tile.space<dram>>", "memref<64xf32, #tile.space<sram>>"


def check(first: int, second: int, resident: int, used_last: int = 1) -> None:
    """Two groups with a pool of 512 bytes each, and a resident buffer of 256 used up to group `used_last`."""
    groups = [
        f"""tile.group "g{index}" index {index} nodes [] {{
            %p = tile.pool "p{index}" in <sram> depth 2 slot_bytes 256 at {address}
            %a = tile.acquire %p : {S}
            tile.copy %x -> %a engine "dma0" : {D} -> {S}
            {f'tile.copy %r -> %y engine "dma2" : {S} -> {D}' if index <= used_last else ""}
        }}"""
        for index, address in enumerate((first, second))
    ]
    text = f"""func.func @main(%x: {D}, %y: {D}) attributes {{npucc.inputs = ["x"], npucc.outputs = ["y"]}} {{
        %r = tile.alloc "r" at {resident} : {S}
        {" ".join(groups)}
        func.return
    }}"""
    check_addresses(outline(Parser(make_context(TARGET), text).parse_module()), TARGET)


@pytest.mark.parametrize(
    "addresses",
    [(0, 0, 512), (0, 512, 1024), (256, 768, 0), (TARGET.sram.bytes - 512, 0, 512)],
)
def test_disjoint(addresses: tuple[int, int, int]) -> None:
    check(*addresses)


def test_bytes_of_a_dead_buffer_are_free() -> None:
    check(512, 0, 0, used_last=0)


@pytest.mark.parametrize(
    ("addresses", "named"),
    [
        ((0, 512, 256), ['"r"', '"p0"']),
        ((512, 0, 255), ['"r"', '"p1"', "group 1"]),
        ((512, 0, 0), ['"r"', '"p1"']),
        ((512, 512, 768), ['"p0"', '"r"']),
        ((TARGET.sram.bytes - 511, 0, 512), ['"p0"', str(TARGET.sram.bytes)]),
        ((-64, 512, 1024), ['"p0"', "-64"]),
    ],
)
def test_shared_bytes(addresses: tuple[int, int, int], named: list[str]) -> None:
    with pytest.raises(NpuError) as caught:
        check(*addresses)
    assert caught.value.entry.code == "NPU-E0824"
    assert all(name in str(caught.value) for name in named), str(caught.value)
