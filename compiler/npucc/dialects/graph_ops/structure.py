"""Constants, groups and their schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    IntegerAttr,
    StringAttr,
    SymbolRefAttr,
    TensorType,
)
from xdsl.dialects.utils import AbstractYieldOperation
from xdsl.ir import Attribute, Block, Operation, ParametrizedAttribute, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    lazy_traits_def,
    opt_prop_def,
    param_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.traits import HasParent, IsolatedFromAbove, IsTerminator, Pure, SingleBlockImplicitTerminator
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.graph_ops.base import GraphOp, Numerics, integer, require
from npucc.types import AnyTensor, Array


@irdl_op_definition
class ConstantOp(GraphOp):
    """`graph.constant @symbol : tensor<..>`: a tensor whose bytes are in the `ConstantStore`."""

    name = "graph.constant"
    symbol = prop_def(SymbolRefAttr)

    def __init__(self, symbol: str, type: AnyTensor):
        super().__init__(result_types=[type], properties={"symbol": SymbolRefAttr(symbol)})

    @property
    def symbol_name(self) -> str:
        """Key in the constant store."""
        return self.symbol.root_reference.data

    def infer(self) -> AnyTensor:
        return self.result_type

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        raise TypeError("graph.constant is evaluated by the interpreter, which holds the store")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.symbol)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.result.type)

    @classmethod
    def parse(cls, parser: Parser) -> ConstantOp:
        symbol = parser.parse_symbol_name()
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        return cls.build(
            result_types=[type_], properties={"symbol": SymbolRefAttr(symbol)}, attributes=attributes
        )


@irdl_attr_definition
class ScheduleAttr(ParametrizedAttribute):
    """How a group runs: loop order outermost first, tile size per dim, depth per operand pool.

    `#graph.schedule<order = [n, m, k], tiles = {m = 197, n = 64, k = 768}, buffers = {in0 = 1, in1 = 2}>`
    """

    name = "graph.schedule"
    order: ArrayAttr[StringAttr] = param_def()
    tiles: DictionaryAttr = param_def()
    buffers: DictionaryAttr = param_def()

    @staticmethod
    def make(order: Sequence[str], tiles: Mapping[str, int], depths: Mapping[str, int]) -> ScheduleAttr:
        """`order`: dim names, outermost first; `tiles`: dim -> size; `depths`: in0, in1, .., acc, out -> slots."""
        return ScheduleAttr(
            ArrayAttr([StringAttr(name) for name in order]),
            DictionaryAttr({name: integer(size) for name, size in tiles.items()}),
            DictionaryAttr({name: integer(depth) for name, depth in depths.items()}),
        )

    def loop_order(self) -> tuple[str, ...]:
        """Dim names, outermost loop first."""
        return tuple(name.data for name in self.order)

    def tile_sizes(self) -> dict[str, int]:
        """Tile size per dim; a dim that is not named is whole."""
        return _integers(self.tiles)

    def depths(self) -> dict[str, int]:
        """Slots of the pool of each operand label ('in0', .., 'acc', 'out')."""
        return _integers(self.buffers)

    def verify(self) -> None:
        for what, entries in (("tiles", self.tiles), ("buffers", self.buffers)):
            for name, value in entries.data.items():
                good = isinstance(value, IntegerAttr) and value.value.data > 0
                require(good, f"schedule: {what} of {name} must be a positive integer, found {value}")
        names = self.loop_order()
        require(len(set(names)) == len(names), f"schedule: order names a dim twice: {', '.join(names)}")

    def print_parameters(self, printer: Printer) -> None:
        tables = (("tiles", self.tile_sizes()), ("buffers", self.depths()))
        with printer.in_angle_brackets():
            printer.print_string(f"order = [{', '.join(self.loop_order())}]")
            for what, table in tables:
                entries = ", ".join(f"{name} = {value}" for name, value in table.items())
                printer.print_string(f", {what} = {{{entries}}}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        with parser.in_angle_brackets():
            _parse_key(parser, "order")
            order = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_identifier)
            tables: list[dict[str, int]] = []
            for what in ("tiles", "buffers"):
                parser.parse_punctuation(",")
                _parse_key(parser, what)
                pairs = parser.parse_comma_separated_list(parser.Delimiter.BRACES, lambda: _parse_entry(parser))
                tables.append(dict(pairs))
        made = cls.make(order, *tables)
        return [made.order, made.tiles, made.buffers]


def _integers(table: DictionaryAttr) -> dict[str, int]:
    return {name: value.value.data for name, value in table.data.items() if isinstance(value, IntegerAttr)}


def _parse_key(parser: AttrParser, key: str) -> None:
    parser.parse_keyword(key)
    parser.parse_punctuation("=")


def _parse_entry(parser: AttrParser) -> tuple[str, int]:
    name = parser.parse_identifier()
    parser.parse_punctuation("=")
    return name, parser.parse_integer()


@irdl_op_definition
class YieldOp(AbstractYieldOperation[Attribute]):
    """The results of a group."""

    name = "graph.yield"
    traits = lazy_traits_def(lambda: (IsTerminator(), Pure(), HasParent(GroupOp)))


@irdl_op_definition
class GroupOp(IRDLOperation):
    """Ops that run as one unit of the device: a root and its element-wise epilogue.

        %g = graph.group(%x, %w) schedule #graph.schedule<...> attributes {nodes = [...]} {
        ^bb0(%a : tensor<..>, %b : tensor<..>):
          ...
          graph.yield %c : tensor<..>
        }

    The block's arguments have the operands' types, the results the types of what is yielded.
    """

    name = "graph.group"
    inputs = var_operand_def(TensorType)
    schedule = opt_prop_def(ScheduleAttr)
    body = region_def("single_block")
    outputs = var_result_def(TensorType)
    traits = traits_def(Pure(), IsolatedFromAbove(), SingleBlockImplicitTerminator(YieldOp))

    def __init__(
        self,
        inputs: Sequence[SSAValue | Operation],
        body: Region | Block,
        result_types: Sequence[Attribute] | None = None,
        schedule: ScheduleAttr | None = None,
    ):
        """`result_types`: by default the types that the `YieldOp` at the end of `body` yields."""
        region = Region(body) if isinstance(body, Block) else body
        super().__init__(
            operands=[list(inputs)],
            result_types=[_yielded_types(region) if result_types is None else list(result_types)],
            properties={"schedule": schedule},
            regions=[region],
        )

    @property
    def block(self) -> Block:
        """The body's only block."""
        return self.body.block

    @property
    def yield_op(self) -> YieldOp:
        """The body's terminator."""
        last = self.block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException(f"graph.group: the body must end with graph.yield, found {last and last.name}")
        return last

    def verify_(self) -> None:
        arguments = [argument.type for argument in self.block.args]
        operands = [operand.type for operand in self.operands]
        message = f"graph.group: block arguments must be {_listed(operands)}, found {_listed(arguments)}"
        require(arguments == operands, message)
        yielded = [value.type for value in self.yield_op.operands]
        results = [result.type for result in self.results]
        message = f"graph.group: results must be {_listed(yielded)} as yielded, found {_listed(results)}"
        require(yielded == results, message)

    def print(self, printer: Printer) -> None:
        printer.print_operands(self.operands)
        if self.schedule is not None:
            printer.print_string(" schedule ")
            printer.print_attribute(self.schedule)
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(self.body)

    @classmethod
    def parse(cls, parser: Parser) -> GroupOp:
        position = parser.pos
        operands = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        schedule = parser.parse_attribute() if parser.parse_optional_keyword("schedule") else None
        attributes = parser.parse_optional_attr_dict_with_keyword()
        body = parser.parse_region()
        types = [argument.type for argument in body.block.args]
        values = parser.resolve_operands(operands, types, position)
        return cls.build(
            operands=[values],
            result_types=[_yielded_types(body)],
            properties={"schedule": schedule},
            attributes=attributes.data if attributes else {},
            regions=[body],
        )


def _yielded_types(body: Region) -> list[Attribute]:
    last = body.block.last_op
    return [value.type for value in last.operands] if isinstance(last, YieldOp) else []


def _listed(types: Sequence[Attribute]) -> str:
    return "(" + ", ".join(str(each) for each in types) + ")"


