"""The program and its hardware loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from npuisa.descriptor import Space
from npuisa.instructions import LOOP_DEPTH, SCALAR_REGISTERS, SEMAPHORES, FieldSpec
from npuisa.program import Increment
from xdsl.dialects.builtin import DictionaryAttr, IntAttr, StringAttr, SymbolNameConstraint, SymbolRefAttr
from xdsl.ir import Attribute, Block, Operation, Region
from xdsl.irdl import IRDLOperation, irdl_op_definition, opt_prop_def, prop_def, region_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.npu_ops.attributes import (
    OperandRef,
    StepAttr,
    increment_text,
    parse_increment,
    print_attributes,
    symbol_names,
    with_attributes,
)
from npucc.dialects.npu_ops.declarations import DescOp, KernelOp, LabelOp, OriginOp, PortOp, RegionOp, SemOp
from npucc.dialects.npu_ops.instruction import InstructionOp, field_specs

MAX_COUNT = (1 << 32) - 1
_Op = TypeVar("_Op", bound=Operation)

_DECLARED_BY: dict[str, type[Operation]] = {
    "kernel": KernelOp,
    "target": LabelOp,
    "descriptor": DescOp,
    "semaphore": SemOp,
}
"""What a symbol of a field names, by the field's kind."""


@irdl_op_definition
class LoopOp(IRDLOperation):
    """`npu.loop 48 step(r1 += 128, r2 += 98304 mod 196608) { ... }`: the structured form of `s.loop`.

    The registers move at the end of each iteration; at the end of the loop one without modulus returns to its
    value at entry, one with modulus keeps its value.
    """

    name = "npu.loop"
    count = prop_def(IntAttr)
    step = prop_def(StepAttr)
    origin = opt_prop_def(SymbolRefAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())

    def __init__(
        self,
        count: int,
        increments: Iterable[Increment],
        body: Region | None = None,
        origin: str | None = None,
    ):
        properties: dict[str, Attribute] = {"count": IntAttr(count), "step": StepAttr(tuple(increments))}
        if origin is not None:
            properties["origin"] = SymbolRefAttr(origin)
        super().__init__(properties=properties, regions=[body or Region(Block())])

    def verify_(self) -> None:
        """Count fits its field; registers exist, move once each and are not r0; the nest is not too deep."""
        if not 0 <= self.count.data <= MAX_COUNT:
            raise VerifyException(f"npu.loop: count {self.count.data} is outside 0..{MAX_COUNT}")
        seen: set[int] = set()
        for item in self.step.data:
            if not 1 <= item.reg < SCALAR_REGISTERS or item.reg in seen:
                raise VerifyException(f"npu.loop: r{item.reg} is not a register that may move, or moves twice")
            if item.modulus < 0:
                raise VerifyException(f"npu.loop: modulus {item.modulus} of r{item.reg} is negative")
            seen.add(item.reg)
        depth = 1
        parent = self.parent_op()
        while isinstance(parent, LoopOp):
            depth, parent = depth + 1, parent.parent_op()
        if depth > LOOP_DEPTH:
            raise VerifyException(f"npu.loop: nested {depth} deep, the machine has {LOOP_DEPTH} levels")

    def print(self, printer: Printer) -> None:
        """See the class."""
        steps = ", ".join(increment_text(item) for item in self.step.data)
        printer.print_string(f" {self.count.data} step({steps})")
        if self.origin is not None:
            printer.print_string(" from(")
            printer.print_symbol_name(self.origin.root_reference.data)
            printer.print_string(")")
        printer.print_string(" ")
        printer.print_region(self.body, print_empty_block=False)
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> LoopOp:
        """Inverse of `print`."""
        count = parser.parse_integer()
        parser.parse_keyword("step")
        steps = parser.parse_comma_separated_list(parser.Delimiter.PAREN, lambda: parse_increment(parser))
        origin = None
        if parser.parse_optional_keyword("from"):
            with parser.in_parens():
                origin = parser.parse_symbol_name().data
        return with_attributes(parser, cls(count, steps, _parse_body(parser), origin))


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """`npu.program @main target("edge-4t") { declarations, then code }`; `metadata` is free text.

    Its symbols (regions, descriptors, kernels, semaphores, origins, labels) share one name space.
    """

    name = "npu.program"
    sym_name = prop_def(SymbolNameConstraint())
    target = prop_def(StringAttr)
    metadata = opt_prop_def(DictionaryAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator(), IsolatedFromAbove(), SymbolOpInterface())

    def __init__(
        self,
        target: str,
        ops: Sequence[Operation] | Region,
        metadata: Mapping[str, str] | None = None,
        name: str = "main",
    ):
        properties: dict[str, Attribute] = {"sym_name": StringAttr(name), "target": StringAttr(target)}
        if metadata:
            properties["metadata"] = DictionaryAttr({key: StringAttr(text) for key, text in metadata.items()})
        body = ops if isinstance(ops, Region) else Region(Block(ops))
        super().__init__(properties=properties, regions=[body])

    def print(self, printer: Printer) -> None:
        """See the class."""
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(" target(")
        printer.print_string_literal(self.target.data)
        printer.print_string(") ")
        if self.metadata is not None:
            printer.print_string("metadata ")
            printer.print_attribute(self.metadata)
            printer.print_string(" ")
        printer.print_region(self.body, print_empty_block=False)
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> ProgramOp:
        """Inverse of `print`."""
        name = parser.parse_symbol_name().data
        parser.parse_keyword("target")
        with parser.in_parens():
            target = parser.parse_str_literal()
        metadata: dict[str, str] = {}
        if parser.parse_optional_keyword("metadata"):
            for key, value in parser.parse_optional_dictionary_attr_dict().items():
                metadata[key] = value.data if isinstance(value, StringAttr) else str(value)
        return with_attributes(parser, cls(target, _parse_body(parser), metadata, name))

    def verify_(self) -> None:
        """Symbols are unique; every symbol that an instruction names exists and is of the right sort."""
        table = self._symbols()
        if sum(isinstance(op, SemOp) for op in table.values()) > SEMAPHORES:
            raise VerifyException(f"npu.program: more than {SEMAPHORES} semaphores")
        for op in walk_code(self.body.block):
            if isinstance(op, InstructionOp):
                _verify_symbols(op, table)
            elif isinstance(op, LoopOp) and op.origin is not None:
                _expect(table, op.origin.root_reference.data, OriginOp, op.name)

    def _symbols(self) -> dict[str, Operation]:
        table: dict[str, Operation] = {}
        for op in walk_code(self.body.block):
            if isinstance(op, RegionOp | DescOp | KernelOp | SemOp | OriginOp | LabelOp):
                if op.sym_name.data in table:
                    raise VerifyException(f"npu.program: symbol @{op.sym_name.data} is declared twice")
                table[op.sym_name.data] = op
            elif not isinstance(op, InstructionOp | LoopOp | PortOp):
                raise VerifyException(f"npu.program: {op.name} does not belong into a program")
        return table


def walk_code(block: Block) -> Iterator[Operation]:
    """The operations of a program or loop body in program order, those in loops after their loop."""
    for op in block.ops:
        yield op
        if isinstance(op, LoopOp):
            yield from walk_code(op.body.block)


def _parse_body(parser: Parser) -> Region:
    region = parser.parse_region()
    if not region.blocks:
        region.add_block(Block())
    return region


def _verify_symbols(op: InstructionOp, table: Mapping[str, Operation]) -> None:
    for name, spec, operand in op.operands_used():
        _verify_operand(op, name, spec, operand, table)
    for name in (*symbol_names(op.waits), *symbol_names(op.posts)):
        _expect(table, name, SemOp, op.name)
    if op.origin is not None:
        _expect(table, op.origin.root_reference.data, OriginOp, op.name)
    for name, spec in field_specs(op.ISA):
        if spec.kind in _DECLARED_BY:
            _expect(table, str(op.field(name)), _DECLARED_BY[spec.kind], op.name)


def _verify_operand(
    op: InstructionOp, name: str, spec: FieldSpec, operand: OperandRef, table: Mapping[str, Operation]
) -> None:
    desc = _expect(table, operand.desc, DescOp, op.name)
    if Space[desc.space.data.upper()] not in spec.spaces:
        legal = ", ".join(space.name.lower() for space in spec.spaces)
        where = f"{op.name}: operand {name} @{operand.desc}"
        raise VerifyException(f"{where} is in {desc.space.data}, must be in {legal}")


def _expect(table: Mapping[str, Operation], name: str, sort: type[_Op], where: str) -> _Op:
    found = table.get(name)
    if not isinstance(found, sort):
        raise VerifyException(f"{where}: no {sort.name} is called @{name}")
    return found
