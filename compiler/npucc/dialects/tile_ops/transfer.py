"""DMA operations and explicit synchronisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import Float64Type, FloatAttr, IntegerAttr, MemRefType, StringAttr, f64, i64
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import MemorySpace, machine_dtype
from npucc.dialects.tile_ops.instruction import (
    DMA_NAMES,
    ENGINE_NAMES,
    SYNC_FORMAT,
    ChosenEngineOp,
    expect_machine_types,
    expect_shape,
    expect_space,
    string_array,
)

_COUNT_LIMIT = 255


@irdl_op_definition
class CopyOp(ChosenEngineOp):
    """dst = src on a DMA channel; same shape, strided on both sides, converts where the element types differ.

    tile.copy %src -> %dst engine "dma0" : memref<..> -> memref<..>
    """

    name = "tile.copy"
    LEGAL_ENGINES: ClassVar[tuple[str, ...]] = DMA_NAMES

    src = operand_def(MemRefType)
    dst = operand_def(MemRefType)

    assembly_format = f"$src `->` $dst `engine` $engine {SYNC_FORMAT} `:` type($src) `->` type($dst)"

    def __init__(self, src: SSAValue, dst: SSAValue, engine: str = "dma0") -> None:
        super().__init__(operands=[src, dst], properties={"engine": StringAttr(engine)})

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.src,)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        src = expect_space(self.src, "source", MemorySpace.DRAM, MemorySpace.SRAM)
        dst = expect_space(self.dst, "destination", MemorySpace.DRAM, MemorySpace.SRAM)
        expect_shape(dst, "destination", src.get_shape())
        expect_machine_types(src, dst)


@irdl_op_definition
class FillOp(ChosenEngineOp):
    """Every element of dst = value, on a DMA channel. The value converts to dst's type.

    tile.fill %dst value 0.0 engine "dma0" : memref<..>
    """

    name = "tile.fill"
    LEGAL_ENGINES: ClassVar[tuple[str, ...]] = DMA_NAMES

    dst = operand_def(MemRefType)
    value = prop_def(FloatAttr[Float64Type] | IntegerAttr)

    assembly_format = f"$dst `value` $value `engine` $engine {SYNC_FORMAT} `:` type($dst)"

    def __init__(self, dst: SSAValue, value: float | int, engine: str = "dma0") -> None:
        attr = FloatAttr(value, f64) if isinstance(value, float) else IntegerAttr(value, i64)
        super().__init__(operands=[dst], properties={"value": attr, "engine": StringAttr(engine)})

    @property
    def fill_value(self) -> float | int:
        """The value as a Python number."""
        return self.value.value.data

    def reads(self) -> tuple[SSAValue, ...]:
        return ()

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        dst = expect_space(self.dst, "destination", MemorySpace.DRAM, MemorySpace.SRAM)
        machine_dtype(dst.element_type)


@irdl_op_definition
class SyncOp(ChosenEngineOp):
    """A step in an engine's queue that only waits and posts, each `count` times.

    tile.sync engine "mx" waits ["w_full"] posts ["x_free"] count 2
    """

    name = "tile.sync"
    LEGAL_ENGINES: ClassVar[tuple[str, ...]] = ENGINE_NAMES

    count = prop_def(IntegerAttr.constr(i64))

    assembly_format = f"`engine` $engine `count` $count {SYNC_FORMAT}"

    def __init__(
        self, engine: str, waits: Sequence[str] = (), posts: Sequence[str] = (), count: int = 1
    ) -> None:
        super().__init__(
            properties={
                "engine": StringAttr(engine),
                "count": IntegerAttr(count, i64),
                "waits": string_array(waits) if waits else None,
                "posts": string_array(posts) if posts else None,
            }
        )

    def reads(self) -> tuple[SSAValue, ...]:
        return ()

    def writes(self) -> tuple[SSAValue, ...]:
        return ()

    def verify_operands(self) -> None:
        if not 1 <= self.count.value.data <= _COUNT_LIMIT:
            raise VerifyException(f"count must be 1 to {_COUNT_LIMIT}, found {self.count.value.data}")
