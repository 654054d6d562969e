"""Constants, groups and their schedules."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping, Sequence
from itertools import takewhile

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

from npucc.dialects.graph_ops.base import (
    GraphOp,
    Numerics,
    TileableOp,
    broadcast_shape,
    integer,
    require,
    require_space,
)
from npucc.dialects.graph_ops.elementwise import ElementwiseOp
from npucc.types import AnyTensor, Array, type_of


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
                tables.append(_parse_table(parser))
        made = cls.make(order, *tables)
        return [made.order, made.tiles, made.buffers]


def _integers(table: DictionaryAttr) -> dict[str, int]:
    return {name: value.value.data for name, value in table.data.items() if isinstance(value, IntegerAttr)}


def _parse_key(parser: AttrParser, key: str) -> None:
    parser.parse_keyword(key)
    parser.parse_punctuation("=")


def _parse_table(parser: AttrParser) -> dict[str, int]:
    table: dict[str, int] = {}

    def entry() -> None:
        position = parser.pos
        name = parser.parse_identifier()
        if name in table:
            parser.raise_error(f"schedule: {name} is given twice", position)
        parser.parse_punctuation("=")
        table[name] = parser.parse_integer()

    parser.parse_comma_separated_list(parser.Delimiter.BRACES, entry)
    return table


@irdl_op_definition
class YieldOp(AbstractYieldOperation[Attribute]):
    """The results of a group, of a loop's step, or of a branch."""

    name = "graph.yield"
    traits = lazy_traits_def(lambda: (IsTerminator(), Pure(), HasParent(GroupOp, ControlOp)))


class ControlOp(IRDLOperation, ABC):
    """An op that runs its regions (of one block each) several times, or one of them. They see the values around
    them, and end with `graph.yield`; see `control.py`."""

    name = "graph.loop or graph.if"


@irdl_op_definition
class GroupOp(IRDLOperation):
    """Ops that run as one unit of the device: a root and its element-wise epilogue.

        %g = graph.group(%x, %w) schedule #graph.schedule<...> attributes {nodes = [...]} {
        ^bb0(%a : tensor<..>, %b : tensor<..>):
          ...
          graph.yield %c : tensor<..>
        }

    The block's arguments have the operands' types; the one result is that of the body's last op. The body is, in
    order: constants of one element (immediates of the kernel), the root (any op with a tiling interface), and
    element-wise ops with the root's result shape (the epilogue). Unless the root is element-wise itself, the first
    arguments are its operands, in order and for it alone; the other arguments broadcast to the root's result.
    `space = "sram"` keeps the result on chip.
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
        require_space(self)
        _verify_form(self.block, self.yield_op)

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
        if len(body.blocks) != 1:
            parser.raise_error(f"graph.group: the body must be one block, found {len(body.blocks)}", position)
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


def joins_kernel(op: Operation, shape: tuple[int, ...]) -> bool:
    """Whether `op` may follow a root with result `shape` in its group: element-wise, with that very shape."""
    return isinstance(op, ElementwiseOp) and op.result_type.get_shape() == shape


def is_immediate(op: Operation) -> bool:
    """A constant of one element: it becomes an immediate of the kernel."""
    return isinstance(op, ConstantOp) and math.prod(op.result_type.get_shape()) == 1


def _verify_form(body: Block, last: YieldOp) -> None:
    ops = [op for op in body.ops if op is not last]
    constants = list(takewhile(lambda op: isinstance(op, ConstantOp), ops))
    for op in constants:
        found = f"{op.results[0].type}"
        require(is_immediate(op), f"graph.group: a constant in the body must have one element, found {found}")
    require(len(ops) > len(constants), "graph.group: the body must hold a root, found none")
    root, *kernel = ops[len(constants) :]
    if not isinstance(root, TileableOp):
        raise VerifyException(f"graph.group: the first op after the constants must be a root, found {root.name}")
    shape = root.result_type.get_shape()
    for op in kernel:
        found = f"{op.name} of {', '.join(str(value.type) for value in op.results)}"
        message = f"graph.group: ops after the root must be element-wise with its shape {list(shape)}, found {found}"
        require(joins_kernel(op, shape), message)
    good = list(last.operands) == [ops[-1].results[0]]
    require(good, "graph.group: the result of the body's last op, and nothing else, must be yielded")
    _verify_arguments(body, root)


def _verify_arguments(body: Block, root: TileableOp) -> None:
    own = [] if isinstance(root, ElementwiseOp) else list(root.operands)
    alone = list(body.args[: len(own)]) == own and all(len(list(value.uses)) == 1 for value in own)
    require(alone, f"graph.group: the first block arguments must be the operands of {root.name}, used by it alone")
    shape = root.result_type.get_shape()
    for argument in body.args[len(own) :]:
        found = type_of(argument).get_shape()
        message = f"graph.group: kernel operands must broadcast to {list(shape)}, found {list(found)}"
        require(broadcast_shape("graph.group", [found, shape]) == shape, message)


def _listed(types: Sequence[Attribute]) -> str:
    return "(" + ", ".join(str(each) for each in types) + ")"


