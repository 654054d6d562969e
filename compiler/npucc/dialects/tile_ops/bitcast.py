"""`tile.bitcast`: a view of a buffer as elements of another type."""

from __future__ import annotations

from xdsl.dialects.builtin import MemRefType
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, result_def, traits_def
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import machine_dtype, memref_of


@irdl_op_definition
class BitcastOp(IRDLOperation):
    """The same elements seen as another type of the same width in memory; no work.

    %i = tile.bitcast %f : memref<4xf32, #tile.space<dram>> to memref<4xi32, #tile.space<dram>>
    """

    name = "tile.bitcast"

    source = operand_def(MemRefType)
    result = result_def(MemRefType)

    traits = traits_def(Pure())
    assembly_format = "$source attr-dict `:` type($source) `to` type($result)"

    def __init__(self, source: SSAValue, element: Attribute) -> None:
        type_ = memref_of(source)
        result = MemRefType(element, type_.get_shape(), type_.layout, type_.memory_space)
        super().__init__(operands=[source], result_types=[result])

    def verify_(self) -> None:
        source, result = memref_of(self.source), memref_of(self.result)
        same = MemRefType(result.element_type, source.get_shape(), source.layout, source.memory_space)
        if result != same:
            raise VerifyException(f"shape, layout and space stay: expected {same}, found {result}")
        widths = [machine_dtype(each.element_type).bytes for each in (source, result)]
        if widths[0] != widths[1]:
            raise VerifyException(f"elements must keep their width, found {widths[0]} and {widths[1]} bytes")
