"""Reductions, sliding windows and normalisations of the vector engine."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from xdsl.dialects.builtin import DenseArrayBase, MemRefType, StringAttr, i64
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import MemorySpace, machine_dtype
from npucc.dialects.tile_ops.geometry import WindowGeometryOp
from npucc.dialects.tile_ops.instruction import (
    SYNC_FORMAT,
    AccumulatingOp,
    InstructionOp,
    expect_machine_types,
    expect_rank,
    expect_shape,
    expect_space,
)


class ReduceFn(StrEnum):
    """Functions of `tile.reduce` and `tile.window`; names as in the instruction set, in lower case."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    PROD = "prod"


class NormFn(StrEnum):
    """Functions of `tile.norm`; names as in the instruction set, in lower case."""

    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log_softmax"


def check_function(found: str, functions: type[StrEnum]) -> None:
    """VerifyException unless `found` is one of `functions`."""
    if found not in {fn.value for fn in functions}:
        raise VerifyException(f"fn must be one of {', '.join(fn.value for fn in functions)}, found {found!r}")


@irdl_op_definition
class ReduceOp(AccumulatingOp):
    """dst = fn over `axes` of src; dst has src's shape with 1 on the reduced axes.

    With `accumulate` not 0 the value already in dst takes part.

        tile.reduce %src -> %dst fn "sum" axes [2] accumulate %k : memref<..> -> memref<..>
    """

    name = "tile.reduce"
    FIXED_ENGINE: ClassVar[str | None] = "vx"

    src = operand_def(MemRefType)
    fn = prop_def(StringAttr)
    axes = prop_def(DenseArrayBase.constr(i64))

    assembly_format = (
        "$src `->` $dst `fn` $fn `axes` $axes (`accumulate` $accumulate^)? "
        f"{SYNC_FORMAT} `:` type($src) `->` type($dst)"
    )

    def __init__(
        self, src: SSAValue, dst: SSAValue, fn: str, axes: Sequence[int], accumulate: SSAValue | None = None
    ) -> None:
        super().__init__(
            operands=[src, dst, accumulate],
            properties={"fn": StringAttr(fn), "axes": DenseArrayBase.from_list(i64, axes)},
        )

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.src, *self.updates())

    def verify_operands(self) -> None:
        check_function(self.fn.data, ReduceFn)
        src = expect_space(self.src, "source", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.SRAM)
        axes = self.axes.get_values()
        if (
            not axes
            or len(set(axes)) != len(axes)
            or not all(0 <= axis < src.get_num_dims() for axis in axes)
        ):
            raise VerifyException(f"axes must be distinct axes of {src}, found {list(axes)}")
        expect_shape(dst, "dst", [1 if i in axes else n for i, n in enumerate(src.get_shape())])
        expect_machine_types(src, dst)


@irdl_op_definition
class WindowOp(WindowGeometryOp):
    """Sliding-window reduction over two axes of src; positions outside src do not take part.

    dst[.., i, .., j, ..] = fn over p < sizes[0], q < sizes[1] of src[.., i * stride + p * dilation - pad, ..]

        tile.window %src -> %dst fn "max" axes [1, 2] sizes [3, 3] strides [2, 2] dilations [1, 1]
          pads_lo [1, 1] : memref<..> -> memref<..>
    """

    name = "tile.window"
    FIXED_ENGINE: ClassVar[str | None] = "vx"

    src = operand_def(MemRefType)
    dst = operand_def(MemRefType)
    fn = prop_def(StringAttr)
    axes = prop_def(DenseArrayBase.constr(i64))
    sizes = prop_def(DenseArrayBase.constr(i64))

    assembly_format = (
        "$src `->` $dst `fn` $fn `axes` $axes `sizes` $sizes `strides` $strides `dilations` $dilations "
        f"`pads_lo` $pads_lo {SYNC_FORMAT} `:` type($src) `->` type($dst)"
    )

    def __init__(
        self,
        src: SSAValue,
        dst: SSAValue,
        fn: str,
        axes: Sequence[int],
        sizes: Sequence[int],
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
        pads_lo: Sequence[int] = (0, 0),
    ) -> None:
        super().__init__(
            operands=[src, dst],
            properties={
                "fn": StringAttr(fn),
                "axes": DenseArrayBase.from_list(i64, axes),
                "sizes": DenseArrayBase.from_list(i64, sizes),
                **self.geometry_properties(strides, dilations, pads_lo),
            },
        )

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.src,)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        self.verify_geometry()
        check_function(self.fn.data, ReduceFn)
        src = expect_space(self.src, "source", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.SRAM)
        expect_rank(dst, "dst", src.get_num_dims())
        axes, sizes = self.axes.get_values(), self.sizes.get_values()
        legal = len(axes) == 2 and axes[0] != axes[1] and all(0 <= axis < src.get_num_dims() for axis in axes)
        if not legal:
            raise VerifyException(f"axes must be two distinct axes of {src}, found {list(axes)}")
        if len(sizes) != 2 or min(sizes) < 1:
            raise VerifyException(f"sizes must be two positive integers, found {list(sizes)}")
        others = [d if i in axes else s for i, (s, d) in enumerate(zip(src.get_shape(), dst.get_shape()))]
        expect_shape(dst, "dst", others)
        expect_machine_types(src, dst)


@irdl_op_definition
class NormOp(InstructionOp):
    """dst = fn(src) over the last axis, same shape.

    tile.norm %src -> %dst fn "softmax" : memref<..> -> memref<..>
    """

    name = "tile.norm"
    FIXED_ENGINE: ClassVar[str | None] = "vx"

    src = operand_def(MemRefType)
    dst = operand_def(MemRefType)
    fn = prop_def(StringAttr)

    assembly_format = f"$src `->` $dst `fn` $fn {SYNC_FORMAT} `:` type($src) `->` type($dst)"

    def __init__(self, src: SSAValue, dst: SSAValue, fn: str) -> None:
        super().__init__(operands=[src, dst], properties={"fn": StringAttr(fn)})

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.src,)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        check_function(self.fn.data, NormFn)
        src = expect_space(self.src, "source", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.SRAM)
        if src.get_num_dims() < 1:
            raise VerifyException("a normalisation needs at least one axis")
        expect_shape(dst, "dst", src.get_shape())
        for what, type_ in (("source", src), ("dst", dst)):
            if not machine_dtype(type_.element_type).is_float:
                raise VerifyException(f"{what} must be floating point, found {type_}")
