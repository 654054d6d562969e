"""Random tile programs: loops, pools, buffers across groups, every engine; legal, but without any sense.

Tiles are 4 x 4 in f32. Values stay within [-1, 1] (kernels clamp), so that results compare without amplification.
A pool is acquired only where none of its slots is in use that the acquire would take back.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from npucc.dialects.tile import (
    ACC,
    DMA_NAMES,
    DRAM,
    SRAM,
    AcquireOp,
    AllocOp,
    CopyOp,
    FillOp,
    GemmOp,
    GroupOp,
    MapOp,
    NormOp,
    PoolOp,
    SpaceAttr,
    YieldOp,
)
from xdsl.builder import Builder
from xdsl.dialects import arith, func, memref, scf
from xdsl.dialects.builtin import ArrayAttr, FloatAttr, IndexType, MemRefType, ModuleOp, NoneAttr, StringAttr, f32
from xdsl.ir import Block, Region, SSAValue
from xdsl.ir.affine import AffineMap
from xdsl.rewriter import InsertPoint

SIDE = 4
ROWS = 16
SLOT = SIDE * SIDE * 4


def tile_type(space: SpaceAttr) -> MemRefType:
    """One tile."""
    return MemRefType(f32, [SIDE, SIDE], NoneAttr(), space)


def big_type(space: SpaceAttr) -> MemRefType:
    """Four tiles below each other."""
    return MemRefType(f32, [ROWS, SIDE], NoneAttr(), space)


@dataclass(eq=False)
class Buf:
    """A buffer that the generator may use: one tile, or (big) four."""

    value: SSAValue
    space: SpaceAttr
    big: bool = False
    pool: SSAValue | None = None
    readonly: bool = False


@dataclass
class Level:
    """A block under construction."""

    builder: Builder
    buffers: list[Buf]
    counters: list[SSAValue]
    depth: int
    acquired: set[SSAValue] = field(default_factory=set)


class Generator:
    """Makes one program from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.channels = self.rng.sample(DMA_NAMES, self.rng.choice([1, 2, 2, 3]))
        self.pools: dict[SpaceAttr, list[SSAValue]] = {}

    def module(self) -> ModuleOp:
        """A module with @main(x, y): input x, output y, both 16 x 4."""
        block = Block(arg_types=[big_type(DRAM), big_type(DRAM)])
        top = Builder(InsertPoint.at_end(block))
        count = self.rng.randint(1, 4)
        shared = [
            (Buf(block.args[0], DRAM, True, readonly=True), range(count)),
            (Buf(block.args[1], DRAM, True), range(count)),
        ]
        for index in range(self.rng.randint(0, 4)):
            space = self.rng.choice([DRAM, SRAM])
            first = self.rng.randrange(count)
            alloc = top.insert(AllocOp(big_type(space), f"t{index}"))
            shared.append((Buf(alloc.result, space, True), range(first, self.rng.randint(first, count - 1) + 1)))
        for index in range(count):
            visible = [buf for buf, groups in shared if index in groups]
            fresh = [buf for buf, groups in shared if groups[0] == index and not buf.readonly]
            top.insert(self._group(index, visible, fresh))
        top.insert(func.ReturnOp())
        names = {"npucc.inputs": ArrayAttr([StringAttr("x")]), "npucc.outputs": ArrayAttr([StringAttr("y")])}
        main = func.FuncOp("main", ([big_type(DRAM), big_type(DRAM)], []), Region(block))
        main.attributes.update(names)
        return ModuleOp([main])

    def _group(self, index: int, visible: list[Buf], fresh: list[Buf]) -> GroupOp:
        block = Block()
        builder = Builder(InsertPoint.at_end(block))
        self.pools = {SRAM: [], ACC: []}
        for space, least, most in ((SRAM, 1, 4), (ACC, 1, 2)):
            for number in range(self.rng.randint(least, most)):
                pool = PoolOp(space.data.value, self.rng.randint(1, 3), SLOT, f"{space.data.value}{number}")
                self.pools[space].append(builder.insert(pool).result)
        level = Level(builder, list(visible), [], 0)
        for buf in fresh:
            builder.insert(FillOp(buf.value, self.rng.choice([0.0, 0.5, -0.25]), self._dma()))
        self._fill(level)
        return GroupOp(f"g{index}", index, [], Region(block))

    def _dma(self) -> str:
        return self.rng.choice(self.channels)

    def _fill(self, level: Level) -> None:
        steps = [self._acquire, self._acquire, self._instruction, self._instruction, self._instruction]
        if level.depth < 3:
            steps += [self._loop, self._loop]
        for _ in range(self.rng.randint(2, 7 if level.depth < 2 else 4)):
            self.rng.choice(steps)(level)

    def _loop(self, level: Level) -> None:
        bounds = [
            level.builder.insert(arith.ConstantOp.from_int_and_width(n, IndexType())).result
            for n in (0, self.rng.choice([0, 8, 12, 16]), SIDE)
        ]
        body = Block(arg_types=[IndexType()])
        inner = Level(
            Builder(InsertPoint.at_end(body)), list(level.buffers), [*level.counters, body.args[0]], level.depth + 1
        )
        self._fill(inner)
        inner.builder.insert(scf.YieldOp())
        level.builder.insert(scf.ForOp(*bounds, [], Region(body)))

    def _acquire(self, level: Level) -> None:
        """A slot of a pool that no enclosing block uses, written at once by some engine."""
        space = self.rng.choice([SRAM, SRAM, ACC])
        inherited = {buf.pool for buf in level.buffers if buf.pool is not None} - level.acquired
        candidates = [pool for pool in self.pools[space] if pool not in inherited]
        if not candidates:
            return
        pool = self.rng.choice(candidates)
        level.buffers = [buf for buf in level.buffers if buf.pool is not pool]
        level.acquired.add(pool)
        buf = Buf(level.builder.insert(AcquireOp(pool, tile_type(space))).result, space, pool=pool)
        if self._write(level, buf, fresh=True):
            level.buffers.append(buf)

    def _instruction(self, level: Level) -> None:
        targets = [buf for buf in level.buffers if not buf.readonly]
        self._write(level, self.rng.choice(targets), fresh=False)

    def _write(self, level: Level, dst: Buf, fresh: bool) -> bool:
        """An instruction that writes one tile of `dst`; False if there was none (a fresh acc needs operands)."""
        if dst.space == ACC:
            return self._gemm(level, dst, fresh)
        choices = [self._copy, self._fill_one]
        if dst.space == SRAM:
            choices += [self._map, self._map, self._store, self._norm]
        return self.rng.choice(choices)(level, dst, fresh) or self._fill_one(level, dst, fresh)

    def _sources(self, level: Level, *spaces: SpaceAttr, apart_from: Buf | None = None) -> list[Buf]:
        return [buf for buf in level.buffers if buf.space in spaces and buf is not apart_from]

    def _view(self, level: Level, buf: Buf) -> SSAValue:
        """The tile, or one of four: at a fixed row or at a loop counter."""
        if not buf.big:
            return buf.value
        row = self.rng.choice([*level.counters, 0, SIDE, 3 * SIDE])
        source = buf.value.type
        assert isinstance(source, MemRefType)
        type_ = memref.SubviewOp.infer_result_type(source, [row, 0], [SIDE, SIDE], [1, 1])
        return level.builder.insert(memref.SubviewOp.get(buf.value, [row, 0], [SIDE, SIDE], [1, 1], type_)).result

    def _copy(self, level: Level, dst: Buf, fresh: bool) -> bool:
        source = self.rng.choice(self._sources(level, DRAM, SRAM, apart_from=dst))
        level.builder.insert(CopyOp(self._view(level, source), self._view(level, dst), self._dma()))
        return True

    def _fill_one(self, level: Level, dst: Buf, fresh: bool) -> bool:
        level.builder.insert(FillOp(self._view(level, dst), self.rng.choice([0.25, -0.5]), self._dma()))
        return True

    def _gemm(self, level: Level, dst: Buf, fresh: bool) -> bool:
        sources = self._sources(level, SRAM)
        if not sources:
            return False
        a, b = (self._view(level, self.rng.choice(sources)) for _ in range(2))
        accumulate = None if fresh else self.rng.choice([None, *level.counters])
        level.builder.insert(GemmOp(a, b, dst.value, accumulate))
        return True

    def _map(self, level: Level, dst: Buf, fresh: bool) -> bool:
        sources = self._sources(level, SRAM, apart_from=dst)
        inputs = [self._view(level, self.rng.choice(sources)) for _ in range(self.rng.randint(1, 2)) if sources]
        if not fresh and not dst.big and self.rng.random() < 0.5:
            inputs.append(dst.value)
        return self._kernel(level, inputs, dst, "vx") if inputs else False

    def _store(self, level: Level, dst: Buf, fresh: bool) -> bool:
        accumulators = self._sources(level, ACC)
        if not accumulators:
            return False
        others = self._sources(level, SRAM, apart_from=dst)
        inputs = [self.rng.choice(accumulators).value]
        if others and self.rng.random() < 0.5:
            inputs.append(self._view(level, self.rng.choice(others)))
        return self._kernel(level, inputs, dst, "out")

    def _norm(self, level: Level, dst: Buf, fresh: bool) -> bool:
        sources = self._sources(level, SRAM, apart_from=dst)
        if not sources:
            return False
        source = self._view(level, self.rng.choice(sources))
        level.builder.insert(NormOp(source, self._view(level, dst), "softmax"))
        return True

    def _kernel(self, level: Level, inputs: list[SSAValue], dst: Buf, engine: str) -> bool:
        """clamp(in0 - in1 - ...) to [-1, 1]."""
        body = Block(arg_types=[f32] * len(inputs))
        builder = Builder(InsertPoint.at_end(body))
        value: SSAValue = body.args[0]
        for other in body.args[1:]:
            value = builder.insert(arith.SubfOp(value, other)).result
        one, minus = (builder.insert(_constant(v)) for v in (1.0, -1.0))
        value = builder.insert(arith.MaximumfOp(value, minus.result)).result
        value = builder.insert(arith.MinimumfOp(value, one.result)).result
        builder.insert(YieldOp(value))
        maps = [AffineMap.identity(2)] * len(inputs)
        level.builder.insert(MapOp(inputs, self._view(level, dst), maps, engine, Region(body)))
        return True


def _constant(value: float) -> arith.ConstantOp:
    return arith.ConstantOp(FloatAttr(value, f32))
