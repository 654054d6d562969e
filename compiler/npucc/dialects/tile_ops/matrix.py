"""Operations of the matrix engine: products and convolutions into accumulators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import AffineMapAttr, IntegerAttr, MemRefType, StringAttr, i64
from xdsl.ir import SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineMap
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import MemorySpace, machine_dtype
from npucc.dialects.tile_ops.geometry import WindowGeometryOp
from npucc.dialects.tile_ops.instruction import (
    SYNC_FORMAT,
    AccumulatingOp,
    ChosenEngineOp,
    expect_rank,
    expect_shape,
    expect_space,
)


def check_accumulator_type(source: MemRefType, other: MemRefType, dst: MemRefType) -> None:
    """Operands are both floating or both integer; floats accumulate in f32 / f64, integers in i32 / i64."""
    a, b, d = (machine_dtype(type_.element_type) for type_ in (source, other, dst))
    if a.is_float != b.is_float:
        raise VerifyException(f"operands mix floating point and integer: {a} and {b}")
    legal = ("f32", "f64") if a.is_float else ("i32", "i64")
    if d.name not in legal:
        raise VerifyException(f"products of {a} and {b} accumulate in {' or '.join(legal)}, found {d}")


@irdl_op_definition
class GemmOp(AccumulatingOp):
    """dst[batch.., m, n] (+)= sum over k of a * b.

    `a_map` and `b_map` map (batch.., m, n, k) to the dims of a and b: results are distinct dims, or the
    constant 0 where an axis of extent 1 is broadcast; a may not use n, nor b m. Default: a[batch.., m, k] and
    b[batch.., k, n].

        tile.gemm %a, %b -> %acc accumulate %k : memref<..>, memref<..> -> memref<..>
    """

    name = "tile.gemm"
    FIXED_ENGINE: ClassVar[str | None] = "mx"

    a = operand_def(MemRefType)
    b = operand_def(MemRefType)
    a_map = opt_prop_def(AffineMapAttr)
    b_map = opt_prop_def(AffineMapAttr)

    assembly_format = (
        "$a `,` $b `->` $dst (`accumulate` $accumulate^)? (`a_map` $a_map^)? (`b_map` $b_map^)? "
        f"{SYNC_FORMAT} `:` type($a) `,` type($b) `->` type($dst)"
    )

    def __init__(
        self,
        a: SSAValue,
        b: SSAValue,
        dst: SSAValue,
        accumulate: SSAValue | None = None,
        a_map: AffineMap | None = None,
        b_map: AffineMap | None = None,
    ) -> None:
        super().__init__(
            operands=[a, b, dst, accumulate],
            properties={
                "a_map": None if a_map is None else AffineMapAttr(a_map),
                "b_map": None if b_map is None else AffineMapAttr(b_map),
            },
        )

    @property
    def maps(self) -> tuple[AffineMap, AffineMap]:
        """The maps of a and b, defaults filled in."""
        rank = expect_space(self.dst, "dst", MemorySpace.ACC).get_num_dims()
        a, b = standard_gemm_maps(rank - 2)
        return (
            a if self.a_map is None else self.a_map.data,
            b if self.b_map is None else self.b_map.data,
        )

    @property
    def dims(self) -> tuple[int, ...]:
        """Extents of (batch.., m, n, k)."""
        dst, a = self.dst.type, self.a.type
        assert isinstance(dst, MemRefType) and isinstance(a, MemRefType)
        rank = dst.get_num_dims()
        for axis, expr in enumerate(self.maps[0].results):
            if isinstance(expr, AffineDimExpr) and expr.position == rank:
                return (*dst.get_shape(), a.get_shape()[axis])
        return (*dst.get_shape(), 1)

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.a, self.b, *self.updates())

    def verify_operands(self) -> None:
        a = expect_space(self.a, "a", MemorySpace.SRAM)
        b = expect_space(self.b, "b", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.ACC)
        if dst.get_num_dims() < 2:
            raise VerifyException(f"dst needs dims batch.., m, n, found {dst}")
        check_accumulator_type(a, b, dst)
        rank = dst.get_num_dims()
        a_map, b_map = self.maps
        sizes: list[int | None] = [*dst.get_shape(), None]
        check_operand_map("a", a_map, a, sizes, forbidden=rank - 1)
        check_operand_map("b", b_map, b, sizes, forbidden=rank - 2)


def standard_gemm_maps(batch_dims: int) -> tuple[AffineMap, AffineMap]:
    """Maps of a[batch.., m, k] and b[batch.., k, n] from (batch.., m, n, k)."""
    m, n, k = batch_dims, batch_dims + 1, batch_dims + 2
    lead = range(batch_dims)
    return (
        AffineMap(batch_dims + 3, 0, tuple(AffineDimExpr(d) for d in (*lead, m, k))),
        AffineMap(batch_dims + 3, 0, tuple(AffineDimExpr(d) for d in (*lead, k, n))),
    )


def check_operand_map(
    what: str, map_: AffineMap, type_: MemRefType, sizes: list[int | None], forbidden: int | None = None
) -> None:
    """`map_` sends dims of extents `sizes` to the axes of `type_`: distinct dims, or 0 on an extent of 1.

    An extent None is not known yet: the first axis that uses it sets it. `forbidden` is a dim not allowed.
    """
    if map_.num_dims != len(sizes) or map_.num_symbols:
        raise VerifyException(f"the map of {what} must have {len(sizes)} dims and no symbols, found {map_}")
    if len(map_.results) != type_.get_num_dims():
        raise VerifyException(f"the map of {what} has {len(map_.results)} results for {type_}")
    used: set[int] = set()
    for expr, extent in zip(map_.results, type_.get_shape()):
        if isinstance(expr, AffineConstantExpr) and expr.value == 0 and extent == 1:
            continue
        if not isinstance(expr, AffineDimExpr) or expr.position in used or expr.position == forbidden:
            raise VerifyException(
                f"the map of {what} may use each legal dim once, or 0 on an axis of extent 1, found {map_}"
            )
        used.add(expr.position)
        if sizes[expr.position] is None:
            sizes[expr.position] = extent
        if sizes[expr.position] != extent:
            raise VerifyException(
                f"{what}: dim d{expr.position} has extent {sizes[expr.position]}, found {extent} in {type_}"
            )


@irdl_op_definition
class ConvOp(AccumulatingOp, WindowGeometryOp):
    """2-D convolution, channels last: x [n, h, w, ci], w [kh, kw, ci / groups, co], dst [n, oh, ow, co].

    dst[n, i, j, o] (+)= sum of x[n, i * stride_h + p * dilation_h - pad_h, ..] * w[p, q, c, o]; reads outside
    x are 0. `pads_lo` is (pad_h, pad_w); padding after x is whatever dst's extents ask for.

        tile.conv %x, %w -> %acc accumulate %c strides [1, 1] dilations [1, 1] pads_lo [1, 1] groups 1 : ...
    """

    name = "tile.conv"
    FIXED_ENGINE: ClassVar[str | None] = "mx"

    x = operand_def(MemRefType)
    w = operand_def(MemRefType)
    groups = prop_def(IntegerAttr.constr(i64))

    assembly_format = (
        "$x `,` $w `->` $dst (`accumulate` $accumulate^)? `strides` $strides `dilations` $dilations "
        f"`pads_lo` $pads_lo `groups` $groups {SYNC_FORMAT} `:` type($x) `,` type($w) `->` type($dst)"
    )

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        dst: SSAValue,
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
        pads_lo: Sequence[int] = (0, 0),
        groups: int = 1,
        accumulate: SSAValue | None = None,
    ) -> None:
        super().__init__(
            operands=[x, w, dst, accumulate],
            properties={
                **self.geometry_properties(strides, dilations, pads_lo),
                "groups": IntegerAttr(groups, i64),
            },
        )

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.x, self.w, *self.updates())

    def verify_operands(self) -> None:
        self.verify_geometry()
        x = expect_space(self.x, "x", MemorySpace.SRAM)
        w = expect_space(self.w, "w", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.ACC)
        for what, type_ in (("x", x), ("w", w), ("dst", dst)):
            expect_rank(type_, what, 4)
        check_accumulator_type(x, w, dst)
        groups = self.groups.value.data
        batch, _, _, channels = x.get_shape()
        kh, kw, _, outputs = w.get_shape()
        if groups < 1 or channels % groups or outputs % groups:
            raise VerifyException(
                f"{groups} groups do not divide {channels} input and {outputs} output channels"
            )
        expect_shape(w, "w", (kh, kw, channels // groups, outputs))
        expect_shape(dst, "dst", (batch, *dst.get_shape()[1:3], outputs))


@irdl_op_definition
class DwconvOp(ChosenEngineOp, WindowGeometryOp):
    """Depthwise convolution: x [n, h, w, c], w [kh, kw, c], dst [n, oh, ow, c]; geometry as in `tile.conv`.

    On engine mx dst is in acc, on vx in sram.

        tile.dwconv %x, %w -> %dst engine "vx" strides [1, 1] dilations [1, 1] pads_lo [1, 1] : ...
    """

    name = "tile.dwconv"
    LEGAL_ENGINES: ClassVar[tuple[str, ...]] = ("vx", "mx")

    x = operand_def(MemRefType)
    w = operand_def(MemRefType)
    dst = operand_def(MemRefType)

    assembly_format = (
        "$x `,` $w `->` $dst `engine` $engine `strides` $strides `dilations` $dilations `pads_lo` $pads_lo "
        f"{SYNC_FORMAT} `:` type($x) `,` type($w) `->` type($dst)"
    )

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        dst: SSAValue,
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
        pads_lo: Sequence[int] = (0, 0),
        engine: str = "vx",
    ) -> None:
        super().__init__(
            operands=[x, w, dst],
            properties={
                **self.geometry_properties(strides, dilations, pads_lo),
                "engine": StringAttr(engine),
            },
        )

    def reads(self) -> tuple[SSAValue, ...]:
        return (self.x, self.w)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        self.verify_geometry()
        x = expect_space(self.x, "x", MemorySpace.SRAM)
        w = expect_space(self.w, "w", MemorySpace.SRAM)
        dst = expect_space(self.dst, "dst", MemorySpace.ACC if self.engine == "mx" else MemorySpace.SRAM)
        for what, type_, rank in (("x", x, 4), ("w", w, 3), ("dst", dst, 4)):
            expect_rank(type_, what, rank)
        if self.engine == "mx":
            check_accumulator_type(x, w, dst)
        expect_shape(w, "w", (*w.get_shape()[:2], x.get_shape()[3]))
        expect_shape(dst, "dst", (x.get_shape()[0], *dst.get_shape()[1:3], x.get_shape()[3]))
