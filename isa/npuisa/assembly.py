"""The assembler: text of a whole program -> `Program`.

    assemble(text, constants={"w": bytes_of_w})        # or the path of a .safetensors file
    assemble_file("x.npuasm")                           # constants from x.safetensors beside it

The text holds everything but the bytes of constants; a constant region names their SHA-256. Every error carries
file, line, column, the line with carets and a remedy; independent errors are collected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from lark import Token

from npuisa.assembly_instructions import InstructionResolver
from npuisa.assembly_kernels import KernelReader
from npuisa.assembly_names import UNKNOWN_NAME, NameTable, text_of, unexpected_value
from npuisa.assembly_syntax import (
    SYNTAX,
    Address,
    Block,
    Directive,
    InstructionText,
    Label,
    Shape,
    Source,
    Statement,
    Types,
    collected,
    did_you_mean,
    integer,
    parse_statements,
)
from npuisa.constants_file import CONSTANTS_FILE, check_digest, load_constants
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.dtypes import DTYPES, DType, dtype_named
from npuisa.errors import NpuError
from npuisa.program import DebugEntry, LoopSpec, Port, Program, Region, RegionKind
from npuisa.spelling import read_number
from npuisa.target import Target
from npuisa.validate import validate_program

ConstantBytes = Mapping[str, npt.NDArray[np.uint8]]
_SPACES = {member.name.lower(): member for member in Space}
_DTYPES = {dtype.name: dtype for dtype in DTYPES}


def assemble_file(path: str | os.PathLike[str], *, target: Target | None = None) -> Program:
    """Assemble a file; the bytes of its constants come from the `.safetensors` file of the same name."""
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NpuError(SYNTAX, "cannot read the assembly file", str(place), str(error), "check the path") from None
    beside = place.with_suffix(".safetensors")
    return assemble(text, source=str(place), constants=beside if beside.exists() else None, target=target)


def assemble(
    text: str,
    *,
    source: str = "<text>",
    constants: ConstantBytes | str | os.PathLike[str] | None = None,
    target: Target | None = None,
) -> Program:
    """The program that `text` describes; NpuError (NPU-E02xx) when it is wrong.

    `source` names the text in messages. `constants` gives the bytes of the constant regions that name a digest.
    """
    origin = Source(source, text.split("\n"))
    assembler = _Assembler(origin, _constant_bytes(constants))
    assembler.run(parse_statements(text, origin))
    return assembler.finish(target)


def _constant_bytes(constants: ConstantBytes | str | os.PathLike[str] | None) -> ConstantBytes | None:
    if constants is None or isinstance(constants, Mapping):
        return constants
    return load_constants(Path(constants))


class _Assembler:
    """Collects the tables of a program from its statements; instructions are resolved last."""

    def __init__(self, source: Source, constants: ConstantBytes | None) -> None:
        self.source, self.constants = source, constants
        self.program = Program("", [], [], [], [], [], [], [], [], [])
        kinds = ("descriptor", "kernel", "loop", "semaphore", "label", "region", "debug entry")
        self.names = {kind: NameTable(kind, source) for kind in kinds}
        self.resolver = InstructionResolver(source, self.names, self._new_loop)
        self.texts: list[InstructionText] = []
        self.locations: list[Token | None] = []
        self.location: Token | None = None
        self.entries: list[DebugEntry] = []
        self.lines: dict[tuple[str, int], Token] = {}
        self.errors: list[NpuError] = []
        self.steps: dict[str, Callable[..., None]] = {
            "target": self._target,
            "meta": self._meta,
            "region": self._region,
            "input": self._input,
            "output": self._output,
            "sem": self._sem,
            "desc": self._desc,
            "kernel": self._kernel,
            "loop": self._loop,
            "debug": self._debug,
        }

    def run(self, statements: list[Statement]) -> None:
        """Enter every statement; errors are collected."""
        later: list[Directive] = []
        for statement in statements:
            match statement:
                case Label():
                    self._try(lambda item=statement: self.names["label"].declare(item.name, len(self.texts)))
                case InstructionText():
                    self.texts.append(statement)
                    self.locations.append(self.location)
                case Directive(kind="loc"):
                    self.location = cast(Token, statement.parts[0])
                case Directive(kind="desc" | "input" | "output"):
                    later.append(statement)
                case Directive():
                    self._try(lambda item=statement: self._directive(item))
        for statement in later:
            self._try(lambda item=statement: self._directive(item))

    def finish(self, target: Target | None) -> Program:
        """Resolve the instructions and check the program."""
        for number, text in enumerate(self.texts):
            self.lines["instruction", number] = text.mnemonic
            self._try(lambda item=text: self.program.instructions.append(self.resolver.resolve(item)))
        self._try(self._debug_map)
        self._raise()
        validate_program(self.program, target, self.source.name, self._place)
        return self.program

    def _place(self, kind: str, index: int) -> str:
        token = self.lines.get((kind, index))
        return f"{kind} {index}" if token is None else f"line {token.line}, {kind} {index}"

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except NpuError as error:
            self.errors.append(error)

    def _raise(self) -> None:
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise collected(self.source, self.errors)

    def _directive(self, directive: Directive) -> None:
        self.steps[directive.kind](*directive.parts)

    def _text(self, token: Token) -> str:
        return text_of(self.source, token)

    def _one_of(self, token: Token, choices: Mapping[str, Any], what: str) -> Any:
        if str(token) not in choices:
            remedy = did_you_mean(str(token), choices, f"one of {', '.join(choices)}")
            raise self.source.error(UNKNOWN_NAME, token, f"unknown {what} {token}", remedy)
        return choices[str(token)]

    def _dtype(self, token: Token) -> DType:
        self._one_of(token, _DTYPES, "element type")
        return dtype_named(str(token))

    def _target(self, name: Token) -> None:
        if self.program.target:
            raise unexpected_value(self.source, name, "the text has two .target lines", "leave one")
        self.program.target = self._text(name)

    def _meta(self, key: Token, value: Token) -> None:
        self.program.metadata[self._text(key)] = self._text(value)

    def _region(self, name: Token, kind: Token, base: Token, size: Token, digest: Token | None = None) -> None:
        kinds = {member.value: member for member in RegionKind}
        region_kind = self._one_of(kind, kinds, "kind of region")
        text = self.names["region"].declare(name, len(self.program.regions))
        self.program.regions.append(Region(text, region_kind, integer(base), integer(size)))
        if digest is not None:
            self.program.constants[text] = self._constant(text, name, str(digest).partition("=")[2])

    def _constant(self, text: str, name: Token, digest: str) -> npt.NDArray[np.uint8]:
        if self.constants is None or text not in self.constants:
            message = f"the bytes of constant {text} are missing"
            remedy = "put the .safetensors file beside the text, or give `constants`"
            raise self.source.error(CONSTANTS_FILE, name, message, remedy)
        data = self.constants[text]
        problem = check_digest(data, digest)
        if problem:
            raise self.source.error(CONSTANTS_FILE, name, f"constant {text}: {problem}", "use the file it came with")
        return data

    def _input(self, name: Token, dtype: Token, shape: Shape, address: Address) -> None:
        self.program.inputs.append(Port(self._text(name), self._dtype(dtype), shape.dims, self._base(address)))

    def _output(self, name: Token, dtype: Token, shape: Shape, address: Address) -> None:
        self.program.outputs.append(Port(self._text(name), self._dtype(dtype), shape.dims, self._base(address)))

    def _base(self, address: Address) -> int:
        if address.region is None:
            return address.offset
        return self.program.regions[self.names["region"].lookup(address.region)].base + address.offset

    def _sem(self, *parts: Token) -> None:
        for name, value in zip(parts[::2], parts[1::2]):
            self.program.semaphore_names.append(self.names["semaphore"].declare(name, len(self.program.semaphores)))
            self.program.semaphores.append(integer(value))

    def _desc(
        self, name: Token, space: Token, dtype: Token, shape: Shape, address: Address, fill: Token | None = None
    ) -> None:
        number = len(self.program.descriptors)
        text = self.names["descriptor"].declare(name, number)
        self.lines["descriptor", number] = name
        strides = row_major(shape.dims) if shape.strides is None else shape.strides
        value = 0 if fill is None else read_number(str(fill))
        where, element = self._one_of(space, _SPACES, "memory space"), self._dtype(dtype)
        view = Descriptor(text, where, element, self._base(address), shape.dims, strides, value)
        self.program.descriptors.append(view)

    def _loop(self, name: Token, block: Block) -> None:
        self.names["loop"].declare(name, len(self.program.loops))
        self.lines["loop", len(self.program.loops)] = name
        self.program.loops.append(self.resolver.loop(block))

    def _new_loop(self, loop: LoopSpec) -> int:
        self.program.loops.append(loop)
        return len(self.program.loops) - 1

    def _kernel(self, name: Token, *parts: object) -> None:
        number = len(self.program.kernels)
        text = self.names["kernel"].declare(name, number)
        self.lines["kernel", number] = name
        types = parts[0] if isinstance(parts[0], Types) else None
        result, *lines = parts if types is None else parts[1:]
        self.program.kernels.append(KernelReader(self.source, text).read(types, cast(Token, result), lines))

    def _debug(self, name: Token, group: Token, group_name: Token, tile_op: Token, *nodes: Token) -> None:
        self.names["debug entry"].declare(name, len(self.entries))
        texts = tuple(self._text(node) for node in nodes)
        self.entries.append(DebugEntry(integer(group), self._text(group_name), self._text(tile_op), texts))

    def _debug_map(self) -> None:
        if not any(self.locations):
            return
        for text, location in zip(self.texts, self.locations):
            if location is None:
                message = "instructions before the first .loc have no debug entry"
                raise unexpected_value(self.source, text.mnemonic, message, "put a .loc before the first instruction")
            entry = self.names["debug entry"].lookup(location)
            self.program.debug.append(self.entries[entry])
