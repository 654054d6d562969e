# ruff: noqa: E501 (program text)
"""Semaphore insertion: nothing missing, nothing superfluous, within the machine's number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from npucc.constants import ConstantStore
from npucc.dialects.tile import InstructionOp, SyncOp
from npucc.emit import emit_program
from npuisa.errors import NpuError
from npuisa.program import Program
from npusim.hazards import HazardKind, check_hazards
from random_programs import Generator
from tile_text import edge, parse, run_passes
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp

PARTS = (Path(__file__).parent / "filecheck" / "semaphores.mlir").read_text().split("// -----")
PLAN = "tile-plan-memory{prefetch=false}"
RACES = {HazardKind.RACE}


def program_of(module: ModuleOp, constants: ConstantStore | None = None) -> Program:
    """Lower a synchronised module."""
    return emit_program(run_passes(module, "convert-tile-to-npu"), constants or ConstantStore())


def synchronised(text: str) -> ModuleOp:
    return run_passes(parse(text), f"{PLAN},tile-insert-semaphores")


def constants() -> ConstantStore:
    store = ConstantStore()
    store.add("k", np.zeros((16, 64), np.float32))
    return store


def semaphores(module: ModuleOp) -> dict[str, int]:
    table = module.attributes["npucc.semaphores"]
    assert isinstance(table, DictionaryAttr)
    return {name: value.value.data for name, value in table.data.items()}


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_every_semaphore_is_needed(part: int) -> None:
    """Without any one of them, somebody may be too early."""
    assert check_hazards(program_of(synchronised(PARTS[part]), constants()), edge()) == []
    for name in semaphores(synchronised(PARTS[part])):
        module = synchronised(PARTS[part])
        for op in list(module.walk()):
            if isinstance(op, InstructionOp):
                op.set_sync([w for w in op.wait_names if w != name], [p for p in op.post_names if p != name])
                if isinstance(op, SyncOp) and not op.wait_names and not op.post_names:
                    op.detach()
        found = {hazard.kind for hazard in check_hazards(program_of(module, constants()), edge())}
        assert found == RACES or (part == 2 and not found), f"{name} of part {part} is superfluous"


def test_without_semaphores_there_are_races() -> None:
    """The random programs are a test: most of them race when nothing is inserted."""
    racing = 0
    for seed in range(8):
        module = run_passes(Generator(seed).module(), PLAN)
        racing += {hazard.kind for hazard in check_hazards(program_of(module), edge())} >= RACES
    assert racing >= 6


def test_running_twice_changes_nothing() -> None:
    module = synchronised(PARTS[2])
    text = str(module)
    assert str(run_passes(module, "tile-insert-semaphores")) == text


def test_needs_addresses() -> None:
    with pytest.raises(NpuError, match="run tile-plan-memory first"):
        run_passes(parse(PARTS[0]), "tile-insert-semaphores")


def test_limit_is_reported() -> None:
    with pytest.raises(NpuError, match="more than 6 semaphores") as caught:
        run_passes(parse(PARTS[0]), f"{PLAN},tile-insert-semaphores{{limit=6}}")
    assert "most by engine pairs" in caught.value.found


@pytest.mark.parametrize("seed", range(6))
def test_few_semaphores_still_give_a_correct_program(seed: int) -> None:
    """With just as many as are needed, credits are adapted between groups."""
    plain = run_passes(Generator(seed).module(), f"{PLAN},tile-insert-semaphores")
    least = len(semaphores(plain))
    for limit in range(least, 0, -1):
        try:
            module = run_passes(Generator(seed).module(), f"{PLAN},tile-insert-semaphores{{limit={limit}}}")
        except NpuError:
            break
        least = limit
        assert len(semaphores(module)) <= limit
        assert check_hazards(program_of(module), edge()) == []
    assert least <= len(semaphores(plain))


SLOTS = """
func.func @main(%x: memref<16xf32, #dram>, %y: memref<16xf32, #dram>) attributes {{npucc.inputs = ["x"], npucc.outputs = ["y"]}} {{
  tile.group "g" index 0 nodes [] {{
    %p = tile.pool "p" in <sram> depth {depth} slot_bytes 64
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c9 = arith.constant 9 : index
    %a = tile.acquire %p : memref<16xf32, #sram>
    tile.copy %x -> %a engine "dma0" : memref<16xf32, #dram> -> memref<16xf32, #sram>
    scf.for %i = %c0 to %c{count} step %c1 {{
      %b = tile.acquire %p : memref<16xf32, #sram>
      %c = tile.acquire %p : memref<16xf32, #sram>
      tile.copy %x -> %c engine "dma0" : memref<16xf32, #dram> -> memref<16xf32, #sram>
      tile.copy %{source} -> %b engine "dma0" : memref<16xf32, #sram> -> memref<16xf32, #sram>
      tile.copy %b -> %y engine "dma0" : memref<16xf32, #sram> -> memref<16xf32, #dram>
    }}
  }}
  func.return
}}
"""


@pytest.mark.parametrize(("depth", "count", "source"), [(2, 9, "c"), (3, 1, "a")])
def test_slots_suffice(depth: int, count: int, source: str) -> None:
    synchronised(SLOTS.format(depth=depth, count=count, source=source))


@pytest.mark.parametrize(("depth", "count", "source"), [(1, 9, "c"), (3, 9, "a"), (2, 1, "a")])
def test_slot_in_use(depth: int, count: int, source: str) -> None:
    with pytest.raises(NpuError, match="still in use") as caught:
        synchronised(SLOTS.format(depth=depth, count=count, source=source))
    assert 'group "g"' in caught.value.where and f"after {depth} more acquires" in caught.value.found
