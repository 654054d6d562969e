"""Work of the vector engine on whole lines: argsort and running sums along any axis, compaction along the last."""

from __future__ import annotations

from typing import ClassVar

from npuisa.instructions import sort_workspace
from xdsl.dialects.builtin import BoolAttr, IntegerAttr, IntegerType, MemRefType, StringAttr, i64
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, prop_def
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import MemorySpace, machine_dtype
from npucc.dialects.tile_ops.instruction import (
    SYNC_FORMAT,
    InstructionOp,
    expect_machine_types,
    expect_shape,
    expect_space,
)
from npucc.dialects.tile_ops.vector import ReduceFn, check_function

Flag = IntegerAttr[IntegerType]


def _flag(value: bool) -> Flag:
    return BoolAttr.from_bool(value)


def _expect_axis(src: MemRefType, axis: int) -> None:
    if not 0 <= axis < src.get_num_dims():
        raise VerifyException(f"axis must be one of {src}, found {axis}")


def _expect_selection(dst: MemRefType, src: MemRefType, axis: int) -> None:
    """`dst` has the lines of `src` along `axis`, each with at most as many elements."""
    _expect_axis(src, axis)
    shape, source = list(dst.get_shape()), list(src.get_shape())
    if len(shape) != len(source) or shape.pop(axis) > source.pop(axis) or shape != source:
        raise VerifyException(f"dst must have the lines of {src}, with at most as many elements, found {dst}")


def _expect_positions(type_: MemRefType, what: str) -> None:
    if machine_dtype(type_.element_type).name not in ("i32", "i64"):
        raise VerifyException(f"{what} must be i32 or i64, found {type_}")


@irdl_op_definition
class SortOp(InstructionOp):
    """dst = the first positions of a stable argsort of each line of src; `work` is scratch, undefined afterwards.

    tile.sort %src -> %dst work %work axis 1 descending true : memref<..> -> memref<..>, memref<..>
    """

    name = "tile.sort"
    FIXED_ENGINE: ClassVar[str | None] = "vx"

    src = operand_def(MemRefType)
    dst = operand_def(MemRefType)
    work = operand_def(MemRefType)
    axis = prop_def(IntegerAttr.constr(i64))
    descending = prop_def(Flag)

    assembly_format = (
        "$src `->` $dst `work` $work `axis` $axis `descending` $descending "
        f"{SYNC_FORMAT} `:` type($src) `->` type($dst) `,` type($work)"
    )

    def __init__(self, src: SSAValue, dst: SSAValue, work: SSAValue, axis: int, descending: bool) -> None:
        properties = {"axis": IntegerAttr(axis, i64), "descending": _flag(descending)}
        super().__init__(operands=[src, dst, work], properties=properties)

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.src,)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst, self.work)

    def verify_operands(self) -> None:
        src = expect_space(self.src, "source", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.SRAM)
        work = expect_space(self.work, "work", MemorySpace.SRAM)
        axis = self.axis.value.data
        _expect_selection(dst, src, axis)
        _expect_positions(dst, "dst")
        bits = machine_dtype(src.element_type).bits
        expect_shape(work, "work", [sort_workspace(src.get_shape()[axis], dst.get_shape()[axis], bits)])
        if machine_dtype(work.element_type).bits != 64:
            raise VerifyException(f"work must have 64-bit elements, found {work}")


@irdl_op_definition
class ScanOp(InstructionOp):
    """dst = running fn of src along `axis`; exclusive: of the elements before; reverse: from the end.

    tile.scan %src -> %dst axis 1 fn "sum" exclusive false reverse false : memref<..> -> memref<..>
    """

    name = "tile.scan"
    FIXED_ENGINE: ClassVar[str | None] = "vx"

    src = operand_def(MemRefType)
    dst = operand_def(MemRefType)
    axis = prop_def(IntegerAttr.constr(i64))
    fn = prop_def(StringAttr)
    exclusive = prop_def(Flag)
    reverse = prop_def(Flag)

    assembly_format = (
        "$src `->` $dst `axis` $axis `fn` $fn `exclusive` $exclusive `reverse` $reverse "
        f"{SYNC_FORMAT} `:` type($src) `->` type($dst)"
    )

    def __init__(self, src: SSAValue, dst: SSAValue, axis: int, fn: str, exclusive: bool, reverse: bool) -> None:
        properties = {
            "axis": IntegerAttr(axis, i64),
            "fn": StringAttr(fn),
            "exclusive": _flag(exclusive),
            "reverse": _flag(reverse),
        }
        super().__init__(operands=[src, dst], properties=properties)

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.src,)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        check_function(self.fn.data, ReduceFn)
        src = expect_space(self.src, "source", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.SRAM)
        _expect_axis(src, self.axis.value.data)
        expect_shape(dst, "dst", src.get_shape())
        if machine_dtype(src.element_type).is_float != machine_dtype(dst.element_type).is_float:
            raise VerifyException(f"floats run into floats and integers into integers, found {src} and {dst}")


@irdl_op_definition
class CompressOp(InstructionOp):
    """dst = the elements of `values` (positions without it) where mask is not 0, line by line, then `padding`.

    tile.compress %mask values %x -> %dst padding 0 : memref<..>, memref<..> -> memref<..>
    """

    name = "tile.compress"
    FIXED_ENGINE: ClassVar[str | None] = "vx"

    mask = operand_def(MemRefType)
    values = opt_operand_def(MemRefType)
    dst = operand_def(MemRefType)
    padding = prop_def(IntegerAttr.constr(i64))

    assembly_format = (
        "$mask (`values` $values^ `:` type($values))? `->` $dst `padding` $padding "
        f"{SYNC_FORMAT} `:` type($mask) `->` type($dst)"
    )

    def __init__(self, mask: SSAValue, values: SSAValue | None, dst: SSAValue, padding: int) -> None:
        super().__init__(operands=[mask, values, dst], properties={"padding": IntegerAttr(padding, i64)})

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.mask,) if self.values is None else (self.mask, self.values)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        mask = expect_space(self.mask, "mask", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.SRAM)
        _expect_selection(dst, mask, mask.get_num_dims() - 1)
        if self.values is None:
            _expect_positions(dst, "dst")
            return
        values = expect_space(self.values, "values", MemorySpace.SRAM)
        expect_shape(values, "values", mask.get_shape())
        expect_machine_types(values, dst)
