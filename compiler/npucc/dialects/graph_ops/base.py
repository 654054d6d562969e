"""What every graph op has: inferred result type, NumPy semantics, provenance, and one assembly format.

    %1 = graph.conv(%x, %w) <strides = [2, 2], groups = 1> {nodes = ["/conv1"]} : (tensor<..>, tensor<..>) -> tensor<..>

The properties stand in angle brackets (see `property_text`); optional ones that are absent are not printed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    IntegerAttr,
    IntegerType,
    StringAttr,
    TensorType,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import IRDLOperation, result_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.graph_ops.property_text import parse_properties, print_properties
from npucc.tiling import TilingSpec
from npucc.types import (
    AnyTensor,
    Array,
    element_name,
    element_type,
    is_element,
    is_float,
    is_narrow,
    numpy_dtype,
    type_of,
)

NODES = "nodes"
"""Discardable attribute: the names of the ONNX nodes that an op came from."""

SPACE = "space"
"""Discardable attribute of a group or concatenation: "sram" when its result stays on chip."""

OperationT = TypeVar("OperationT", bound=Operation)
IntArray = DenseArrayBase[IntegerType]


@dataclass(frozen=True)
class Numerics:
    """How NumPy evaluates floats: in the types of the IR, or (an oracle) everything in f64 without rounding."""

    high_precision: bool = False

    def dtype(self, element: Attribute) -> np.dtype:
        """The NumPy type that holds values of `element`."""
        if self.high_precision and is_float(element):
            return np.dtype(np.float64)
        return numpy_dtype(element)

    def compute(self, element: Attribute) -> np.dtype:
        """The NumPy type in which values of `element` are computed: floats in f32 at least, i4 and i2 in i32."""
        dtype = self.dtype(element)
        if is_float(element):
            return np.dtype(np.float32) if dtype.itemsize <= 2 else dtype
        return np.dtype(np.int32) if is_narrow(element) else dtype


def nodes_of(op: Operation) -> tuple[str, ...]:
    """Names of the ONNX nodes that `op` came from."""
    names = op.attributes.get(NODES)
    if not isinstance(names, ArrayAttr):
        return ()
    return tuple(name.data for name in names if isinstance(name, StringAttr))


def with_nodes(op: OperationT, names: Iterable[str]) -> OperationT:
    """Set the ONNX nodes that `op` came from (duplicates dropped, order kept); returns `op`."""
    unique = tuple(dict.fromkeys(names))
    if unique:
        op.attributes[NODES] = ArrayAttr([StringAttr(name) for name in unique])
    else:
        op.attributes.pop(NODES, None)
    return op


def int_array(values: Iterable[int]) -> IntArray:
    """`array<i64: ...>`."""
    return DenseArrayBase.from_list(i64, tuple(values))


def ints(attribute: IntArray) -> tuple[int, ...]:
    """The values of an `array<i64>`."""
    return attribute.get_values()


def integer(value: int) -> IntegerAttr[IntegerType]:
    """`value : i64`."""
    return IntegerAttr(value, i64)


def tensor_type(value: SSAValue | Operation) -> AnyTensor:
    """Type of a graph value given as a value or as the op that makes it."""
    return type_of(SSAValue.get(value))


def require(condition: bool, message: str) -> None:
    """Raise a VerifyException with `message` unless `condition` holds."""
    if not condition:
        raise VerifyException(message)


def require_space(op: Operation) -> None:
    """The attribute `space` is absent or "sram"."""
    space = op.attributes.get(SPACE)
    require(space in (None, StringAttr("sram")), f'{op.name}: space must be "sram" or absent, found {space}')


def require_same_element(op: str, types: Sequence[AnyTensor]) -> Attribute:
    """The element type that all `types` share; VerifyException naming them otherwise."""
    first = types[0].element_type
    if any(each.element_type != first for each in types[1:]):
        found = ", ".join(str(each.element_type) for each in types)
        raise VerifyException(f"{op}: operands must have one element type, found {found}")
    return first


def common_element(op: str, types: Sequence[AnyTensor]) -> Attribute:
    """The type in which an element-wise op's operands meet: their own, or f32 for a mixture of f16, bf16 and f32.

    The machine converts elements to the compute type as it loads them, so mixed widths cost nothing.
    """
    elements = {each.element_type for each in types}
    narrow = {element_type(name) for name in ("f16", "bf16", "f32")}
    if len(elements) > 1 and elements <= narrow:
        return element_type("f32")
    return require_same_element(op, types)


def broadcast_shape(op: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """NumPy broadcasting; VerifyException naming the shapes if they do not broadcast."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        found = " and ".join(str(list(shape)) for shape in shapes)
        raise VerifyException(f"{op}: shapes {found} do not broadcast") from None


def dtype_name(type_: AnyTensor) -> str:
    """The machine's name of a tensor's element type."""
    return element_name(type_.element_type)


class GraphOp(IRDLOperation, ABC):
    """A pure op with one result whose type follows from the operands and properties."""

    traits = traits_def(Pure())
    result = result_def(TensorType)

    @abstractmethod
    def infer(self) -> AnyTensor:
        """The result type; VerifyException if operands and properties do not fit together."""

    @abstractmethod
    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        """NumPy semantics. Arrays hold `numerics.dtype` of their element types; so must the result."""

    @property
    def operand_types(self) -> tuple[AnyTensor, ...]:
        """Tensor types of the operands."""
        return tuple(type_of(operand) for operand in self.operands)

    @property
    def result_type(self) -> AnyTensor:
        """Tensor type of the result."""
        return type_of(self.result)

    def verify_(self) -> None:
        for value in (*self.operands, self.result):
            element = type_of(value).element_type
            require(is_element(element), f"{self.name}: {element} is not an element type of the machine")
        expected = self.infer()
        found = self.result.type
        require(found == expected, f"{self.name}: result type must be {expected}, found {found}")
        require_space(self)

    def print(self, printer: Printer) -> None:
        """See the module's docstring."""
        printer.print_operands(self.operands)
        print_properties(printer, self.properties)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_operation_type(self)

    @classmethod
    def parse(cls, parser: Parser) -> GraphOp:
        """See the module's docstring."""
        position = parser.pos
        operands = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        properties = parse_properties(parser, cls)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        signature = parser.parse_function_type()
        values = parser.resolve_operands(operands, signature.inputs.data, position)
        try:
            return cls.build(
                operands=cls.grouped(values),
                result_types=list(signature.outputs),
                properties=properties,
                attributes=attributes,
            )
        except ValueError as error:  # a wrong number of operands or results
            parser.raise_error(f"{cls.name}: {error}", position)

    @classmethod
    def grouped(cls, values: Sequence[SSAValue]) -> list[SSAValue | Sequence[SSAValue]]:
        """The parsed operands as `build` wants them; an op with variadic operands overrides this."""
        return list(values)


class TileableOp(GraphOp, ABC):
    """An op that can be the root of a group. `EPILOGUE`: whether element-wise ops may follow it in its group."""

    EPILOGUE: ClassVar[bool] = True

    @abstractmethod
    def tiling(self) -> TilingSpec:
        """Iteration space and tensor accesses of the op."""
