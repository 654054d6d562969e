# ruff: noqa: E501 (program text)
"""Memory planning: what does not fit is named, with the group and the sizes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from npucc.analysis.tile_program import outline
from npucc.dialects.tile import MemorySpace
from npuisa.errors import ExitCode, NpuError
from random_programs import Generator
from tile_text import edge, parse, run_passes

PROGRAM = """
func.func @main(%x: memref<64xf32, #dram>, %y: memref<64xf32, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  %r = tile.alloc "resident" : memref<256xf32, #sram>
  tile.group "small" index 0 nodes [] {
    %c = arith.constant 0 : index
    tile.fill %r value 0 : i64 engine "dma0" : memref<256xf32, #sram>
  }
  tile.group "large" index 1 nodes [] {
    %p = tile.pool "weights" in <sram> depth 3 slot_bytes 1000
    %a = tile.pool "sums" in <acc> depth 2 slot_bytes 512
    tile.fill %r value 0 : i64 engine "dma0" : memref<256xf32, #sram>
  }
  func.return
}
"""


def test_too_large_for_sram() -> None:
    with pytest.raises(NpuError) as caught:
        run_passes(parse(PROGRAM), "tile-plan-memory", edge(sram=4000))
    error = caught.value
    assert error.entry.exit_code is ExitCode.DOES_NOT_FIT and error.entry.code == "NPU-E0711"
    assert 'group 1 "large"' in error.where and "4024 bytes of 4000" in error.found
    assert 'tile.pool "weights" 3000, tile.alloc "resident" 1024' in error.found and "smaller tiles" in error.remedy


def test_too_large_for_accumulators() -> None:
    with pytest.raises(NpuError, match="do not fit the acc memory"):
        run_passes(parse(PROGRAM), "tile-plan-memory", edge(acc=1000))


def test_fits_exactly() -> None:
    run_passes(parse(PROGRAM), "tile-plan-memory", edge(sram=4024 + 40, acc=1024))


def test_alignment_may_be_what_does_not_fit() -> None:
    with pytest.raises(NpuError, match="no placement") as caught:
        text = PROGRAM.replace("256xf32", "250xf32")
        run_passes(parse(text), "tile-plan-memory{time_limit=0.01}", edge(sram=4000))
    assert caught.value.entry.code == "NPU-E0712" and "4000 bytes alive, capacity 4000" in caught.value.found


def test_instruction_outside_of_a_group() -> None:
    text = PROGRAM.replace(
        '  tile.group "small"',
        '  tile.fill %r value 0 : i64 engine "dma0" : memref<256xf32, #sram>\n  tile.group "small"',
    )
    with pytest.raises(NpuError, match="stand inside a"):
        run_passes(parse(text), "tile-plan-memory")


@pytest.mark.parametrize("prefetch", ["true", "false"])
@pytest.mark.parametrize("seed", range(12))
def test_buffers_of_a_group_are_disjoint(seed: int, prefetch: str) -> None:
    module = run_passes(Generator(seed).module(), f"tile-plan-memory{{prefetch={prefetch}}}", edge())
    for group in outline(module).groups:
        for space in (MemorySpace.SRAM, MemorySpace.ACC):
            spans = sorted(
                (pool.address.value.data, pool.address.value.data + pool.bytes)
                for pool in group.pools
                if pool.space.data is space and pool.address is not None
            )
            assert len(spans) == sum(pool.space.data is space for pool in group.pools)
            assert all(first[1] <= second[0] for first, second in pairwise(spans))
