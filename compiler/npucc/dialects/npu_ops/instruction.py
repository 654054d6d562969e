"""One operation per ISA instruction, made from the instruction table.

The text of an instruction lists its fields by name: an operand is a descriptor symbol with an optional
register, an enumeration is a lower-case name, a register `r0`..`r31`; fields that are left out have the
table's default. `wait` / `post` name semaphores, `from` the origin and the tile operation:

    npu.mx.gemm dst(@acc[r3]) a(@xs) b(@ws[r2]) mode(add_if) pred(r7) wait(@full) post(@free) from(@g0 "gemm")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import cache
from typing import Any, ClassVar

from npuisa.encoding import field_limits
from npuisa.instructions import BY_MNEMONIC, MAX_POSTS, MAX_WAITS, Engine, FieldSpec, Instruction
from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr, SymbolRefAttr
from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation, irdl_op_definition, opt_prop_def, prop_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.npu_ops.attributes import (
    OperandAttr,
    OperandRef,
    parse_operand,
    parse_register,
    print_attributes,
    print_operand,
    symbol,
    symbol_names,
    symbols,
    text,
    with_attributes,
)

SYMBOL_KINDS = frozenset({"kernel", "target", "descriptor", "semaphore"})
"""Kinds of fields that are an index in the program and a symbol here."""

FieldValue = OperandRef | int | str | IntEnum
"""Value of a field in the IR: operand, immediate or register number, symbol, enumeration."""


@cache
def field_specs(isa: type[Instruction]) -> tuple[tuple[str, FieldSpec], ...]:
    """The fields of an ISA class in encoding order (cached: `Instruction.fields` inspects the class)."""
    return tuple(isa.fields())


class InstructionOp(IRDLOperation):
    """Base of all instruction operations; a subclass has one property per field of its ISA class."""

    ISA: ClassVar[type[Instruction]]

    unit = opt_prop_def(StringAttr)
    waits = opt_prop_def(ArrayAttr[SymbolRefAttr])
    posts = opt_prop_def(ArrayAttr[SymbolRefAttr])
    origin = opt_prop_def(SymbolRefAttr)
    tile_op = opt_prop_def(StringAttr)

    @classmethod
    def make(
        cls,
        fields: Mapping[str, FieldValue] | None = None,
        *,
        unit: Engine | None = None,
        waits: Iterable[str] = (),
        posts: Iterable[str] = (),
        origin: str = "",
        tile_op: str = "",
    ) -> InstructionOp:
        """The operation with these field values; fields left out have the default of the table."""
        properties: dict[str, Attribute] = {}
        if unit is not None:
            properties["unit"] = text(unit.name.lower())
        specs = dict(field_specs(cls.ISA))
        for name, value in (fields or {}).items():
            properties[name] = _field_attribute(specs[name], value)
        for name, semaphores in (("waits", tuple(waits)), ("posts", tuple(posts))):
            if semaphores:
                properties[name] = symbols(semaphores)
        if origin:
            properties |= {"origin": symbol(origin), "tile_op": text(tile_op)}
        return cls(properties=properties)

    @property
    def engine(self) -> Engine:
        """The engine that executes the instruction."""
        if self.ISA.fixed_engine is not None:
            return self.ISA.fixed_engine
        return Engine.SEQ if self.unit is None else Engine[self.unit.data.upper()]

    def field(self, name: str) -> Any:
        """Value of a field as in `FieldValue`; None when it is left out."""
        attribute = self.properties.get(name)
        return None if attribute is None else _field_value(attribute, dict(field_specs(self.ISA))[name])

    def operands_used(self) -> list[tuple[str, FieldSpec, OperandRef]]:
        """The descriptor operands that are present: field name, its rule, operand."""
        return [
            (name, spec, attribute.data)
            for name, spec in field_specs(self.ISA)
            if isinstance(attribute := self.properties.get(name), OperandAttr)
        ]

    def verify_(self) -> None:
        """Engine, number of waits and posts, field ranges; symbols are checked by the program."""
        self._verify_unit()
        for name, semaphores, limit in (("waits", self.waits, MAX_WAITS), ("posts", self.posts, MAX_POSTS)):
            if len(symbol_names(semaphores)) > limit:
                raise VerifyException(f"{self.name}: at most {limit} {name}; put more into an npu.q.sync")
        for name, spec in field_specs(self.ISA):
            attribute = self.properties.get(name)
            if attribute is not None:
                _verify_field(f"{self.name}: field {name}", spec, attribute)

    def _verify_unit(self) -> None:
        legal = [engine.name.lower() for engine in self.ISA.units]
        if self.ISA.fixed_engine is not None:
            if self.unit is not None:
                raise VerifyException(f"{self.name}: always runs on {legal[0]}; leave unit out")
        elif self.unit is None or self.unit.data not in legal:
            found = "none" if self.unit is None else self.unit.data
            raise VerifyException(f"{self.name}: unit is {found}, must be one of {', '.join(legal)}")

    def print(self, printer: Printer) -> None:
        """The fields in the order of the table."""
        if self.unit is not None:
            printer.print_string(f" unit({self.unit.data})")
        for name, spec in field_specs(self.ISA):
            attribute = self.properties.get(name)
            if attribute is not None:
                printer.print_string(f" {name}(")
                _print_field(printer, spec, attribute)
                printer.print_string(")")
        for name, semaphores in (("wait", self.waits), ("post", self.posts)):
            if semaphores is not None:
                printer.print_string(f" {name}(")
                printer.print_list(symbol_names(semaphores), printer.print_symbol_name)
                printer.print_string(")")
        self._print_origin(printer)
        print_attributes(printer, self)

    def _print_origin(self, printer: Printer) -> None:
        if self.origin is not None:
            printer.print_string(" from(")
            printer.print_symbol_name(self.origin.root_reference.data)
            if self.tile_op is not None:
                printer.print_string(" ")
                printer.print_string_literal(self.tile_op.data)
            printer.print_string(")")

    @classmethod
    def parse(cls, parser: Parser) -> InstructionOp:
        """Inverse of `print`; fields may stand in any order."""
        specs = dict(field_specs(cls.ISA))
        properties: dict[str, Attribute] = {}
        while (key := parser.parse_optional_keyword_in([*specs, "unit", "wait", "post", "from"])) is not None:
            with parser.in_parens():
                if key in specs:
                    properties[key] = _parse_field(parser, specs[key])
                elif key == "unit":
                    properties["unit"] = StringAttr(parser.parse_identifier())
                elif key == "from":
                    properties |= _parse_origin(parser)
                else:
                    properties[key + "s"] = _parse_symbols(parser)
        missing = [name for name in _required(cls.ISA) if name not in properties]
        if missing:
            parser.raise_error(f"{cls.name}: field {', '.join(missing)} is missing and has no default")
        return with_attributes(parser, cls(properties=properties))


def _required(isa: type[Instruction]) -> list[str]:
    declared = {item.name: item for item in dataclasses.fields(isa)}
    return [name for name, _ in field_specs(isa) if declared[name].default is dataclasses.MISSING]


def _field_attribute(spec: FieldSpec, value: FieldValue) -> Attribute:
    if spec.kind == "operand":
        assert isinstance(value, OperandRef)
        return OperandAttr(value)
    if isinstance(value, IntEnum):
        return text(value.name.lower())
    if isinstance(value, str):
        return symbol(value)
    assert isinstance(value, int)
    return IntAttr(value)


def _field_value(attribute: Attribute, spec: FieldSpec) -> FieldValue:
    if isinstance(attribute, OperandAttr | IntAttr):
        return attribute.data
    if isinstance(attribute, StringAttr):
        assert spec.enum is not None
        return spec.enum[attribute.data.upper()]
    assert isinstance(attribute, SymbolRefAttr)
    return attribute.root_reference.data


def _verify_field(where: str, spec: FieldSpec, attribute: Attribute) -> None:
    if spec.enum is not None:
        names = [member.name.lower() for member in spec.enum]
        if not isinstance(attribute, StringAttr) or attribute.data not in names:
            raise VerifyException(f"{where}: found {attribute}, must be one of {', '.join(names)}")
    elif isinstance(attribute, OperandAttr):
        _verify_range(where + ", register", attribute.data.reg, 0, (1 << 5) - 1)
    elif isinstance(attribute, IntAttr):
        _verify_range(where, attribute.data, *field_limits(spec))


def _verify_range(where: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise VerifyException(f"{where}: {value} is outside {low}..{high}")


def _print_field(printer: Printer, spec: FieldSpec, attribute: Attribute) -> None:
    if isinstance(attribute, OperandAttr):
        print_operand(printer, attribute.data)
    elif isinstance(attribute, SymbolRefAttr):
        printer.print_symbol_name(attribute.root_reference.data)
    elif isinstance(attribute, StringAttr):
        printer.print_string(attribute.data)
    elif isinstance(attribute, IntAttr):
        printer.print_string(f"r{attribute.data}" if spec.kind == "reg" else str(attribute.data))


def _parse_field(parser: Parser, spec: FieldSpec) -> Attribute:
    if spec.enum is not None:
        return StringAttr(parser.parse_keyword_in([member.name.lower() for member in spec.enum]))
    if spec.kind == "operand":
        return OperandAttr(parse_operand(parser))
    if spec.kind == "reg":
        return IntAttr(parse_register(parser))
    if spec.kind in SYMBOL_KINDS:
        return SymbolRefAttr(parser.parse_symbol_name().data)
    return IntAttr(parser.parse_integer())


def _parse_symbols(parser: Parser) -> ArrayAttr[SymbolRefAttr]:
    names = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_symbol_name)
    return symbols(name.data for name in names)


def _parse_origin(parser: Parser) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {"origin": SymbolRefAttr(parser.parse_symbol_name().data)}
    tile_op = parser.parse_optional_str_literal()
    return found if tile_op is None else found | {"tile_op": StringAttr(tile_op)}


_ATTRIBUTE_OF_KIND: dict[str, type[Attribute]] = {
    "operand": OperandAttr,
    "reg": IntAttr,
    "imm": IntAttr,
    "simm": IntAttr,
    "enum": StringAttr,
    **dict.fromkeys(SYMBOL_KINDS, SymbolRefAttr),
}

STRUCTURED = frozenset({"s.loop"})
"""Instructions that the dialect has as an operation with a region."""


def _make_operation(isa: type[Instruction]) -> type[InstructionOp]:
    required = set(_required(isa))
    namespace: dict[str, Any] = {
        "__module__": __name__,
        "__qualname__": f"{isa.__name__}Op",
        "__doc__": isa.__doc__,
        "name": f"npu.{isa.mnemonic}",
        "__annotations__": {"ISA": ClassVar[type[Instruction]]},
        "ISA": isa,
    }
    for name, spec in isa.fields():
        define: Callable[..., Any] = prop_def if name in required else opt_prop_def
        namespace[name] = define(_ATTRIBUTE_OF_KIND[spec.kind])
    return irdl_op_definition(type(f"{isa.__name__}Op", (InstructionOp,), namespace))


@cache
def instruction_ops() -> dict[str, type[InstructionOp]]:
    """Mnemonic -> operation class, for every instruction of the table that is not in `STRUCTURED`."""
    return {mnemonic: _make_operation(isa) for mnemonic, isa in BY_MNEMONIC.items() if mnemonic not in STRUCTURED}
