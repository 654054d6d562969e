"""Attributes and types of the `tile` dialect, and what they say about a memref."""

from __future__ import annotations

from npuisa.dtypes import DType
from xdsl.dialects.builtin import MemRefType
from xdsl.dialects.utils.enum_attribute import EnumAttribute
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from npucc.types import dtype_of, is_element


class MemorySpace(StrEnum):
    """Where a buffer lies: external memory, on-chip operand memory, accumulators."""

    DRAM = "dram"
    SRAM = "sram"
    ACC = "acc"


@irdl_attr_definition
class SpaceAttr(EnumAttribute[MemorySpace]):
    """`#tile.space<sram>`: the memory space of a memref."""

    name = "tile.space"

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(self.data.value)

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> MemorySpace:
        with parser.in_angle_brackets():
            return parser.parse_str_enum(MemorySpace)


DRAM = SpaceAttr(MemorySpace.DRAM)
SRAM = SpaceAttr(MemorySpace.SRAM)
ACC = SpaceAttr(MemorySpace.ACC)


@irdl_attr_definition
class PoolType(ParametrizedAttribute, TypeAttribute):
    """`!tile.pool`: a circular buffer of equal slots, declared by `tile.pool`."""

    name = "tile.pool"


def machine_dtype(element: Attribute) -> DType:
    """The machine type of a memref's element type; VerifyException for one that the machine lacks."""
    if not is_element(element):
        raise VerifyException(f"element type {element} is not a type of the machine")
    return dtype_of(element)


def memref_of(value: SSAValue) -> MemRefType:
    """The memref type of `value`; VerifyException if it is something else."""
    if not isinstance(value.type, MemRefType):
        raise VerifyException(f"expected a memref, found {value.type}")
    return value.type


def space_of(type_: MemRefType) -> MemorySpace:
    """The memory space of a memref; VerifyException if it has none of ours."""
    if not isinstance(type_.memory_space, SpaceAttr):
        raise VerifyException(f"memref needs a memory space #tile.space<dram|sram|acc>, found {type_}")
    return type_.memory_space.data


def memref_bytes(type_: MemRefType) -> int:
    """Bytes of the elements of a dense memref of this type."""
    size = machine_dtype(type_.element_type).bytes
    for extent in type_.get_shape():
        size *= extent
    return size
