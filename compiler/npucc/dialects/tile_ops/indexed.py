"""Movement by index: rows or elements of a table, on a DMA channel or within the SRAM on the vector engine."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from npuisa.instructions import ScatterFn
from xdsl.dialects.builtin import MemRefType, StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import MemorySpace, machine_dtype
from npucc.dialects.tile_ops.instruction import (
    DMA_NAMES,
    SYNC_FORMAT,
    ChosenEngineOp,
    expect_machine_types,
    expect_rank,
    expect_space,
)


class IndexedOp(ChosenEngineOp, ABC):
    """A table [b, s, r], the elements [b, n, r] that move, and indices [b or 1, n, r or 1] in SRAM."""

    LEGAL_ENGINES: ClassVar[tuple[str, ...]] = (*DMA_NAMES, "vx")

    def verify_indexed(self, table: SSAValue, moved: SSAValue, places: SSAValue) -> None:
        """Spaces, dims and types."""
        spaces = (MemorySpace.SRAM,) if self.engine == "vx" else (MemorySpace.DRAM, MemorySpace.SRAM)
        whole, part = expect_space(table, "table", *spaces), expect_space(moved, "elements", *spaces)
        indices = expect_space(places, "indices", MemorySpace.SRAM)
        for type_, what in ((whole, "table"), (part, "elements"), (indices, "indices")):
            expect_rank(type_, what, 3)
        batches, count, width = part.get_shape()
        if (whole.get_shape()[0], whole.get_shape()[2]) != (batches, width):
            raise VerifyException(f"table must be [b, s, r] for elements [b, n, r], found {whole} and {part}")
        shape = indices.get_shape()
        if shape[0] not in (1, batches) or shape[1] != count or shape[2] not in (1, width):
            raise VerifyException(
                f"indices must be [b or 1, n, r or 1] for elements [b, n, r], found {indices}, {part}"
            )
        if whole.element_type != part.element_type:
            raise VerifyException(f"table and elements must have one element type, found {whole} and {part}")
        expect_machine_types(whole)
        dtype = machine_dtype(indices.element_type)
        if dtype.is_float or dtype.name == "bool":
            raise VerifyException(f"indices must be integers, found {indices}")


@irdl_op_definition
class GatherOp(IndexedOp):
    """dst[b, i, r] = src[b, indices[b, i, r], r]; 0 where an index is outside [-s, s). dma channels: DRAM or SRAM.

    tile.gather %src [%indices] -> %dst engine "dma0" : memref<..> [memref<..>] -> memref<..>
    """

    name = "tile.gather"

    src = operand_def(MemRefType)
    indices = operand_def(MemRefType)
    dst = operand_def(MemRefType)

    assembly_format = (
        "$src `[` $indices `]` `->` $dst `engine` $engine "
        f"{SYNC_FORMAT} `:` type($src) `[` type($indices) `]` `->` type($dst)"
    )

    def __init__(self, src: SSAValue, indices: SSAValue, dst: SSAValue, engine: str):
        super().__init__(operands=[src, indices, dst], properties={"engine": StringAttr(engine)})

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.src, self.indices)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        self.verify_indexed(self.src, self.dst, self.indices)


@irdl_op_definition
class ScatterOp(IndexedOp):
    """dst[b, indices[b, i, r], r] (fn)= src[b, i, r], in order of i; an index outside [-s, s) changes nothing.

    tile.scatter %src -> %dst [%indices] fn "add" engine "vx" : memref<..> -> memref<..> [memref<..>]
    """

    name = "tile.scatter"

    src = operand_def(MemRefType)
    indices = operand_def(MemRefType)
    dst = operand_def(MemRefType)
    fn = prop_def(StringAttr)

    assembly_format = (
        "$src `->` $dst `[` $indices `]` `fn` $fn `engine` $engine "
        f"{SYNC_FORMAT} `:` type($src) `->` type($dst) `[` type($indices) `]`"
    )

    def __init__(self, src: SSAValue, indices: SSAValue, dst: SSAValue, fn: str, engine: str):
        properties = {"fn": StringAttr(fn), "engine": StringAttr(engine)}
        super().__init__(operands=[src, indices, dst], properties=properties)

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.src, self.indices, self.dst)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        self.verify_indexed(self.dst, self.src, self.indices)
        names = [fn.name.lower() for fn in ScatterFn]
        if self.fn.data not in names:
            raise VerifyException(f"fn must be one of {', '.join(names)}, found {self.fn.data!r}")
