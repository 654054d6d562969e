"""Text form of micro-kernels inside the npu dialect.

    (f32, f32) {
      v2 = add.f32 v0, v1
      v3 = const.f32 0.5
      v2 = mul.f32 v2, v3
    } -> v2

The constants stand where they are used; equal ones share a slot of the pool, in the order of first use.
"""

from __future__ import annotations

import math
import struct

from npuisa.kernel import MICRO_BY_NAME, VECTOR_REGISTERS, Kernel, MicroOp, MicroType
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from npucc.dialects.npu_ops.number_text import number_text, parse_number

Constant = float | int


class ConstantPool:
    """Constants of one kernel; equal bit patterns of equal kind share an index (so -0.0 and 0.0 do not)."""

    def __init__(self) -> None:
        self.values: list[Constant] = []
        self._index: dict[bytes | int, int] = {}

    def index(self, value: Constant) -> int:
        """The index of `value`, added when new."""
        if value != value:
            value = math.nan  # one object, so that kernels with a NaN compare equal
        key = value if isinstance(value, int) else struct.pack("<d", value)
        if key not in self._index:
            self._index[key] = len(self.values)
            self.values.append(value)
        return self._index[key]


def micro_op_text(op: MicroOp, constants: tuple[Constant, ...]) -> str:
    """One micro-operation, such as `v2 = add.f32 v0, v1` or `v3 = const.f32 0.5`."""
    sources = ", ".join(f"v{register}" for register in op.sources)
    argument = number_text(constants[op.index]) if op.opcode == "const" else sources
    return f"v{op.dst} = {op.opcode}.{op.type.name.lower()} {argument}"


def print_kernel(printer: Printer, kernel: Kernel) -> None:
    """Source types, micro-operations and the result register of `kernel`."""
    types = ", ".join(kind.name.lower() for kind in kernel.source_types)
    printer.print_string(f"({types}) {{")
    with printer.indented():
        for op in kernel.ops:
            printer.print_string("\n" + micro_op_text(op, kernel.constants))
    printer.print_string(f"\n}} -> v{kernel.result}")


def parse_kernel(parser: AttrParser) -> Kernel:
    """Inverse of `print_kernel`; the kernel has no name."""
    types = parser.parse_comma_separated_list(parser.Delimiter.PAREN, lambda: _parse_type(parser))
    parser.parse_punctuation("{")
    pool = ConstantPool()
    ops: list[MicroOp] = []
    while parser.parse_optional_punctuation("}") is None:
        ops.append(_parse_micro_op(parser, pool))
    parser.parse_punctuation("->")
    return Kernel("", tuple(types), tuple(ops), tuple(pool.values), _parse_vector_register(parser))


def _parse_type(parser: AttrParser) -> MicroType:
    return MicroType[parser.parse_keyword_in([kind.name.lower() for kind in MicroType]).upper()]


def _parse_vector_register(parser: AttrParser) -> int:
    start = parser.pos
    text = parser.parse_identifier(" (a vector register)")
    if text[0] == "v" and text[1:].isdecimal() and int(text[1:]) < VECTOR_REGISTERS:
        return int(text[1:])
    parser.raise_error(f"expected a vector register v0 to v{VECTOR_REGISTERS - 1}, found {text}", start, parser.pos)


def _parse_micro_op(parser: AttrParser, pool: ConstantPool) -> MicroOp:
    dst = _parse_vector_register(parser)
    parser.parse_punctuation("=")
    start = parser.pos
    opcode, _, kind = parser.parse_identifier(" (a micro-operation)").rpartition(".")
    if opcode not in MICRO_BY_NAME or kind.upper() not in MicroType.__members__:
        parser.raise_error("expected a micro-operation and its type, such as add.f32", start, parser.pos)
    micro_type = MicroType[kind.upper()]
    if opcode == "const":
        return MicroOp(opcode, micro_type, dst, (), pool.index(parse_number(parser)))
    sources = [_parse_vector_register(parser)]
    while parser.parse_optional_punctuation(","):
        sources.append(_parse_vector_register(parser))
    if len(sources) != MICRO_BY_NAME[opcode].arity:
        parser.raise_error(f"{opcode} has {MICRO_BY_NAME[opcode].arity} sources", start, parser.pos)
    return MicroOp(opcode, micro_type, dst, tuple(sources))
