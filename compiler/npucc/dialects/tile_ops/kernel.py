"""`tile.map`: element-wise kernels of the vector engine and of the output stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from npuisa.kernel import MAX_SOURCES
from xdsl.dialects.builtin import AffineMapAttr, ArrayAttr, MemRefType, StringAttr, f32, f64, i1, i32
from xdsl.dialects.builtin import i64 as i64_type
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.ir.affine import AffineMap
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import HasParent, IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import MemorySpace, machine_dtype
from npucc.dialects.tile_ops.instruction import SYNC_FORMAT_BEFORE_REGION, ChosenEngineOp, expect_space
from npucc.dialects.tile_ops.matrix import check_operand_map

COMPUTE_TYPES: tuple[Attribute, ...] = (f32, f64, i32, i64_type, i1)
"""Types in which a kernel computes: those of the micro-operations; i1 is a predicate."""

_BODY_OPS = ("arith.", "math.", "tile.remf")
"""Name prefixes of the operations of a kernel; `tile.remf` is the remainder that xDSL's arith lacks."""


@irdl_op_definition
class MapOp(ChosenEngineOp):
    """dst = kernel(inputs) element by element, on the vector engine or (first input in acc) the output stage.

    `maps` has one affine map per input from the dims of dst to the dims of the input: a permutation, with the
    constant 0 on axes of extent 1 that are broadcast (and dims that the input does not have left out). Block
    arguments have the compute type (`COMPUTE_TYPES`); elements convert implicitly on load and on store.

        tile.map (%acc, %bias : memref<..>, memref<..>) -> (%dst : memref<..>)
          maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] engine "out" {
        ^bb0(%a: f32, %b: f32):
          %s = arith.addf %a, %b : f32
          tile.yield %s : f32
        }
    """

    name = "tile.map"
    LEGAL_ENGINES: ClassVar[tuple[str, ...]] = ("vx", "out")

    inputs = var_operand_def(MemRefType)
    dst = operand_def(MemRefType)
    maps = prop_def(ArrayAttr[AffineMapAttr])
    body = region_def("single_block")

    assembly_format = (
        "(`ins` `(` $inputs^ `:` type($inputs) `)`)? `outs` `(` $dst `:` type($dst) `)` "
        f"`maps` $maps `engine` $engine {SYNC_FORMAT_BEFORE_REGION} $body"
    )

    def __init__(
        self,
        inputs: Sequence[SSAValue],
        dst: SSAValue,
        maps: Sequence[AffineMap],
        engine: str,
        region: Region,
    ) -> None:
        super().__init__(
            operands=[list(inputs), dst],
            properties={"maps": ArrayAttr([AffineMapAttr(m) for m in maps]), "engine": StringAttr(engine)},
            regions=[region],
        )

    @property
    def affine_maps(self) -> tuple[AffineMap, ...]:
        """One map per input."""
        return tuple(attr.data for attr in self.maps)

    @property
    def yielded(self) -> SSAValue:
        """The value that is stored."""
        terminator = self.body.block.last_op
        assert isinstance(terminator, YieldOp)
        return terminator.value

    def reads(self) -> tuple[SSAValue, ...]:
        return tuple(self.inputs)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def verify_operands(self) -> None:
        dst = expect_space(self.dst, "destination", MemorySpace.SRAM)
        machine_dtype(dst.element_type)
        if len(self.inputs) > MAX_SOURCES:
            raise VerifyException(f"a kernel has at most {MAX_SOURCES} inputs, found {len(self.inputs)}")
        if len(self.maps) != len(self.inputs):
            raise VerifyException(f"{len(self.inputs)} inputs need as many maps, found {len(self.maps)}")
        if self.engine == "out" and not self.inputs:
            raise VerifyException("on engine out the first input is an accumulator, found no input")
        for position, (value, map_) in enumerate(zip(self.inputs, self.affine_maps)):
            first_of_out = self.engine == "out" and position == 0
            space = MemorySpace.ACC if first_of_out else MemorySpace.SRAM
            type_ = expect_space(value, f"input {position}", space)
            machine_dtype(type_.element_type)
            check_operand_map(f"input {position}", map_, type_, list(dst.get_shape()))
        self._verify_body()

    def _verify_body(self) -> None:
        block = self.body.block
        if len(block.args) != len(self.inputs):
            raise VerifyException(
                f"{len(self.inputs)} inputs need as many block arguments, found {len(block.args)}"
            )
        for arg in block.args:
            _check_compute_type(arg.type)
        for op in block.ops:
            if not isinstance(op, YieldOp) and not op.name.startswith(_BODY_OPS):
                raise VerifyException(f"a kernel holds arith and math operations, found {op.name}")
            if any(operand.owner not in (block, *block.ops) for operand in op.operands):
                raise VerifyException(f"{op.name} in a kernel uses a value from outside of it")
        if not isinstance(block.last_op, YieldOp):
            raise VerifyException("a kernel ends with tile.yield")


def _check_compute_type(type_: Attribute) -> None:
    if type_ not in COMPUTE_TYPES:
        names = ", ".join(str(legal) for legal in COMPUTE_TYPES)
        raise VerifyException(f"a kernel computes in {names}, found {type_}")


@irdl_op_definition
class YieldOp(IRDLOperation):
    """The value that a `tile.map` stores."""

    name = "tile.yield"

    value = operand_def(AnyAttr())

    traits = traits_def(IsTerminator(), HasParent(MapOp), Pure())
    assembly_format = "$value attr-dict `:` type($value)"

    def __init__(self, value: SSAValue) -> None:
        super().__init__(operands=[value])

    def verify_(self) -> None:
        _check_compute_type(self.value.type)
