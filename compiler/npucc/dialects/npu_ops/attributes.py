"""Attributes of the npu dialect: operands with a register, loop steps, micro-kernels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from npuisa.instructions import SCALAR_REGISTERS
from npuisa.kernel import Kernel
from npuisa.program import Increment
from xdsl.dialects.builtin import ArrayAttr, StringAttr, SymbolRefAttr
from xdsl.ir import Data, Operation
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer

from npucc.dialects.npu_ops.kernel_text import parse_kernel, print_kernel

_Op = TypeVar("_Op", bound=Operation)


class OperandRef(NamedTuple):
    """Descriptor symbol and scalar register whose value is added to its base (0: none)."""

    desc: str
    reg: int = 0


def parse_register(parser: AttrParser) -> int:
    """A scalar register `r0` to `r31`; an error of the parser for anything else."""
    start = parser.pos
    text = parser.parse_identifier(" (a scalar register)")
    if text[0] == "r" and text[1:].isdecimal() and int(text[1:]) < SCALAR_REGISTERS:
        return int(text[1:])
    parser.raise_error(f"expected a scalar register r0 to r{SCALAR_REGISTERS - 1}, found {text}", start, parser.pos)


def parse_operand(parser: AttrParser) -> OperandRef:
    """`@desc` or `@desc[r3]`."""
    desc = parser.parse_symbol_name().data
    if parser.parse_optional_punctuation("[") is None:
        return OperandRef(desc)
    register = parse_register(parser)
    parser.parse_punctuation("]")
    return OperandRef(desc, register)


def print_operand(printer: Printer, operand: OperandRef) -> None:
    """The text that `parse_operand` reads."""
    printer.print_symbol_name(operand.desc)
    if operand.reg:
        printer.print_string(f"[r{operand.reg}]")


def parse_increment(parser: AttrParser) -> Increment:
    """`r1 += 128` or `r2 += 98304 mod 196608`; step and modulus in bytes."""
    register = parse_register(parser)
    parser.parse_punctuation("+")
    parser.parse_punctuation("=")
    step = parser.parse_integer()
    modulus = parser.parse_integer(allow_negative=False) if parser.parse_optional_keyword("mod") else 0
    return Increment(register, step, modulus)


def increment_text(increment: Increment) -> str:
    """The text that `parse_increment` reads."""
    modulus = f" mod {increment.modulus}" if increment.modulus else ""
    return f"r{increment.reg} += {increment.step}{modulus}"


@irdl_attr_definition
class OperandAttr(Data[OperandRef]):
    """An operand of an instruction: `#npu.operand<@desc[r3]>`."""

    name = "npu.operand"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> OperandRef:
        with parser.in_angle_brackets():
            return parse_operand(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            print_operand(printer, self.data)


@irdl_attr_definition
class StepAttr(Data[tuple[Increment, ...]]):
    """What a hardware loop adds to registers: `#npu.step<r1 += 128, r2 += 64 mod 128>`."""

    name = "npu.step"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[Increment, ...]:
        items = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, lambda: parse_increment(parser))
        return tuple(items)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(increment_text(item) for item in self.data))


@irdl_attr_definition
class KernelAttr(Data[Kernel]):
    """The body of a micro-kernel; the name of the `Kernel` is empty (the symbol has it)."""

    name = "npu.micro_ops"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Kernel:
        with parser.in_angle_brackets():
            return parse_kernel(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            print_kernel(printer, self.data)


@lru_cache(maxsize=4096)
def symbol(name: str) -> SymbolRefAttr:
    """A reference to a symbol of the program (attributes are immutable, so equal ones are shared)."""
    return SymbolRefAttr(name)


@lru_cache(maxsize=4096)
def text(value: str) -> StringAttr:
    """A string attribute, shared between equal ones."""
    return StringAttr(value)


def symbols(names: Iterable[str]) -> ArrayAttr[SymbolRefAttr]:
    """An array of references to symbols of the program."""
    return ArrayAttr(symbol(name) for name in names)


def symbol_names(references: ArrayAttr[SymbolRefAttr] | None) -> tuple[str, ...]:
    """The names in an array made by `symbols`; none when it is absent."""
    return () if references is None else tuple(item.root_reference.data for item in references.data)


def print_attributes(printer: Printer, op: Operation) -> None:
    """` attributes {...}` when the operation carries attributes that are not its own."""
    if op.attributes:
        printer.print_op_attributes(op.attributes, print_keyword=True)


def with_attributes(parser: Parser, op: _Op) -> _Op:
    """`op` with the attributes that `print_attributes` has written."""
    found = parser.parse_optional_attr_dict_with_keyword()
    if found is not None:
        op.attributes |= found.data
    return op
