"""Builds small planned tile programs for tests; everything of the tile dialect in a few characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from npucc.dialects import tile
from npucc.types import element_type
from xdsl.builder import Builder, InsertPoint
from xdsl.dialects import arith, func, memref, scf
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    IndexType,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    StringAttr,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.ir.affine import AffineMap

Shape = Sequence[int]


def memref_type(shape: Shape, dtype: str, space: str) -> MemRefType:
    """A dense memref in a space."""
    return MemRefType(element_type(dtype), shape, memory_space=tile.SpaceAttr(tile.MemorySpace(space)))


class TileProgram:
    """A module with @main; pools and buffers are placed one after the other in their space."""

    def __init__(self, inputs: dict[str, tuple[Shape, str]], outputs: dict[str, tuple[Shape, str]]) -> None:
        types = [memref_type(shape, dtype, "dram") for shape, dtype in [*inputs.values(), *outputs.values()]]
        function = func.FuncOp("main", (types, []), Region(Block(arg_types=types)))
        function.attributes["npucc.inputs"] = ArrayAttr(StringAttr(name) for name in inputs)
        function.attributes["npucc.outputs"] = ArrayAttr(StringAttr(name) for name in outputs)
        self.module = ModuleOp([function])
        self.args = dict(zip([*inputs, *outputs], function.body.block.args))
        self.builder = Builder(InsertPoint.at_end(function.body.block))
        self._top = {"dram": 0, "sram": 0, "acc": 0}
        self._groups = count()

    def finish(self, semaphores: dict[str, int] | None = None) -> ModuleOp:
        """The verified module."""
        self.builder.insert(func.ReturnOp())
        table = {name: IntegerAttr(value, i64) for name, value in (semaphores or {}).items()}
        self.module.attributes["npucc.semaphores"] = DictionaryAttr(table)
        self.module.verify()
        return self.module

    def _place(self, space: str, size: int) -> int:
        address = self._top[space]
        self._top[space] = -(-(address + size) // 64) * 64
        return address

    def constant(self, symbol: str, shape: Shape, dtype: str) -> SSAValue:
        """`tile.constant`."""
        return self.builder.insert(tile.ConstantOp(symbol, memref_type(shape, dtype, "dram"))).result

    def alloc(self, name: str, shape: Shape, dtype: str, space: str) -> SSAValue:
        """`tile.alloc` with an address."""
        type_ = memref_type(shape, dtype, space)
        address = self._place(space, tile.memref_bytes(type_))
        return self.builder.insert(tile.AllocOp(type_, name, address)).result

    @contextmanager
    def group(self, name: str, nodes: Sequence[str] = ()) -> Iterator[None]:
        """Code of a group."""
        block, outer = Block(), self.builder
        outer.insert(tile.GroupOp(name, next(self._groups), nodes, Region(block)))
        self.builder = Builder(InsertPoint.at_end(block))
        yield
        self.builder = outer

    def pool(self, name: str, space: str, depth: int, slot: int) -> SSAValue:
        """`tile.pool` with an address."""
        address = self._place(space, depth * slot)
        return self.builder.insert(tile.PoolOp(space, depth, slot, name, address)).result

    def acquire(self, pool: SSAValue, shape: Shape, dtype: str) -> SSAValue:
        """`tile.acquire`."""
        owner = pool.owner
        assert isinstance(owner, tile.PoolOp)
        type_ = memref_type(shape, dtype, owner.space.data.value)
        return self.builder.insert(tile.AcquireOp(pool, type_)).result

    def index(self, value: int) -> SSAValue:
        """An index constant."""
        return self.builder.insert(arith.ConstantOp(IntegerAttr(value, IndexType()))).result

    @contextmanager
    def loop(self, lower: int, upper: int, step: int) -> Iterator[SSAValue]:
        """`scf.for`."""
        block = Block(arg_types=[IndexType()])
        bounds = [self.index(value) for value in (lower, upper, step)]
        self.builder.insert(scf.ForOp(*bounds, [], Region(block)))
        outer, self.builder = self.builder, Builder(InsertPoint.at_end(block))
        yield block.args[0]
        self.builder.insert(scf.YieldOp())
        self.builder = outer

    def view(self, source: SSAValue, offsets: Sequence[int | SSAValue], sizes: Shape, steps: Shape = ()) -> SSAValue:
        """`memref.subview`."""
        steps = list(steps) or [1] * len(sizes)
        type_ = tile.memref_of(source)
        result = memref.SubviewOp.infer_result_type(type_, offsets, sizes, steps)
        return self.builder.insert(memref.SubviewOp.get(source, offsets, sizes, steps, result)).result

    def add(self, op: Operation, waits: Sequence[str] = (), posts: Sequence[str] = ()) -> None:
        """An instruction with its semaphores."""
        if isinstance(op, tile.InstructionOp) and (waits or posts):
            op.set_sync(waits, posts)
        self.builder.insert(op)

    def map(
        self,
        inputs: Sequence[SSAValue],
        dst: SSAValue,
        types: Sequence[Attribute],
        body: Callable[..., SSAValue],
        maps: Sequence[AffineMap] | None = None,
        engine: str = "vx",
        waits: Sequence[str] = (),
        posts: Sequence[str] = (),
    ) -> None:
        """`tile.map`; `body(builder, *scalars)` returns the value to store."""
        block = Block(arg_types=types)
        builder = Builder(InsertPoint.at_end(block))
        builder.insert(tile.YieldOp(body(builder, *block.args)))
        rank = len(tile.memref_of(dst).get_shape())
        maps = maps or [AffineMap.identity(rank)] * len(inputs)
        self.add(tile.MapOp(inputs, dst, maps, engine, Region(block)), waits, posts)
