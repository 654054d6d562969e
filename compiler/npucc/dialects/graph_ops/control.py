"""Loops and branches: ops with regions that see the values around them.

    %h, %y = graph.loop <steps = 16> carry(%h0) scan(%x) {
    ^bb0(%h_t : tensor<1x8xf32>, %x_t : tensor<1x8xf32>):
      ...
      graph.yield %h_next, %h_next : tensor<1x8xf32>, tensor<1x8xf32>
    }
    %z = graph.if %c {
      graph.yield %a : tensor<4xf32>
    } else {
      graph.yield %b : tensor<4xf32>
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    IntegerAttr,
    IntegerType,
    StringAttr,
    TensorType,
    UnitAttr,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.graph_ops.base import SPACE, int_array, integer, ints, require
from npucc.dialects.graph_ops.property_text import parse_properties, print_properties
from npucc.dialects.graph_ops.structure import ControlOp, YieldOp
from npucc.types import BOOL, AnyTensor, tensor, type_of

MAX_STEPS = (1 << 31) - 1
"""Most steps of a loop: they are counted by a register and compared with an immediate."""


def terminator_of(op: ControlOp, block: Block) -> YieldOp:
    """The `graph.yield` of a region."""
    last = block.last_op
    if not isinstance(last, YieldOp):
        raise VerifyException(f"{op.name}: a region must end with graph.yield, found {last and last.name}")
    return last


def require_spaces(op: ControlOp) -> None:
    """The attribute `space` is absent or lists "sram" or "dram" for each result."""
    spaces = op.attributes.get(SPACE)
    words = (StringAttr("sram"), StringAttr("dram"))
    good = spaces is None
    if isinstance(spaces, ArrayAttr):
        good = len(spaces.data) == len(op.results) and all(each in words for each in spaces.data)
    require(good, f'{op.name}: space must list "sram" or "dram" per result, found {spaces}')


@irdl_op_definition
class LoopOp(ControlOp):
    """Run the body step by step. Covers ONNX's Loop and Scan and the recurrent ops.

    Operands: `trip` (i64 scalar, optional), `carried` (initial values), `scanned` (their axis 0 is the step).
    The body's arguments are the carried values and the elements of the scanned ones; it yields the next carried
    values and the elements of the results that are stacked along a new axis 0. Results: the last carried values,
    then the stacked ones.

    A step runs while its number is below `steps` (if given) and below `trip` (if given) and, with `conditional` (in
    the text `while`), the first carried value (a bool scalar) is true. Scanned and stacked values need `steps`;
    elements of a stacked result for steps that did not run are undefined. `reversed_scanned` and
    `reversed_stacked` list the ones whose element of step s is number `steps - 1 - s`.
    """

    name = "graph.loop"
    trip = opt_operand_def(TensorType)
    carried = var_operand_def(TensorType)
    scanned = var_operand_def(TensorType)
    steps = opt_prop_def(IntegerAttr)
    conditional = opt_prop_def(UnitAttr)
    reversed_scanned = opt_prop_def(DenseArrayBase[IntegerType])
    reversed_stacked = opt_prop_def(DenseArrayBase[IntegerType])
    body = region_def("single_block")
    outputs = var_result_def(TensorType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())

    def __init__(
        self,
        carried: Sequence[SSAValue],
        scanned: Sequence[SSAValue],
        body: Region | Block,
        *,
        steps: int | None = None,
        trip: SSAValue | None = None,
        conditional: bool = False,
        reversed_scanned: Sequence[int] = (),
        reversed_stacked: Sequence[int] = (),
    ):
        region = Region(body) if isinstance(body, Block) else body
        properties: dict[str, Attribute | None] = {
            "steps": None if steps is None else integer(steps),
            "conditional": UnitAttr() if conditional else None,
            "reversed_scanned": int_array(reversed_scanned) if reversed_scanned else None,
            "reversed_stacked": int_array(reversed_stacked) if reversed_stacked else None,
        }
        super().__init__(
            operands=[trip, list(carried), list(scanned)],
            result_types=[_result_types(region, len(carried), steps)],
            properties=properties,
            regions=[region],
        )

    @property
    def block(self) -> Block:
        """The body's only block."""
        return self.body.block

    @property
    def yield_op(self) -> YieldOp:
        """The body's terminator."""
        return terminator_of(self, self.block)

    @property
    def step_limit(self) -> int | None:
        """`steps` as an integer."""
        return None if self.steps is None else self.steps.value.data

    @property
    def is_static(self) -> bool:
        """Whether it always runs `steps` steps."""
        return self.steps is not None and self.trip is None and self.conditional is None

    @property
    def carried_args(self) -> Sequence[SSAValue]:
        """The body's arguments for carried values."""
        return self.block.args[: len(self.carried)]

    @property
    def scanned_args(self) -> Sequence[SSAValue]:
        """The body's arguments for elements of scanned values."""
        return self.block.args[len(self.carried) :]

    @property
    def stacked_results(self) -> Sequence[SSAValue]:
        """Results that are stacked from the elements of the steps."""
        return self.results[len(self.carried) :]

    def reverses_scanned(self, index: int) -> bool:
        """Whether scanned value `index` is taken from its end."""
        return self.reversed_scanned is not None and index in ints(self.reversed_scanned)

    def reverses_stacked(self, index: int) -> bool:
        """Whether stacked result `index` is filled from its end."""
        return self.reversed_stacked is not None and index in ints(self.reversed_stacked)

    def verify_(self) -> None:
        limit = self.step_limit
        require(limit is None or 0 <= limit <= MAX_STEPS, f"graph.loop: steps must be 0 to {MAX_STEPS}, found {limit}")
        require_spaces(self)
        self._verify_control()
        wanted = [type_of(value) for value in self.carried]
        for index, value in enumerate(self.scanned):
            shape = type_of(value).get_shape()
            good = bool(shape) and shape[0] == limit
            require(good, f"graph.loop: scanned value {index} must have steps = {limit} on axis 0, found {value.type}")
            wanted.append(tensor(shape[1:], type_of(value).element_type))
        found = [argument.type for argument in self.block.args]
        require(found == wanted, f"graph.loop: the body's arguments must be {_listed(wanted)}, found {_listed(found)}")
        yielded = [value.type for value in self.yield_op.operands]
        count = len(self.carried)
        good = yielded[:count] == wanted[:count]
        require(good, f"graph.loop: the body must yield {_listed(wanted[:count])} first, found {_listed(yielded)}")
        results = _result_types(self.body, count, limit)
        message = f"graph.loop: results must be {_listed(results)}, found {_listed([r.type for r in self.results])}"
        require([result.type for result in self.results] == results, message)
        for what, attribute, number in (
            ("reversed_scanned", self.reversed_scanned, len(self.scanned)),
            ("reversed_stacked", self.reversed_stacked, len(self.results) - count),
        ):
            places = () if attribute is None else ints(attribute)
            good = all(0 <= place < number for place in places)
            require(good, f"graph.loop: {what} must name values 0 to {number - 1}, found {list(places)}")

    def _verify_control(self) -> None:
        if self.trip is not None:
            good = self.trip.type == tensor((), "i64")
            require(good, f"graph.loop: the trip count must be tensor<i64>, found {self.trip.type}")
        if self.conditional is not None:
            first = self.carried[0].type if self.carried else None
            require(first == tensor((), BOOL), f"graph.loop: the first carried value must be tensor<i1>, found {first}")
        ends = self.steps is not None or self.trip is not None or self.conditional is not None
        require(ends, "graph.loop: a loop must have steps, a trip count or a condition, found none")
        stacked = len(self.yield_op.operands) - len(self.carried)
        needs = bool(self.scanned) or stacked > 0
        require(not needs or self.steps is not None, "graph.loop: scanned and stacked values need steps")

    def print(self, printer: Printer) -> None:
        shown = {name: value for name, value in self.properties.items() if name not in _NOT_SHOWN}
        print_properties(printer, shown)
        if self.conditional is not None:
            printer.print_string(" while")
        if self.trip is not None:
            printer.print_string(" trip ")
            printer.print_ssa_value(self.trip)
        for word, values in (("carry", self.carried), ("scan", self.scanned)):
            if values:
                printer.print_string(f" {word}")
                printer.print_operands(values)
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(self.body)

    @classmethod
    def parse(cls, parser: Parser) -> LoopOp:
        position = parser.pos
        properties = parse_properties(parser, cls)
        if parser.parse_optional_keyword("while"):
            properties["conditional"] = UnitAttr()
        trip = parser.parse_unresolved_operand() if parser.parse_optional_keyword("trip") else None
        lists = [
            parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
            if parser.parse_optional_keyword(word)
            else []
            for word in ("carry", "scan")
        ]
        attributes = parser.parse_optional_attr_dict_with_keyword()
        body = parser.parse_region()
        if len(body.blocks) != 1:
            parser.raise_error(f"graph.loop: the body must be one block, found {len(body.blocks)}", position)
        steps = properties.get("steps")
        limit = steps.value.data if isinstance(steps, IntegerAttr) else None
        types = _operand_types(body, len(lists[0]), limit)
        if len(types) != len(lists[0]) + len(lists[1]):
            parser.raise_error("graph.loop: the body needs one argument per carried and scanned value", position)
        values = parser.resolve_operands([*lists[0], *lists[1]], types, position)
        bound = [] if trip is None else parser.resolve_operands([trip], [tensor((), "i64")], position)
        count = len(lists[0])
        return cls.build(
            operands=[bound, values[:count], values[count:]],
            result_types=[_result_types(body, count, limit)],
            properties=properties,
            attributes=attributes.data if attributes else {},
            regions=[body],
        )


_NOT_SHOWN = ("operandSegmentSizes", "conditional")
"""Properties that are words and lists of the text."""


def _operand_types(body: Region, carried: int, steps: int | None) -> list[Attribute]:
    """Types of the carried and scanned operands that fit the body's arguments."""
    types: list[Attribute] = [argument.type for argument in body.block.args]
    return [*types[:carried], *(_stacked(type_, steps) for type_ in types[carried:])]


def _result_types(body: Region, carried: int, steps: int | None) -> list[Attribute]:
    last = body.block.last_op
    yielded = [value.type for value in last.operands] if isinstance(last, YieldOp) else []
    return [*yielded[:carried], *(_stacked(type_, steps) for type_ in yielded[carried:])]


def _stacked(type_: Attribute, steps: int | None) -> Attribute:
    if not isinstance(type_, TensorType):
        return type_
    return tensor((steps or 0, *type_.get_shape()), type_.element_type)


@irdl_op_definition
class IfOp(ControlOp):
    """The values that one of two regions yields; which, says a bool scalar. Only that region runs."""

    name = "graph.if"
    condition = operand_def(TensorType)
    then_region = region_def("single_block")
    else_region = region_def("single_block")
    outputs = var_result_def(TensorType)
    traits = traits_def(Pure())

    def __init__(self, condition: SSAValue, then: Region | Block, otherwise: Region | Block):
        regions = [Region(part) if isinstance(part, Block) else part for part in (then, otherwise)]
        types = [value.type for value in terminator_of(self, regions[0].block).operands]
        super().__init__(operands=[condition], result_types=[types], regions=regions)

    @property
    def branches(self) -> tuple[Block, Block]:
        """The blocks for true and for false."""
        return self.then_region.block, self.else_region.block

    def verify_(self) -> None:
        good = self.condition.type == tensor((), BOOL)
        require(good, f"graph.if: the condition must be tensor<i1>, found {self.condition.type}")
        require_spaces(self)
        wanted = [result.type for result in self.results]
        for block in self.branches:
            require(not block.args, f"graph.if: a region has no arguments, found {len(block.args)}")
            found = [value.type for value in terminator_of(self, block).operands]
            message = f"graph.if: both regions must yield {_listed(wanted)}, found {_listed(found)}"
            require(found == wanted, message)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.condition)
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(self.then_region)
        printer.print_string(" else ")
        printer.print_region(self.else_region)

    @classmethod
    def parse(cls, parser: Parser) -> IfOp:
        position = parser.pos
        condition = parser.parse_unresolved_operand()
        attributes = parser.parse_optional_attr_dict_with_keyword()
        then = parser.parse_region()
        parser.parse_keyword("else")
        otherwise = parser.parse_region()
        for region in (then, otherwise):
            if len(region.blocks) != 1:
                parser.raise_error(f"graph.if: a region must be one block, found {len(region.blocks)}", position)
        last = then.block.last_op
        types = [value.type for value in last.operands] if isinstance(last, YieldOp) else []
        values = parser.resolve_operands([condition], [tensor((), BOOL)], position)
        return cls.build(
            operands=values,
            result_types=[types],
            attributes=attributes.data if attributes else {},
            regions=[then, otherwise],
        )


def blocks_within(block: Block) -> Iterator[Block]:
    """`block` and the blocks of the loops and branches in it, outer ones first, in program order."""
    yield block
    for op in block.ops:
        if isinstance(op, ControlOp):
            for region in op.regions:
                yield from blocks_within(region.block)


def ops_within(block: Block) -> Iterator[Operation]:
    """The operations of a block in program order, those of loops and branches after them; not those of groups."""
    for op in block.ops:
        yield op
        if isinstance(op, ControlOp):
            for region in op.regions:
                yield from ops_within(region.block)


def captured(op: Operation) -> list[SSAValue]:
    """Values from outside that the regions of a loop or branch read."""
    if not isinstance(op, ControlOp):
        return []
    found: dict[SSAValue, None] = {}
    for region in op.regions:
        inner = list(blocks_within(region.block))
        inside = set(inner)
        for block in inner:
            for each in block.ops:
                for value in each.operands:
                    owner = value.owner
                    if (owner if isinstance(owner, Block) else owner.parent_block()) not in inside:
                        found[value] = None
    return list(found)


def _listed(types: Sequence[Attribute | AnyTensor]) -> str:
    return "(" + ", ".join(str(each) for each in types) + ")"
