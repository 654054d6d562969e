"""Buffers, pools and groups."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I64,
    ArrayAttr,
    IntegerAttr,
    MemRefType,
    StringAttr,
    SymbolNameConstraint,
    i64,
)
from xdsl.ir import Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.traits import NoTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import (
    MemorySpace,
    PoolType,
    SpaceAttr,
    machine_dtype,
    memref_bytes,
    memref_of,
    space_of,
)
from npucc.dialects.tile_ops.instruction import string_array


def _dense_memref(type_: MemRefType) -> None:
    machine_dtype(type_.element_type)
    if any(extent < 0 for extent in type_.get_shape()):
        raise VerifyException(f"a buffer needs a static shape, found {type_}")
    if type_.get_strides() != MemRefType(type_.element_type, type_.shape).get_strides():
        raise VerifyException(f"a buffer is dense row-major, found {type_}")


def _address(address: int | None) -> IntegerAttr[I64] | None:
    return None if address is None else IntegerAttr(address, i64)


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A constant tensor in DRAM; its bytes lie in the constant store under the symbol.

    %w = tile.constant @fc1.weight : memref<768x64xf16, #tile.space<dram>>
    """

    name = "tile.constant"

    symbol = prop_def(SymbolNameConstraint())
    result = result_def(MemRefType)

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(Pure())
    assembly_format = "$symbol attr-dict `:` type($result)"

    def __init__(self, symbol: str, type: MemRefType) -> None:
        super().__init__(properties={"symbol": StringAttr(symbol)}, result_types=[type])

    def verify_(self) -> None:
        type_ = memref_of(self.result)
        _dense_memref(type_)
        if space_of(type_) is not MemorySpace.DRAM:
            raise VerifyException(f"a constant lies in dram, found {type_}")


@irdl_op_definition
class AllocOp(IRDLOperation):
    """A buffer that lives across groups: DRAM scratch or a tensor resident in SRAM. Contents start undefined.

    %t = tile.alloc "t" at 4096 : memref<197x768xf16, #tile.space<sram>>
    """

    name = "tile.alloc"

    label = prop_def(StringAttr, prop_name="name")
    address = opt_prop_def(IntegerAttr.constr(i64))
    result = result_def(MemRefType)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$name (`at` $address^)? attr-dict `:` type($result)"

    def __init__(self, type: MemRefType, name: str, address: int | None = None) -> None:
        super().__init__(
            properties={"name": StringAttr(name), "address": _address(address)}, result_types=[type]
        )

    def verify_(self) -> None:
        type_ = memref_of(self.result)
        _dense_memref(type_)
        if space_of(type_) is MemorySpace.ACC:
            raise VerifyException("an accumulator buffer belongs to a group: use tile.pool")
        if isinstance(self.parent_op(), GroupOp) or _inside_group(self):
            raise VerifyException("tile.alloc stands at function level; inside a group use tile.pool")


def _inside_group(op: Operation) -> bool:
    parent = op.parent_op()
    while parent is not None:
        if isinstance(parent, GroupOp):
            return True
        parent = parent.parent_op()
    return False


@irdl_op_definition
class GroupOp(IRDLOperation):
    """The code of one fused group. `nodes` are the ONNX nodes it computes; pools are declared first.

    tile.group "fc1" index 3 nodes ["/fc1/MatMul", "/fc1/Add"] { ... }
    """

    name = "tile.group"

    label = prop_def(StringAttr, prop_name="name")
    index = prop_def(IntegerAttr.constr(i64))
    nodes = prop_def(ArrayAttr[StringAttr])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(NoTerminator())
    assembly_format = "$name `index` $index `nodes` $nodes attr-dict-with-keyword $body"

    def __init__(self, name: str, index: int, nodes: Sequence[str], region: Region) -> None:
        super().__init__(
            properties={
                "name": StringAttr(name),
                "index": IntegerAttr(index, i64),
                "nodes": string_array(nodes),
            },
            regions=[region],
        )

    @property
    def pools(self) -> list[PoolOp]:
        """The pools declared at the top of the group."""
        return [op for op in self.body.block.ops if isinstance(op, PoolOp)]

    def verify_(self) -> None:
        if self.body.block.args:
            raise VerifyException("a group's block has no arguments")
        if _inside_group(self):
            raise VerifyException("groups do not nest")


@irdl_op_definition
class PoolOp(IRDLOperation):
    """A circular buffer of `depth` slots of `slot_bytes` bytes, at the top of a group.

    %ws = tile.pool "ws" in <sram> depth 2 slot_bytes 98304 at 0
    """

    name = "tile.pool"

    label = prop_def(StringAttr, prop_name="name")
    space = prop_def(SpaceAttr)
    depth = prop_def(IntegerAttr.constr(i64))
    slot_bytes = prop_def(IntegerAttr.constr(i64))
    address = opt_prop_def(IntegerAttr.constr(i64))
    result = result_def(PoolType)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$name `in` $space `depth` $depth `slot_bytes` $slot_bytes (`at` $address^)? attr-dict"

    def __init__(
        self, space: str, depth: int, slot_bytes: int, name: str, address: int | None = None
    ) -> None:
        super().__init__(
            properties={
                "name": StringAttr(name),
                "space": SpaceAttr(MemorySpace(space)),
                "depth": IntegerAttr(depth, i64),
                "slot_bytes": IntegerAttr(slot_bytes, i64),
                "address": _address(address),
            },
            result_types=[PoolType()],
        )

    @property
    def bytes(self) -> int:
        """Bytes of all slots."""
        return self.depth.value.data * self.slot_bytes.value.data

    def verify_(self) -> None:
        if self.space.data is MemorySpace.DRAM:
            raise VerifyException("a pool lies in sram or acc; DRAM scratch is a tile.alloc")
        if self.depth.value.data < 1 or self.slot_bytes.value.data < 1:
            raise VerifyException("depth and slot_bytes must be at least 1")
        if not isinstance(self.parent_op(), GroupOp):
            raise VerifyException("a pool is declared directly in a tile.group")
        previous = self.prev_op
        if previous is not None and not isinstance(previous, PoolOp):
            raise VerifyException(f"pools stand first in their group, found {previous.name} before")


@irdl_op_definition
class AcquireOp(IRDLOperation):
    """The next slot of a pool as a dense buffer. Every execution is a new generation; contents are undefined.

    %w = tile.acquire %ws : memref<768x64xf16, #tile.space<sram>>
    """

    name = "tile.acquire"

    pool = operand_def(PoolType)
    result = result_def(MemRefType)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$pool attr-dict `:` type($result)"

    def __init__(self, pool: SSAValue, type: MemRefType) -> None:
        super().__init__(operands=[pool], result_types=[type])

    @property
    def pool_op(self) -> PoolOp:
        """The pool it takes a slot of."""
        owner = self.pool.owner
        assert isinstance(owner, PoolOp)
        return owner

    def verify_(self) -> None:
        type_ = memref_of(self.result)
        _dense_memref(type_)
        if not isinstance(self.pool.owner, PoolOp):
            raise VerifyException("the pool must be the result of a tile.pool")
        pool = self.pool_op
        if space_of(type_) is not pool.space.data:
            raise VerifyException(f"the pool lies in {pool.space.data.value}, found {type_}")
        if memref_bytes(type_) > pool.slot_bytes.value.data:
            raise VerifyException(
                f"{memref_bytes(type_)} bytes do not fit a slot of {pool.slot_bytes.value.data} bytes "
                f'of pool "{pool.label.data}"'
            )
