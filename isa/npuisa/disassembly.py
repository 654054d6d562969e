"""The disassembler: `Program` -> text that assembles to the same program, byte for byte of its file.

text = disassemble(program)
disassemble_to(program, "x.npuasm")      # and x.safetensors with the bytes of the constants
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npuisa.assembly_kernels import constant_key
from npuisa.constants_file import CONSTANTS_FILE, digest_of, save_constants
from npuisa.container import replacing
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.errors import NpuError
from npuisa.instructions import NO_OPERAND, Instruction, Operand, SBr, SLoop
from npuisa.kernel import Kernel, MicroOp
from npuisa.memory_map import enclosing
from npuisa.program import DebugEntry, LoopSpec, Port, Program
from npuisa.spelling import (
    ABSENT,
    TextField,
    spell_mnemonic,
    spell_name,
    spell_names,
    spell_number,
    text_fields,
)

MNEMONIC_WIDTH, ARGUMENT_WIDTH, MAX_NAME_WIDTH = 12, 44, 32


def disassemble(program: Program) -> str:
    """The text of a valid `program`; bytes of constants appear as their SHA-256 only."""
    return "\n".join(_Printer(program).lines()) + "\n"


def disassemble_to(program: Program, path: str | os.PathLike[str]) -> None:
    """Write the text to `path` and, if there are constants, their bytes to the `.safetensors` file beside it."""
    place = Path(path)
    text = disassemble(program).encode()
    try:
        with replacing(place) as file:
            file.write(text)
    except OSError as error:
        raise NpuError(CONSTANTS_FILE, "cannot write the text", str(place), str(error), "check the path") from None
    if program.constants:
        save_constants(program.constants, place.with_suffix(".safetensors"))


class _Printer:
    """Prints one program; spells every name of a table once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.descriptors = spell_names([item.name for item in program.descriptors])
        self.kernels = spell_names([item.name for item in program.kernels])
        self.semaphores = spell_names(program.semaphore_names)
        self.name_width = min(max((len(name) for name in self.descriptors), default=0), MAX_NAME_WIDTH)
        steps = [item.step for item in program.instructions if isinstance(item, SLoop)]
        self.inline_loops = steps == list(range(len(program.loops)))

    def lines(self) -> Iterator[str]:
        program = self.program
        yield f".target {spell_name(program.target)}"
        yield from (f".meta {_quoted(key)} = {_quoted(value)}" for key, value in program.metadata.items())
        yield from self._regions()
        yield from (f".input  {self._port(port)}" for port in program.inputs)
        yield from (f".output {self._port(port)}" for port in program.outputs)
        yield from (f".sem {name} = {value}" for name, value in zip(self.semaphores, program.semaphores))
        yield from (self._descriptor(number) for number in range(len(program.descriptors)))
        for name, kernel in zip(self.kernels, program.kernels):
            yield from kernel_lines(name, kernel)
        if not self.inline_loops:
            yield from (f".loop step{number} {_block(loop)}" for number, loop in enumerate(program.loops))
        yield from self._body()

    def _regions(self) -> Iterator[str]:
        for region in self.program.regions:
            data = self.program.constants.get(region.name)
            digest = "" if data is None else f" sha256={digest_of(data)}"
            yield f".region {spell_name(region.name)} {region.kind.value} @ {region.base} size {region.size}{digest}"

    def _port(self, port: Port) -> str:
        dims = ",".join(str(dim) for dim in port.shape)
        size = port.dtype.bytes
        for dim in port.shape:
            size *= dim
        return f"{spell_name(port.name)} {port.dtype} [{dims}] @ {self._dram(port.base, port.base + size)}"

    def _dram(self, low: int, high: int) -> str:
        region = enclosing(self.program.regions, low, high)
        if region is None:
            return str(low)
        return spell_name(region.name) + (f" + {low - region.base}" if low > region.base else "")

    def _descriptor(self, number: int) -> str:
        view = self.program.descriptors[number]
        dims = ",".join(str(dim) for dim in view.dims)
        strides = ",".join(str(stride) for stride in view.strides)
        shape = f"[{dims}]" if view.strides == row_major(view.dims) else f"[{dims} : {strides}]"
        where = self._dram(view.base, view.base + 1) if view.space is Space.DRAM else str(view.base)
        head = f".desc {self.descriptors[number]:<{self.name_width}} {view.space.name.lower():<4} {view.dtype}"
        return f"{head} {shape} @ {where}{_fill(view)}"

    def _body(self) -> Iterator[str]:
        program = self.program
        labels = self._labels()
        entries = {entry: number for number, entry in enumerate(dict.fromkeys(program.debug))}
        for entry, number in entries.items():
            nodes = ", ".join(_quoted(node) for node in entry.nodes)
            text = f".debug d{number} {entry.group} {_quoted(entry.group_name)} {_quoted(entry.tile_op)} {nodes}"
            yield text.rstrip()
        location = None
        for number, item in enumerate(program.instructions):
            if number in labels:
                yield f"{labels[number]}:"
            if program.debug and program.debug[number] != location:
                location = program.debug[number]
                yield f"        .loc d{entries[location]:<{MNEMONIC_WIDTH}} // {_origin(location)}"
            yield "        " + self._instruction(item, labels)
        if len(program.instructions) in labels:
            yield f"{labels[len(program.instructions)]}:"

    def _labels(self) -> dict[int, str]:
        targets = {item.end for item in self.program.instructions if isinstance(item, SLoop)}
        targets |= {item.to for item in self.program.instructions if isinstance(item, SBr)}
        return {target: f"L{target}" for target in sorted(targets)}

    def _instruction(self, item: Instruction, labels: dict[int, str]) -> str:
        cls = type(item)
        positional: list[str] = []
        named: list[str] = []
        block = ""
        for slot in text_fields(cls):
            value = getattr(item, slot.name)
            if slot.spec.kind == "loop" and self.inline_loops:
                block = _block(self.program.loops[value])
            elif slot.positional:
                positional.append(self._value(slot, value, labels))
            elif value != slot.default:
                named.append(f"{slot.name}={self._value(slot, value, labels)}")
        while positional and positional[-1] == ABSENT:
            positional.pop()
        arguments = " ".join(part for part in (", ".join(positional), block, *named) if part)
        waits = f"wait {', '.join(self.semaphores[i] for i in item.waits)}" if item.waits else ""
        posts = f"post {', '.join(self.semaphores[i] for i in item.posts)}" if item.posts else ""
        head = f"{spell_mnemonic(cls, item.engine):<{MNEMONIC_WIDTH}} {arguments:<{ARGUMENT_WIDTH}}"
        return " ".join(part for part in (head, waits, posts) if part).rstrip()

    def _value(self, slot: TextField, value: Any, labels: dict[int, str]) -> str:
        spec = slot.spec
        if spec.kind == "operand":
            return self._operand(value)
        if spec.kind == "reg":
            return f"r{value}"
        if spec.enum is not None:
            return spec.enum(value).name.lower()
        if spec.kind == "loop":
            return f"step{value}"
        if spec.kind == "target":
            return labels[value]
        names = {"kernel": self.kernels, "descriptor": self.descriptors, "semaphore": self.semaphores}.get(spec.kind)
        return str(value) if names is None else names[value]

    def _operand(self, operand: Operand) -> str:
        if operand == NO_OPERAND:
            return ABSENT
        return self.descriptors[operand.desc] + (f"[r{operand.reg}]" if operand.reg else "")


def kernel_lines(name: str, kernel: Kernel) -> Iterator[str]:
    """The `.kernel` block of a kernel that is spelled `name`."""
    types = ", ".join(item.name.lower() for item in kernel.source_types)
    yield f".kernel {name}({types}) -> v{kernel.result}"
    inline = _constants_in_order(kernel)
    if not inline and kernel.constants:
        yield f"  .const {', '.join(spell_number(value) for value in kernel.constants)}"
    for op in kernel.ops:
        yield f"  v{op.dst}.{op.type.name.lower()} = {op.opcode} {_micro_sources(kernel, op, inline)}"
    yield ".end"


def _micro_sources(kernel: Kernel, op: MicroOp, inline: bool) -> str:
    if op.opcode != "const":
        return ", ".join(f"v{source}" for source in op.sources)
    return spell_number(kernel.constants[op.index]) if inline else f"c{op.index}"


def _constants_in_order(kernel: Kernel) -> bool:
    """Whether literals in the micro-operations alone would make the same table of constants."""
    used = [op.index for op in kernel.ops if op.opcode == "const"]
    distinct = {constant_key(value) for value in kernel.constants}
    return list(dict.fromkeys(used)) == list(range(len(kernel.constants))) and len(distinct) == len(kernel.constants)


def _block(loop: LoopSpec) -> str:
    parts = [
        f"r{item.reg} += {item.step}" + (f" mod {item.modulus}" if item.modulus else "") for item in loop.increments
    ]
    return f"{{ {'; '.join(parts)} }}" if parts else "{}"


def _fill(view: Descriptor) -> str:
    value = float(view.fill) if view.dtype.is_float else int(view.fill)
    text = spell_number(value)
    return "" if text in ("0", "0.0") else f" fill {text}"


def _origin(entry: DebugEntry) -> str:
    """The origin of instructions as a comment, which must stay on its line."""
    return " ".join(": ".join(part for part in (entry.group_name, entry.tile_op) if part).split())


def _quoted(text: str) -> str:
    return f'"{spell_name(text)}"' if not spell_name(text).startswith('"') else spell_name(text)
