"""Program files: byte-exact round trip, mapped constants, and refusal of every damaged or hostile file."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from isa_strategies import programs
from npuisa.container import ENTRY, HEADER, HEADER_BYTES, TABLE_BYTES, Section, open_container
from npuisa.descriptor import Descriptor, Space
from npuisa.dtypes import dtype_named
from npuisa.errors import ExitCode, NpuError
from npuisa.instructions import DmaCopy, Engine, Operand, SHalt, SLoop, VMap
from npuisa.kernel import Kernel, MicroOp, MicroType
from npuisa.program import DebugEntry, Increment, LoopSpec, Port, Program, Region, RegionKind
from npuisa.program_file import load, save

F16 = dtype_named("f16")


def small_program() -> Program:
    """Copies x in, doubles it three times, copies it out; every section has something in it."""
    dims, strides = (4, 8), (8, 1)
    return Program(
        target="edge-4t",
        instructions=[
            DmaCopy(unit=Engine.DMA0, dst=Operand(1), src=Operand(0), posts=(0,)),
            SLoop(count=3, end=3, step=0),
            VMap(dst=Operand(1), kernel=0, s0=Operand(1)),
            DmaCopy(unit=Engine.DMA2, dst=Operand(2), src=Operand(1)),
            SHalt(),
        ],
        descriptors=[
            Descriptor("x", Space.DRAM, F16, 0, dims, strides),
            Descriptor("xs", Space.SRAM, F16, 0, dims, strides, 0.1),
            Descriptor("y", Space.DRAM, F16, 64, dims, strides),
        ],
        kernels=[Kernel("twice", (MicroType.F32,), (MicroOp("add", MicroType.F32, 0, (0, 0)),), (2.5, 7))],
        loops=[LoopSpec((Increment(3, -5, 64),))],
        semaphores=[0, 2],
        semaphore_names=["x_full", "x_free"],
        regions=[
            Region("in", RegionKind.INPUT, 0, 64),
            Region("out", RegionKind.OUTPUT, 64, 64),
            Region("w", RegionKind.CONSTANT, 128, 100),
        ],
        inputs=[Port("x", F16, dims, 0)],
        outputs=[Port("y", F16, dims, 64)],
        constants={"w": np.arange(100, dtype=np.uint8)},
        debug=[DebugEntry(0, "g0", "copy", ("/a/Mul", "/a/Add"))] * 4 + [DebugEntry(-1, "", "halt", ())],
        metadata={"model": "m.onnx", "note": "ünïcode"},
    )


@settings(max_examples=30)
@given(programs())
def test_saving_what_was_loaded_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, program: Program
) -> None:
    folder = tmp_path_factory.mktemp("npu")
    save(program, folder / "a.npu")
    again = load(folder / "a.npu")
    save(again, folder / "b.npu")
    assert (folder / "a.npu").read_bytes() == (folder / "b.npu").read_bytes()
    assert again.instructions == program.instructions
    assert again.loops == program.loops and again.debug == program.debug
    assert again.metadata == program.metadata and again.target == program.target
    assert list(again.constants) == list(program.constants)
    for name, data in program.constants.items():
        np.testing.assert_array_equal(again.constants[name], data)


def test_constants_are_views_of_the_mapped_file(tmp_path: Path) -> None:
    program = small_program()
    save(program, tmp_path / "p.npu")
    found = load(tmp_path / "p.npu").constants["w"]
    assert isinstance(found, np.memmap) and not found.flags.owndata and not found.flags.writeable
    assert found.ctypes.data % 4096 == 0
    np.testing.assert_array_equal(found, program.constants["w"])


def test_saving_and_loading_large_constants_copies_nothing(tmp_path: Path) -> None:
    size = 64 << 20
    program = small_program()
    program.regions[2] = Region("w", RegionKind.CONSTANT, 128, size)
    program.constants["w"] = np.zeros(size, np.uint8)
    tracemalloc.start()
    save(program, tmp_path / "p.npu")
    load(tmp_path / "p.npu")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "p.npu"
    path.write_bytes(b"old")
    program = small_program()
    program.regions.append(Region("in", RegionKind.SCRATCH, 4096, 1))
    with pytest.raises(NpuError, match="same name"):
        save(program, path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.npu"]


@pytest.mark.parametrize(
    ("contents", "code"),
    [(b"", "NPU-E0301"), (b"hello", "NPU-E0301"), (b"PK\x03\x04" * 99, "NPU-E0301")],
)
def test_other_files_are_refused(tmp_path: Path, contents: bytes, code: str) -> None:
    (tmp_path / "p.npu").write_bytes(contents)
    with pytest.raises(NpuError) as caught:
        load(tmp_path / "p.npu")
    assert caught.value.entry.code == code and caught.value.entry.exit_code == ExitCode.BAD_INPUT


def test_a_missing_file_is_an_npu_error(tmp_path: Path) -> None:
    with pytest.raises(NpuError, match="cannot read"):
        load(tmp_path / "none.npu")


def saved(tmp_path: Path) -> tuple[Path, bytes]:
    path = tmp_path / "p.npu"
    save(small_program(), path)
    return path, path.read_bytes()


def test_every_single_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path, data = saved(tmp_path)
    generator = random.Random(1)
    used = [i for i, value in enumerate(data) if value] + generator.sample(range(len(data)), 150)
    for position in used[:: max(1, len(used) // 300)]:
        changed = bytearray(data)
        changed[position] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(NpuError) as caught:
            load(path)
        assert caught.value.entry.exit_code == ExitCode.BAD_INPUT


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path, data = saved(tmp_path)
    for size in [*range(0, len(data), 61), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(NpuError):
            load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(NpuError, match="header says"):
        load(path)


def sealed(data: bytes) -> bytes:
    """`data` with its checksums made right, as far as its section table allows: a hostile file."""
    changed = bytearray(data)
    for number in range(len(Section)):
        place = HEADER_BYTES + number * ENTRY.size
        kind, _, offset, size, records = ENTRY.unpack_from(changed, place)
        crc = zlib.crc32(changed[offset : offset + size])
        ENTRY.pack_into(changed, place, kind, crc, offset, size, records)
    table = zlib.crc32(changed[HEADER_BYTES : HEADER_BYTES + TABLE_BYTES])
    magic, version, count, total, _, reserved = HEADER.unpack_from(changed)
    HEADER.pack_into(changed, 0, magic, version, count, total, table, reserved)
    struct.pack_into("<I", changed, HEADER.size, zlib.crc32(changed[: HEADER.size]))
    return bytes(changed)


def test_hostile_files_with_right_checksums_raise_nothing_but_npu_errors(tmp_path: Path) -> None:
    """Random bytes anywhere, checksums repaired: either a clear refusal or a program that saves again."""
    path, data = saved(tmp_path)
    generator = random.Random(2)
    limit = open_container(path).entries[Section.CONSTANTS].offset
    refused = 0
    for _ in range(700):
        changed = bytearray(data)
        for _ in range(generator.choice((1, 1, 1, 2, 8))):
            value = generator.choice((0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)))
            changed[generator.randrange(HEADER_BYTES, limit)] = value
        path.write_bytes(sealed(changed))
        try:
            program = load(path)
        except NpuError as error:
            assert error.entry.exit_code == ExitCode.BAD_INPUT
            assert str(error)
            refused += 1
        else:
            save(program, tmp_path / "again.npu")
    assert refused > 100


@pytest.mark.parametrize("section", [kind for kind in Section if kind is not Section.CONSTANTS])
@pytest.mark.parametrize("records", [1 << 20, (1 << 64) - 1, 0])
def test_absurd_counts_are_refused_without_allocating(tmp_path: Path, section: Section, records: int) -> None:
    path, data = saved(tmp_path)
    place = HEADER_BYTES + list(Section).index(section) * ENTRY.size
    changed = bytearray(data)
    kind, crc, offset, size, old = ENTRY.unpack_from(changed, place)
    if records == old or size == 0:
        return
    ENTRY.pack_into(changed, place, kind, crc, offset, size, records)
    path.write_bytes(sealed(changed))
    tracemalloc.start()
    with pytest.raises(NpuError):
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_another_version_says_so(tmp_path: Path) -> None:
    path, data = saved(tmp_path)
    changed = bytearray(data)
    struct.pack_into("<I", changed, 8, 99)
    path.write_bytes(sealed(changed))
    with pytest.raises(NpuError, match="version 2") as caught:
        load(path)
    assert caught.value.entry.code == "NPU-E0302"
