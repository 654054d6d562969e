"""Properties of graph ops as text: `<strides = [2, 2], groups = 1, alpha = 0.1, max = inf, fn = sum>`.

A number is read as the op declares the property: `min = 1` is a float where a float is declared. Floats that are no
decimal number are written `inf`, `-inf` and `nan`; hexadecimal digits are the bits of the f64, as in MLIR.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import cast

from xdsl.dialects.builtin import DenseArrayBase, FloatAttr, IntegerAttr, IntegerType, StringAttr, f64, i64
from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation
from xdsl.parser import Parser
from xdsl.printer import Printer

_SPECIAL = {"inf": math.inf, "nan": math.nan}
_F64_BITS = 64


def print_properties(printer: Printer, properties: Mapping[str, Attribute]) -> None:
    """The properties in angle brackets; nothing when there are none."""
    if properties:
        printer.print_string(" ")
        with printer.in_angle_brackets():
            printer.print_list(properties.items(), lambda item: _print_property(printer, *item))


def _print_property(printer: Printer, name: str, value: Attribute) -> None:
    printer.print_string(f"{name} = ")
    match value:
        case DenseArrayBase(elt_type=IntegerType()):
            printer.print_string(str(list(cast(DenseArrayBase[IntegerType], value).get_values())))
        case IntegerAttr():
            printer.print_string(str(value.value.data))
        case FloatAttr():
            _print_float(printer, value.value.data)
        case StringAttr():
            printer.print_identifier_or_string_literal(value.data)
        case _:
            printer.print_attribute(value)


def _print_float(printer: Printer, value: float) -> None:
    if math.isfinite(value):
        printer.print_float(value, f64)
    else:
        printer.print_string(str(value))


def parse_properties(parser: Parser, op: type[IRDLOperation]) -> dict[str, Attribute]:
    """The properties in angle brackets, typed as `op` declares them; a name given twice is an error."""
    found: dict[str, Attribute] = {}

    def entry() -> None:
        position = parser.pos
        name = parser.parse_identifier()
        if name in found:
            parser.raise_error(f"{op.name}: property {name} is given twice", position)
        parser.parse_punctuation("=")
        found[name] = _parse_float(parser) if _is_float(op, name) else _parse_value(parser)

    parser.parse_optional_comma_separated_list(parser.Delimiter.ANGLE, entry)
    return found


def _is_float(op: type[IRDLOperation], name: str) -> bool:
    declared = op.get_irdl_definition().properties.get(name)
    bases = declared.constr.get_bases() if declared is not None else None
    return bases is not None and FloatAttr in bases


def _parse_float(parser: Parser) -> Attribute:
    start = parser.pos
    negative = parser.parse_optional_punctuation("-") is not None
    special = parser.parse_optional_keyword_in(_SPECIAL)
    if special is not None:
        return FloatAttr(-_SPECIAL[special] if negative else _SPECIAL[special], f64)
    digits = parser.pos
    number = parser.parse_optional_number()
    if number is None:
        parser.raise_error("expected a number, inf or nan", start)
    if isinstance(number, int):
        hexadecimal = parser.lexer.input.slice(digits, digits + 2) in ("0x", "0X")
        number = _from_bits(parser, start, number, negative) if hexadecimal else _as_float(parser, start, number)
    return FloatAttr(-number if negative else number, f64)


def _as_float(parser: Parser, start: int, number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        parser.raise_error("the number is out of the range of f64", start)


def _from_bits(parser: Parser, start: int, bits: int, negative: bool) -> float:
    if negative or bits >= 1 << _F64_BITS:
        parser.raise_error("hexadecimal digits of a float are the 64 bits of an f64", start)
    (value,) = struct.unpack("<d", bits.to_bytes(8, "little"))
    return value


def _parse_value(parser: Parser) -> Attribute:
    numbers = parser.parse_optional_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_i64(parser))
    if numbers is not None:
        return DenseArrayBase.from_list(i64, numbers)
    start = parser.pos
    number = parser.parse_optional_number()
    if number is not None:
        return _i64(parser, start, number) if isinstance(number, int) else FloatAttr(number, f64)
    text = parser.parse_optional_identifier_or_str_literal()
    return StringAttr(text) if text is not None else parser.parse_attribute()


def _parse_i64(parser: Parser) -> int:
    start = parser.pos
    return _i64(parser, start, parser.parse_integer()).value.data


def _i64(parser: Parser, start: int, number: int) -> IntegerAttr[IntegerType]:
    if not -(1 << 63) <= number < 1 << 63:
        parser.raise_error(f"{number} is out of the range of i64", start)
    return IntegerAttr(number, i64)
