"""Program files (`.npu`): `save` and `load`. The container is described in `container.py`.

Records of the sections (integers little-endian; a "name" is a u32 index into the strings):

| section | record |
|---|---|
| strings | length u32, UTF-8 |
| metadata | key name, value name; the first record is ("target", name) |
| instructions | 32-byte word |
| descriptors, extension | 32-byte slot (`descriptor_encoding.py`) |
| descriptor names | name |
| kernels | name, kernel record (`table_encoding.py`) |
| loops | loop record |
| semaphores | initial value u32, name |
| regions | name, kind u32, base u64, size u64 |
| ports | name, direction u32 (0 in, 1 out), dtype u32, rank u32, base u64, dims u64 x rank |
| debug | entries E u32; E x (group i32, group name, tile op name, N u32, N x name); u32 per instruction |
| constant table | name, reserved u32, offset u64 in the constants, size u64 |
| constants | bytes, each constant at a multiple of 64 |

Constants are written from the arrays as they are and read as views of the mapped file: never copied.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from npuisa.byte_reader import ByteReader
from npuisa.container import (
    ALIGNMENT,
    Bytes,
    Container,
    ContainerWriter,
    Section,
    aligned,
    damaged,
    open_container,
    replacing,
)
from npuisa.descriptor import Descriptor
from npuisa.descriptor_encoding import SLOT_BYTES, decode_descriptor, encode_descriptors
from npuisa.dtypes import DTYPES, dtype_of_code
from npuisa.encoding import WORD_BYTES, decode_bytes, encode_bytes
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import Instruction
from npuisa.kernel import Kernel
from npuisa.program import DebugEntry, Port, Program, Region, RegionKind
from npuisa.table_encoding import decode_kernel, decode_loop, encode_kernel, encode_loop
from npuisa.target import Target
from npuisa.validate import validate_program

CANNOT_WRITE = error_code("NPU-E0304", ExitCode.USAGE, "The program cannot be written")
TARGET_KEY = "target"
REGION_KINDS = tuple(RegionKind)


def save(program: Program, path: str | os.PathLike[str]) -> None:
    """Write `program` to `path`; an existing file is replaced only when everything has been written.

    Equal programs give equal bytes. NpuError when the program is not valid (`validate_program`).
    """
    validate_program(program)
    destination = Path(path)
    try:
        with replacing(destination) as file:
            writer = ContainerWriter(file)
            _write_sections(program, writer)
            writer.finish()
    except OSError as error:
        raise NpuError(CANNOT_WRITE, "cannot write the file", str(path), str(error), "check path and space") from None


def load(path: str | os.PathLike[str], *, verify_constants: bool = True, target: Target | None = None) -> Program:
    """Read a program; NpuError (exit code 7) for anything that `save` would not have written.

    `verify_constants=False` leaves out the checksum of the constants (reads no page of them). With a
    `target`, the program must also fit its memories.
    """
    container = open_container(Path(path), verify_constants)
    program = _read_program(container)
    validate_program(program, target, where=container.where)
    return program


class _Strings:
    """Collects strings, each once, and numbers them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def section(self) -> tuple[bytes, int]:
        encoded = [text.encode() for text in self._numbers]
        return b"".join(struct.pack("<I", len(item)) + item for item in encoded), len(encoded)


def _write_sections(program: Program, writer: ContainerWriter) -> None:
    name = _Strings()
    table = encode_descriptors(program.descriptors)
    present = [region.name for region in program.regions if region.name in program.constants]
    constants = [(text, program.constants[text]) for text in present]
    pairs = [(TARGET_KEY, program.target), *program.metadata.items()]
    sections: dict[Section, tuple[bytes, int]] = {
        Section.METADATA: _rows("<II", ((name(key), name(value)) for key, value in pairs)),
        Section.INSTRUCTIONS: _joined([encode_bytes(item) for item in program.instructions]),
        Section.DESCRIPTORS: _joined([slot.to_bytes(SLOT_BYTES, "little") for slot in table.slots]),
        Section.EXTENSION: _joined([slot.to_bytes(SLOT_BYTES, "little") for slot in table.extension]),
        Section.DESCRIPTOR_NAMES: _rows("<I", ((name(item.name),) for item in program.descriptors)),
        Section.KERNELS: _joined([struct.pack("<I", name(k.name)) + encode_kernel(k) for k in program.kernels]),
        Section.LOOPS: _joined([encode_loop(loop) for loop in program.loops]),
        Section.SEMAPHORES: _rows(
            "<II", ((value, name(text)) for value, text in zip(program.semaphores, program.semaphore_names))
        ),
        Section.REGIONS: _rows(
            "<IIQQ", ((name(r.name), REGION_KINDS.index(r.kind), r.base, r.size) for r in program.regions)
        ),
        Section.PORTS: _ports(program, name),
        Section.DEBUG: _debug(program.debug, name),
        Section.CONSTANT_TABLE: _constant_table(constants, name),
    }
    sections[Section.STRINGS] = name.section()
    for kind in Section:
        if kind is Section.CONSTANTS:
            writer.add(kind, _constant_bytes(constants), len(constants))
        else:
            contents, records = sections[kind]
            writer.add(kind, [contents], records)


def _joined(parts: list[bytes]) -> tuple[bytes, int]:
    return b"".join(parts), len(parts)


def _rows(layout: str, rows: Iterator[tuple[int, ...]]) -> tuple[bytes, int]:
    return _joined([struct.pack(layout, *row) for row in rows])


def _ports(program: Program, name: _Strings) -> tuple[bytes, int]:
    rows: list[bytes] = []
    for direction, ports in enumerate((program.inputs, program.outputs)):
        for port in ports:
            rank = len(port.shape)
            head = (name(port.name), direction, port.dtype.code, rank, port.base)
            rows.append(struct.pack(f"<IIIIQ{rank}Q", *head, *port.shape))
    return _joined(rows)


def _debug(entries: Sequence[DebugEntry], name: _Strings) -> tuple[bytes, int]:
    unique = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    parts = [struct.pack("<I", len(unique))]
    for entry in unique:
        nodes = [name(node) for node in entry.nodes]
        head = (entry.group, name(entry.group_name), name(entry.tile_op), len(nodes))
        parts.append(struct.pack(f"<i{3 + len(nodes)}I", *head, *nodes))
    parts.append(np.array([unique[entry] for entry in entries], "<u4").tobytes())
    return b"".join(parts), len(entries)


def _constant_table(constants: list[tuple[str, npt.NDArray[np.uint8]]], name: _Strings) -> tuple[bytes, int]:
    rows: list[bytes] = []
    offset = 0
    for text, data in constants:
        rows.append(struct.pack("<IIQQ", name(text), 0, offset, data.nbytes))
        offset = aligned(offset + data.nbytes, ALIGNMENT)
    return _joined(rows)


def _constant_bytes(constants: list[tuple[str, npt.NDArray[np.uint8]]]) -> Iterator[Bytes]:
    for _, data in constants:
        yield np.ascontiguousarray(data).data
        yield bytes(aligned(data.nbytes, ALIGNMENT) - data.nbytes)


def _read_program(container: Container) -> Program:
    strings = _read_strings(container)
    target, metadata = _read_metadata(container, strings)
    inputs, outputs = _read_ports(container, strings)
    instructions = _read_instructions(container)
    semaphores = _reader(container, Section.SEMAPHORES).rows("<II")
    return Program(
        target=target,
        instructions=instructions,
        descriptors=_read_descriptors(container, strings),
        kernels=_read_kernels(container, strings),
        loops=_read_loops(container),
        semaphores=[value for value, _ in semaphores],
        semaphore_names=[strings[number] for _, number in semaphores],
        regions=_read_regions(container, strings),
        inputs=inputs,
        outputs=outputs,
        constants=_read_constants(container, strings),
        debug=_read_debug(container, strings, len(instructions)),
        metadata=metadata,
    )


class _StringTable:
    """The strings of a file, by number; a number beyond them is an error."""

    def __init__(self, texts: list[str], where: str) -> None:
        self._texts, self._where = texts, where

    def __getitem__(self, number: int) -> str:
        if number >= len(self._texts):
            raise damaged(self._where, f"the file has {len(self._texts)} strings", f"string {number}")
        return self._texts[number]


def _reader(container: Container, kind: Section) -> ByteReader:
    where = f"{container.where}: {kind.name.lower()}"
    return ByteReader(container.contents(kind), container.entries[kind].records, where)


def _read_strings(container: Container) -> _StringTable:
    reader = _reader(container, Section.STRINGS)
    texts: list[str] = []
    for _ in reader.records(4):
        (length,) = reader.unpack("<I")
        texts.append(reader.text(length))
    reader.end()
    return _StringTable(texts, container.where)


def _read_metadata(container: Container, strings: _StringTable) -> tuple[str, dict[str, str]]:
    """The target's name, which is the first record, and the pairs after it."""
    reader = _reader(container, Section.METADATA)
    pairs = [(strings[key], strings[value]) for key, value in reader.rows("<II")]
    if not pairs or pairs[0][0] != TARGET_KEY or len(dict(pairs[1:])) != len(pairs) - 1:
        raise damaged(reader.where, "metadata has unique keys and begins with the target", str(pairs[:1]))
    return pairs[0][1], dict(pairs[1:])


def _read_instructions(container: Container) -> list[Instruction]:
    reader = _reader(container, Section.INSTRUCTIONS)
    words = reader.fixed(WORD_BYTES)
    return [decode_bytes(word, f"{container.where}: instruction {i}") for i, word in enumerate(words)]


def _read_descriptors(container: Container, strings: _StringTable) -> list[Descriptor]:
    slots = _reader(container, Section.DESCRIPTORS).fixed(SLOT_BYTES)
    extension = [int.from_bytes(s, "little") for s in _reader(container, Section.EXTENSION).fixed(SLOT_BYTES)]
    names = _reader(container, Section.DESCRIPTOR_NAMES).rows("<I")
    if len(names) != len(slots):
        raise damaged(container.where, "descriptors and their names differ in number", f"{len(slots)}, {len(names)}")
    return [
        decode_descriptor(
            int.from_bytes(slot, "little"), extension, strings[number], f"{container.where}: descriptor {i}"
        )
        for i, (slot, (number,)) in enumerate(zip(slots, names))
    ]


def _read_kernels(container: Container, strings: _StringTable) -> list[Kernel]:
    reader = _reader(container, Section.KERNELS)
    kernels: list[Kernel] = []
    for number in reader.records(16):
        name = strings[reader.unpack("<I")[0]]
        kernels.append(decode_kernel(reader.take, name, f"{container.where}: kernel {number}"))
    reader.end()
    return kernels


def _read_loops(container: Container) -> list[Any]:
    reader = _reader(container, Section.LOOPS)
    loops = [decode_loop(reader.take, f"{container.where}: loop {number}") for number in reader.records(4)]
    reader.end()
    return loops


def _read_regions(container: Container, strings: _StringTable) -> list[Region]:
    reader = _reader(container, Section.REGIONS)
    regions: list[Region] = []
    for number, kind, base, size in reader.rows("<IIQQ"):
        if kind >= len(REGION_KINDS):
            raise damaged(reader.where, "unknown kind of region", str(kind))
        regions.append(Region(strings[number], REGION_KINDS[kind], base, size))
    return regions


def _read_ports(container: Container, strings: _StringTable) -> tuple[list[Port], list[Port]]:
    reader = _reader(container, Section.PORTS)
    ports: tuple[list[Port], list[Port]] = ([], [])
    codes = {dtype.code for dtype in DTYPES}
    for _ in reader.records(24):
        number, direction, code, rank, base = reader.unpack("<IIIIQ")
        if direction > 1 or code not in codes:
            raise damaged(reader.where, "unknown direction or element type", f"{direction}, {code}")
        shape = tuple(reader.numbers("<u8", rank))
        ports[direction].append(Port(strings[number], dtype_of_code(code), shape, base))
    reader.end()
    return ports


def _read_debug(container: Container, strings: _StringTable, instructions: int) -> list[DebugEntry]:
    reader = _reader(container, Section.DEBUG)
    if container.entries[Section.DEBUG].records not in (0, instructions):
        raise damaged(reader.where, f"the program has {instructions} instructions", "another number of debug entries")
    unique: list[DebugEntry] = []
    for _ in reader.counted(reader.unpack("<I")[0], 16):
        group, group_name, tile_op, count = reader.unpack("<iIII")
        nodes = tuple(strings[number] for number in reader.numbers("<u4", count))
        unique.append(DebugEntry(group, strings[group_name], strings[tile_op], nodes))
    rows = reader.numbers("<u4", container.entries[Section.DEBUG].records)
    reader.end()
    if any(row >= len(unique) for row in rows):
        raise damaged(reader.where, f"there are {len(unique)} entries", f"entry {max(rows)}")
    return [unique[row] for row in rows]


def _read_constants(container: Container, strings: _StringTable) -> dict[str, npt.NDArray[np.uint8]]:
    reader = _reader(container, Section.CONSTANT_TABLE)
    contents = container.contents(Section.CONSTANTS)
    constants: dict[str, npt.NDArray[np.uint8]] = {}
    end = 0
    for number, reserved, offset, size in reader.rows("<IIQQ"):
        name = strings[number]
        if reserved or offset != end or size > len(contents) - offset or name in constants:
            message = f"constant {name} must be unique, at byte {end}, within {len(contents)} bytes"
            raise damaged(reader.where, message, f"byte {offset}, {size} bytes")
        constants[name] = contents[offset : offset + size]
        end = aligned(offset + size, ALIGNMENT)
    if end != len(contents):
        raise damaged(reader.where, f"the constants end at byte {end}", f"section of {len(contents)} bytes")
    return constants
