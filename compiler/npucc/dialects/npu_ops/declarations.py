"""What a program declares beside its code: regions, ports, descriptors, kernels, semaphores, origins."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from npuisa.descriptor import Descriptor, Space
from npuisa.descriptor_encoding import check_descriptor
from npuisa.dtypes import DTYPES, DType, dtype_named
from npuisa.errors import NpuError
from npuisa.kernel import Kernel
from npuisa.program import Port, Region, RegionKind
from npuisa.table_encoding import check_kernel
from npuisa.validate import MAX_SEMAPHORE_VALUE
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    FloatAttr,
    IntAttr,
    IntegerType,
    StringAttr,
    SymbolNameConstraint,
    f64,
    i64,
)
from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation, irdl_op_definition, opt_prop_def, prop_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.npu_ops.attributes import KernelAttr, print_attributes, text, with_attributes
from npucc.dialects.npu_ops.kernel_text import parse_kernel, print_kernel
from npucc.dialects.npu_ops.number_text import number_text, parse_number

_Integers = DenseArrayBase[IntegerType]
_DTYPE_NAMES = [dtype.name for dtype in DTYPES]


def _parse_int_field(parser: Parser, keyword: str) -> int:
    parser.parse_keyword(keyword)
    with parser.in_parens():
        return parser.parse_integer()


def _parse_integers(parser: Parser) -> list[int]:
    return parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)


@lru_cache(maxsize=4096)
def _integers(values: tuple[int, ...]) -> _Integers:
    return DenseArrayBase.from_list(i64, values)


def _values(array: _Integers) -> tuple[int, ...]:
    return tuple(int(value) for value in array.get_values())


def _list_text(values: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, values)) + "]"


@irdl_op_definition
class RegionOp(IRDLOperation):
    """`npu.region @w constant base(4096) size(1024)`: bytes of DRAM; kinds are those of `RegionKind`."""

    name = "npu.region"
    sym_name = prop_def(SymbolNameConstraint())
    kind = prop_def(StringAttr)
    base = prop_def(IntAttr)
    size = prop_def(IntAttr)
    traits = traits_def(SymbolOpInterface())

    def __init__(self, region: Region):
        properties: dict[str, Attribute] = {
            "sym_name": StringAttr(region.name),
            "kind": StringAttr(region.kind.value),
            "base": IntAttr(region.base),
            "size": IntAttr(region.size),
        }
        super().__init__(properties=properties)

    @property
    def value(self) -> Region:
        """The region as the program has it."""
        return Region(self.sym_name.data, RegionKind(self.kind.data), self.base.data, self.size.data)

    def verify_(self) -> None:
        """Known kind, no negative address or size."""
        if self.kind.data not in [kind.value for kind in RegionKind]:
            raise VerifyException(f"npu.region @{self.sym_name.data}: unknown kind {self.kind.data}")
        if self.base.data < 0 or self.size.data < 0:
            raise VerifyException(f"npu.region @{self.sym_name.data}: base and size may not be negative")

    def print(self, printer: Printer) -> None:
        """See the class."""
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(f" {self.kind.data} base({self.base.data}) size({self.size.data})")
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> RegionOp:
        """Inverse of `print`."""
        name = parser.parse_symbol_name().data
        kind = RegionKind(parser.parse_keyword_in([kind.value for kind in RegionKind]))
        return with_attributes(
            parser, cls(Region(name, kind, _parse_int_field(parser, "base"), _parse_int_field(parser, "size")))
        )


@irdl_op_definition
class PortOp(IRDLOperation):
    """`npu.port input "x" f32 [1, 3] base(0)`: an input or output of the model, dense row-major in DRAM."""

    name = "npu.port"
    direction = prop_def(StringAttr)
    port_name = prop_def(StringAttr)
    dtype = prop_def(StringAttr)
    shape = prop_def(DenseArrayBase.constr(i64))
    base = prop_def(IntAttr)

    def __init__(self, direction: str, port: Port):
        properties: dict[str, Attribute] = {
            "direction": StringAttr(direction),
            "port_name": StringAttr(port.name),
            "dtype": StringAttr(port.dtype.name),
            "shape": _integers(port.shape),
            "base": IntAttr(port.base),
        }
        super().__init__(properties=properties)

    @property
    def value(self) -> Port:
        """The port as the program has it."""
        return Port(self.port_name.data, dtype_named(self.dtype.data), _values(self.shape), self.base.data)

    def verify_(self) -> None:
        """Direction and element type exist, no negative number."""
        if self.direction.data not in ("input", "output"):
            raise VerifyException(f'npu.port: direction is {self.direction.data}, must be "input" or "output"')
        if self.dtype.data not in _DTYPE_NAMES:
            raise VerifyException(f"npu.port: unknown element type {self.dtype.data}")
        if self.base.data < 0 or min(_values(self.shape), default=0) < 0:
            raise VerifyException("npu.port: base and dims may not be negative")

    def print(self, printer: Printer) -> None:
        """See the class."""
        printer.print_string(f" {self.direction.data} ")
        printer.print_string_literal(self.port_name.data)
        printer.print_string(f" {self.dtype.data} {_list_text(_values(self.shape))} base({self.base.data})")
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> PortOp:
        """Inverse of `print`."""
        direction = parser.parse_keyword_in(["input", "output"])
        name = parser.parse_str_literal()
        dtype = dtype_named(parser.parse_keyword_in(_DTYPE_NAMES))
        shape = tuple(_parse_integers(parser))
        return with_attributes(parser, cls(direction, Port(name, dtype, shape, _parse_int_field(parser, "base"))))


@irdl_op_definition
class DescOp(IRDLOperation):
    """`npu.desc @w dram f16 [768, 64] strides [3072, 1] base(0)`, `fill(v)`; strides in elements."""

    name = "npu.desc"
    sym_name = prop_def(SymbolNameConstraint())
    space = prop_def(StringAttr)
    dtype = prop_def(StringAttr)
    dims = prop_def(DenseArrayBase.constr(i64))
    strides = prop_def(DenseArrayBase.constr(i64))
    base = prop_def(IntAttr)
    fill = opt_prop_def(IntAttr | FloatAttr)
    traits = traits_def(SymbolOpInterface())

    def __init__(self, descriptor: Descriptor):
        properties: dict[str, Attribute] = {
            "sym_name": StringAttr(descriptor.name),
            "space": text(descriptor.space.name.lower()),
            "dtype": text(descriptor.dtype.name),
            "dims": _integers(descriptor.dims),
            "strides": _integers(descriptor.strides),
            "base": IntAttr(descriptor.base),
        }
        fill = descriptor.fill
        if isinstance(fill, float) or fill:
            properties["fill"] = FloatAttr(fill, f64) if isinstance(fill, float) else IntAttr(fill)
        super().__init__(properties=properties)

    @property
    def value(self) -> Descriptor:
        """The descriptor as the program has it."""
        return Descriptor(
            self.sym_name.data,
            Space[self.space.data.upper()],
            dtype_named(self.dtype.data),
            self.base.data,
            _values(self.dims),
            _values(self.strides),
            self.fill_value,
        )

    @property
    def fill_value(self) -> float | int:
        """The fill value; 0 when it is left out."""
        if isinstance(self.fill, FloatAttr):
            return self.fill.value.data
        return 0 if self.fill is None else self.fill.data

    def verify_(self) -> None:
        """The rules of the descriptor encoding."""
        where = f"npu.desc @{self.sym_name.data}"
        if self.space.data.upper() not in Space.__members__:
            raise VerifyException(f"{where}: unknown memory space {self.space.data}")
        if self.dtype.data not in _DTYPE_NAMES:
            raise VerifyException(f"{where}: unknown element type {self.dtype.data}")
        try:
            check_descriptor(self.value)
        except NpuError as error:
            raise VerifyException(f"{error.message}, found {error.found}") from None

    def print(self, printer: Printer) -> None:
        """See the class."""
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(f" {self.space.data} {self.dtype.data} {_list_text(_values(self.dims))}")
        printer.print_string(f" strides {_list_text(_values(self.strides))} base({self.base.data})")
        if self.fill is not None:
            printer.print_string(f" fill({number_text(self.fill_value)})")
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> DescOp:
        """Inverse of `print`."""
        name = parser.parse_symbol_name().data
        space = Space[parser.parse_keyword_in([space.name.lower() for space in Space]).upper()]
        dtype: DType = dtype_named(parser.parse_keyword_in(_DTYPE_NAMES))
        dims = tuple(_parse_integers(parser))
        parser.parse_keyword("strides")
        strides = tuple(_parse_integers(parser))
        base, fill = _parse_int_field(parser, "base"), 0
        if parser.parse_optional_keyword("fill"):
            with parser.in_parens():
                fill = parse_number(parser)
        return with_attributes(parser, cls(Descriptor(name, space, dtype, base, dims, strides, fill)))


@irdl_op_definition
class KernelOp(IRDLOperation):
    """`npu.kernel @k(f32, f32) { v0 = add.f32 v0, v1 } -> v0`: an element-wise micro-kernel."""

    name = "npu.kernel"
    sym_name = prop_def(SymbolNameConstraint())
    body = prop_def(KernelAttr)
    traits = traits_def(SymbolOpInterface())

    def __init__(self, kernel: Kernel):
        body = Kernel("", kernel.source_types, kernel.ops, kernel.constants, kernel.result)
        super().__init__(properties={"sym_name": StringAttr(kernel.name), "body": KernelAttr(body)})

    @property
    def value(self) -> Kernel:
        """The kernel as the program has it."""
        body = self.body.data
        return Kernel(self.sym_name.data, body.source_types, body.ops, body.constants, body.result)

    def verify_(self) -> None:
        """The rules of the kernel table: limits, and no register is read before it is written."""
        try:
            check_kernel(self.value)
        except NpuError as error:
            raise VerifyException(f"{error.message}, found {error.found}") from None

    def print(self, printer: Printer) -> None:
        """See the class."""
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        print_kernel(printer, self.body.data)
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> KernelOp:
        """Inverse of `print`."""
        name = parser.parse_symbol_name()
        return with_attributes(
            parser, cls.build(properties={"sym_name": name, "body": KernelAttr(parse_kernel(parser))})
        )


@irdl_op_definition
class SemOp(IRDLOperation):
    """`npu.sem @w_free = 2`: a counting semaphore and its value at the start."""

    name = "npu.sem"
    sym_name = prop_def(SymbolNameConstraint())
    initial = prop_def(IntAttr)
    traits = traits_def(SymbolOpInterface())

    def __init__(self, name: str, initial: int):
        super().__init__(properties={"sym_name": StringAttr(name), "initial": IntAttr(initial)})

    def verify_(self) -> None:
        """The preset is a count."""
        if not 0 <= self.initial.data <= MAX_SEMAPHORE_VALUE:
            raise VerifyException(f"npu.sem @{self.sym_name.data}: {self.initial.data} is not a count")

    def print(self, printer: Printer) -> None:
        """See the class."""
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(f" = {self.initial.data}")
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> SemOp:
        """Inverse of `print`."""
        name = parser.parse_symbol_name().data
        parser.parse_punctuation("=")
        return with_attributes(parser, cls(name, parser.parse_integer()))


@irdl_op_definition
class OriginOp(IRDLOperation):
    """`npu.origin @g0 "fc1" group(0) nodes("/fc1/MatMul")`: what instructions `from(@g0 ..)` come from.

    Group index and name, and the ONNX nodes.
    """

    name = "npu.origin"
    sym_name = prop_def(SymbolNameConstraint())
    title = prop_def(StringAttr)
    group = prop_def(IntAttr)
    nodes = prop_def(ArrayAttr[StringAttr])
    traits = traits_def(SymbolOpInterface())

    def __init__(self, symbol: str, title: str, group: int, nodes: Sequence[str]):
        properties: dict[str, Attribute] = {
            "sym_name": StringAttr(symbol),
            "title": StringAttr(title),
            "group": IntAttr(group),
            "nodes": ArrayAttr(StringAttr(node) for node in nodes),
        }
        super().__init__(properties=properties)

    def print(self, printer: Printer) -> None:
        """See the class."""
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(" ")
        printer.print_string_literal(self.title.data)
        printer.print_string(f" group({self.group.data}) nodes(")
        printer.print_list((node.data for node in self.nodes), printer.print_string_literal)
        printer.print_string(")")
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> OriginOp:
        """Inverse of `print`."""
        name, title = parser.parse_symbol_name().data, parser.parse_str_literal()
        group = _parse_int_field(parser, "group")
        parser.parse_keyword("nodes")
        nodes = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_str_literal)
        return with_attributes(parser, cls(name, title, group, nodes))


@irdl_op_definition
class LabelOp(IRDLOperation):
    """`npu.label @retry`: the instruction that follows, as a target of `npu.s.br`."""

    name = "npu.label"
    sym_name = prop_def(SymbolNameConstraint())

    def __init__(self, name: str):
        super().__init__(properties={"sym_name": StringAttr(name)})

    def print(self, printer: Printer) -> None:
        """See the class."""
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        print_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> LabelOp:
        """Inverse of `print`."""
        return with_attributes(parser, cls(parser.parse_symbol_name().data))
