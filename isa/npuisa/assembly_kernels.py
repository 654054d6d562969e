"""From the text of a `.kernel` block to a kernel.

.kernel scaled(f32, f32) -> v2
  .const 0.5                      // the table; `c0` names its entry
  v2.f32 = add v0, v1
  v3.f32 = const c0               // or `const 0.5`: enters the literal if it is not there yet
  v2.f32 = mul v2, v3
.end
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from lark import Token

from npuisa.assembly_names import BAD_FIELDS, UNKNOWN_NAME, unexpected_value
from npuisa.assembly_syntax import Constants, MicroText, Source, Types, did_you_mean
from npuisa.kernel import MAX_CONSTANTS, MICRO_BY_NAME, VECTOR_REGISTERS, Kernel, MicroOp, MicroType
from npuisa.spelling import read_number

_VECTOR = {f"v{number}": number for number in range(VECTOR_REGISTERS)}
_TYPES = {member.name.lower(): member for member in MicroType}
_CONSTANTS = {f"c{number}": number for number in range(MAX_CONSTANTS)}


def constant_key(value: float | int) -> tuple[bool, bytes | int]:
    """Equal for constants that have the same record."""
    return (True, struct.pack("<d", value)) if isinstance(value, float) else (False, value)


@dataclass
class KernelReader:
    """Reads the lines of one kernel."""

    source: Source
    name: str
    constants: list[float | int] = field(default_factory=list)

    def read(self, types: Types | None, result: Token, lines: Sequence[object]) -> Kernel:
        """The kernel; NpuError at the token that is wrong."""
        for line in lines:
            if isinstance(line, Constants):
                self.constants += [read_number(str(token)) for token in line]
        ops = tuple(self._micro(line) for line in lines if isinstance(line, MicroText))
        kinds = tuple(self._type(token, str(token)) for token in types or ())
        return Kernel(self.name, kinds, ops, tuple(self.constants), self._vector(result, str(result)))

    def _micro(self, line: MicroText) -> MicroOp:
        register, _, kind = str(line.dst).partition(".")
        dst, micro_type = self._vector(line.dst, register), self._type(line.dst, kind)
        opcode = MICRO_BY_NAME.get(str(line.opcode))
        if opcode is None:
            remedy = did_you_mean(str(line.opcode), MICRO_BY_NAME, f"one of {', '.join(MICRO_BY_NAME)}")
            raise self.source.error(UNKNOWN_NAME, line.opcode, f"unknown micro-operation {line.opcode}", remedy)
        wanted = 1 if opcode.name == "const" else opcode.arity
        if len(line.sources) != wanted:
            message = f"{opcode.name} takes {wanted} sources, not {len(line.sources)}"
            raise self.source.error(BAD_FIELDS, line.opcode, message, opcode.doc)
        if opcode.name == "const":
            return MicroOp(opcode.name, micro_type, dst, (), self._constant(line.sources[0]))
        return MicroOp(opcode.name, micro_type, dst, tuple(self._vector(token, str(token)) for token in line.sources))

    def _constant(self, token: Token) -> int:
        if token.type == "NAME":
            if str(token) not in _CONSTANTS:
                raise unexpected_value(self.source, token, f"{token} is not a constant", "write c0, c1 .. or a number")
            return _CONSTANTS[str(token)]
        value = read_number(str(token))
        keys = [constant_key(known) for known in self.constants]
        if constant_key(value) not in keys:
            self.constants.append(value)
            return len(keys)
        return keys.index(constant_key(value))

    def _vector(self, token: Token, text: str) -> int:
        if text not in _VECTOR:
            remedy = f"vector registers are v0..v{VECTOR_REGISTERS - 1}"
            raise unexpected_value(self.source, token, f"{text} is not a vector register", remedy)
        return _VECTOR[text]

    def _type(self, token: Token, text: str) -> MicroType:
        if text not in _TYPES:
            remedy = did_you_mean(text, _TYPES, f"one of {', '.join(_TYPES)}")
            raise unexpected_value(self.source, token, f"no type of micro-operations: {text or 'none given'}", remedy)
        return _TYPES[text]
