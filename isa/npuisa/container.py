"""The container of a program file: a checked header and a table of checksummed sections.

All integers little-endian. Header, 64 bytes: magic 8, version u32, sections u32, file size u64, crc32 of the
section table u32, 32 reserved bytes, crc32 of the 60 bytes before it u32. Then one 32-byte entry per
section, in the order of `Section`: kind u32, crc32 of the contents u32, offset u64, size u64, records u64.
Contents start at multiples of 64 bytes, those of constants at multiples of 4096, so that they can be mapped;
bytes between sections are 0.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from npuisa.errors import ExitCode, NpuError, error_code

MAGIC = b"NPUPROG\x00"
VERSION = 2
HEADER = struct.Struct("<8sIIQI32s")
ENTRY = struct.Struct("<IIQQQ")
HEADER_BYTES = HEADER.size + 4
ALIGNMENT, PAGE = 64, 4096
CHUNK = 1 << 24

NOT_A_PROGRAM = error_code("NPU-E0301", ExitCode.BAD_INPUT, "Not a program file")
WRONG_VERSION = error_code("NPU-E0302", ExitCode.BAD_INPUT, "The program file has another version")
DAMAGED = error_code("NPU-E0303", ExitCode.BAD_INPUT, "The program file is damaged")
RECOMPILE = "compile the model again, or copy the file again"

Bytes = bytes | memoryview


class Section(IntEnum):
    """Sections of a program file; a file of this version has each exactly once, in this order."""

    STRINGS = 1
    METADATA = 2
    INSTRUCTIONS = 3
    DESCRIPTORS = 4
    EXTENSION = 5
    DESCRIPTOR_NAMES = 6
    KERNELS = 7
    LOOPS = 8
    SEMAPHORES = 9
    REGIONS = 10
    PORTS = 11
    DEBUG = 12
    CONSTANT_TABLE = 13
    CONSTANTS = 14


TABLE_BYTES = len(Section) * ENTRY.size


@dataclass(frozen=True, slots=True)
class SectionEntry:
    """Place of a section in the file; `records` is the number of rows it claims to hold."""

    kind: Section
    crc: int
    offset: int
    size: int
    records: int


def aligned(value: int, alignment: int) -> int:
    """`value` rounded up to a multiple of `alignment`."""
    return -(-value // alignment) * alignment


class ContainerWriter:
    """Writes sections one after another; header and table come last, when sizes and checksums are known."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._entries: list[SectionEntry] = []
        self._position = HEADER_BYTES + TABLE_BYTES
        file.write(bytes(self._position))

    def add(self, kind: Section, chunks: Iterable[Bytes], records: int) -> None:
        """Write one section from `chunks`, none of which is copied."""
        self._pad(PAGE if kind is Section.CONSTANTS else ALIGNMENT)
        offset, crc = self._position, 0
        for chunk in chunks:
            view = memoryview(chunk).cast("B") if len(chunk) else memoryview(b"")
            for start in range(0, len(view), CHUNK):
                piece = view[start : start + CHUNK]
                crc = zlib.crc32(piece, crc)
                self._file.write(piece)
            self._position += len(view)
        self._entries.append(SectionEntry(kind, crc, offset, self._position - offset, records))

    def _pad(self, alignment: int) -> None:
        gap = aligned(self._position, alignment) - self._position
        self._file.write(bytes(gap))
        self._position += gap

    def finish(self) -> None:
        """Write table and header."""
        table = b"".join(ENTRY.pack(e.kind, e.crc, e.offset, e.size, e.records) for e in self._entries)
        header = HEADER.pack(MAGIC, VERSION, len(self._entries), self._position, zlib.crc32(table), bytes(32))
        self._file.seek(0)
        self._file.write(header + struct.pack("<I", zlib.crc32(header)) + table)


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A file that takes the place of `path` when the block ends without an exception, and not before."""
    handle, name = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@dataclass(frozen=True, slots=True)
class Container:
    """A mapped program file whose header, table and checksums hold."""

    where: str
    data: npt.NDArray[np.uint8]
    entries: dict[Section, SectionEntry]

    def contents(self, kind: Section) -> npt.NDArray[np.uint8]:
        """The bytes of a section, as a view of the mapped file."""
        entry = self.entries[kind]
        return self.data[entry.offset : entry.offset + entry.size]


def open_container(path: Path, verify_constants: bool = True) -> Container:
    """Map `path` and check magic, version, sizes, order and checksums; nothing but the table is allocated."""
    where = str(path)
    data = _map(path, where)
    if len(data) < HEADER_BYTES or bytes(data[: len(MAGIC)]) != MAGIC:
        raise NpuError(NOT_A_PROGRAM, "the file does not begin like a program", where, remedy="give a .npu file")
    entries = _read_table(data, where)
    container = Container(where, data, entries)
    for entry in entries.values():
        if entry.kind is Section.CONSTANTS and not verify_constants:
            continue
        if _crc(container.contents(entry.kind)) != entry.crc:
            raise damaged(where, f"section {entry.kind.name.lower()}: the checksum does not hold")
    return container


def damaged(where: str, message: str, found: str = "") -> NpuError:
    """The error of a file that is not what `save` wrote."""
    return NpuError(DAMAGED, message, where, found, RECOMPILE)


def _map(path: Path, where: str) -> npt.NDArray[np.uint8]:
    try:
        if path.stat().st_size == 0:
            raise NpuError(NOT_A_PROGRAM, "the file is empty", where, remedy="give a .npu file")
        return np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as error:
        raise NpuError(NOT_A_PROGRAM, "cannot read the file", where, str(error), "check the path") from None


def _read_table(data: npt.NDArray[np.uint8], where: str) -> dict[Section, SectionEntry]:
    header = bytes(data[: HEADER.size])
    _, version, count, size, table_crc, reserved = HEADER.unpack(header)
    if version != VERSION:
        raise NpuError(WRONG_VERSION, f"this program reads version {VERSION}", where, f"{version}", RECOMPILE)
    if struct.unpack("<I", bytes(data[HEADER.size : HEADER_BYTES]))[0] != zlib.crc32(header):
        raise damaged(where, "the checksum of the header does not hold")
    if size != len(data):
        raise damaged(where, f"the header says {size} bytes", f"{len(data)} bytes")
    if count != len(Section) or any(reserved) or size < HEADER_BYTES + TABLE_BYTES:
        raise damaged(where, f"a program has {len(Section)} sections and 0 in reserved bytes", f"{count} sections")
    table = bytes(data[HEADER_BYTES : HEADER_BYTES + TABLE_BYTES])
    if zlib.crc32(table) != table_crc:
        raise damaged(where, "the checksum of the section table does not hold")
    return _check_entries(data, table, where)


def _check_entries(data: npt.NDArray[np.uint8], table: bytes, where: str) -> dict[Section, SectionEntry]:
    entries: dict[Section, SectionEntry] = {}
    end = HEADER_BYTES + TABLE_BYTES
    for kind, row in zip(Section, ENTRY.iter_unpack(table)):
        found, crc, offset, size, records = row
        start = aligned(end, PAGE if kind is Section.CONSTANTS else ALIGNMENT)
        if found != kind or offset != start or size > len(data) - offset:
            message = f"section {kind.name.lower()} should be number {int(kind)} at byte {start}, within the file"
            raise damaged(where, message, f"number {found} at byte {offset}, {size} bytes of {len(data)}")
        if data[end:start].any():
            raise damaged(where, f"bytes before section {kind.name.lower()} are not 0")
        entries[kind] = SectionEntry(kind, crc, offset, size, records)
        end = offset + size
    if end != len(data):
        raise damaged(where, "bytes after the last section", f"{len(data) - end} bytes")
    return entries


def _crc(contents: npt.NDArray[np.uint8]) -> int:
    crc = 0
    for start in range(0, len(contents), CHUNK):
        crc = zlib.crc32(contents[start : start + CHUNK].data, crc)
    return crc
