"""One group: its pools, its loops over tiles with copies, and the instructions of a tile."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from npuisa.alignment import align
from npuisa.target import Target
from xdsl.builder import Builder
from xdsl.dialects import scf
from xdsl.dialects.builtin import IndexType
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from npucc.constants import ConstantStore
from npucc.dialects import graph, tile
from npucc.numpy_kernels import neutral
from npucc.passes.lower_graph.kernels import access_map, kernel_region
from npucc.passes.lower_graph.roots import emit_root
from npucc.passes.lower_graph.views import Box, IndexConstants, Linear, Position, dense, subview, tile_box
from npucc.schedule.cost import WORD_BYTES, axis_lengths
from npucc.schedule.groups import kernel_ops, root_of
from npucc.schedule.indexed import SCATTER
from npucc.schedule.problem import Plan, Problem, Tensor, load_level
from npucc.schedule.segments import segments
from npucc.tiling import Access
from npucc.types import dtype_of, element_of, element_type, numpy_dtype


@dataclass
class GroupLowering:
    """State while the loops of one group are emitted. `buffers` are the memrefs of the group's operands and result."""

    group: graph.GroupOp
    problem: Problem
    plan: Plan
    operands: list[SSAValue]
    result: SSAValue
    constants: ConstantStore
    target: Target
    pools: dict[str, SSAValue] = field(default_factory=dict)
    tiles: dict[str, SSAValue] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)
    indices: IndexConstants = field(init=False)

    def emit(self) -> Region:
        """The body of the `tile.group`."""
        head, block = Block(), Block()
        self.indices = IndexConstants(Builder(InsertPoint.at_end(head)))
        self.positions = [Position(Linear(), 0, dim.size) for dim in self.problem.dims]
        self._declare_pools(Builder(InsertPoint.at_end(head)))
        self._reinterpret_operand(Builder(InsertPoint.at_end(head)))
        if all(dim.size for dim in self.problem.dims if dim.kind != "reduction"):
            self._level(Builder(InsertPoint.at_end(block)), 0)
        first = block.first_op
        for op in list(head.ops):
            op.detach()
            block.insert_op_before(op, first) if first is not None else block.add_op(op)
        return Region(block)

    @property
    def reduces_nothing(self) -> bool:
        """Whether each element of the result is a reduction over no elements (a product with K = 0)."""
        return any(dim.kind == "reduction" and dim.size == 0 for dim in self.problem.dims)

    @property
    def parallel_loops(self) -> int:
        """How many of the loops are parallel; they are the outer ones."""
        return sum(not self.problem.reduction(dim) for dim in self.plan.order)

    def _reinterpret_operand(self, builder: Builder) -> None:
        """A bitcast reads its operand as what it is to be."""
        root = root_of(self.group)
        if isinstance(root, graph.BitcastOp):
            self.operands[0] = builder.insert(tile.BitcastOp(self.operands[0], element_of(root.result))).result

    def _declare_pools(self, builder: Builder) -> None:
        for tensor in self.problem.tensors():
            if tensor.pooled:
                self._pool(builder, tensor.label, tensor.access, "sram")
        access = self.problem.intermediate
        if access is not None:
            self._pool(builder, "acc", access, "acc" if self.problem.work.engine == "mx" else "sram")
        if self.problem.workspace:
            op = tile.PoolOp("sram", 1, align(WORD_BYTES * self.problem.workspace), "work")
            self.pools["work"] = builder.insert(op).results[0]

    def _pool(self, builder: Builder, label: str, access: Access, space: str) -> None:
        sizes = np.array(self.plan.tiles, dtype=np.int64).reshape(-1, 1)
        elements = int(np.prod([int(length[0]) for length in axis_lengths(access, sizes)], dtype=np.int64))
        slot = align(elements * dtype_of(element_type(access.dtype)).bytes)
        op = tile.PoolOp(space, self.plan.depth(label), max(slot, align(1)), label)
        self.pools[label] = builder.insert(op).results[0]

    def _level(self, builder: Builder, level: int) -> None:
        """Everything inside the outermost `level` loops."""
        for index, tensor in enumerate(self.problem.operands):
            if tensor.pooled and load_level(tensor.access, self.plan.order) == level:
                self._load(builder, tensor, self.operands[index])
        if level == self.parallel_loops:
            self._acquire_results(builder)
        if level == self.parallel_loops and self.reduces_nothing:
            self._neutral_element(builder)
        elif level == len(self.plan.order):
            self._root(builder)
        else:
            self._loops(builder, level)
        if level == self.parallel_loops:
            self._finish(builder)

    def _loops(self, builder: Builder, level: int) -> None:
        dim = self.plan.order[level]
        outer = self.positions[dim]
        for segment in segments(self.problem, dim, self.plan.tiles[dim]):
            body = Block(arg_types=[_INDEX])
            variable = body.args[0]
            variable.name_hint = self.problem.dims[dim].name
            bounds = [segment.start, segment.start + segment.count * segment.step, segment.step]
            low, high, step = [self.indices[value] for value in bounds]
            self.positions[dim] = Position(Linear(0, ((variable, 1),)), segment.start, segment.size)
            inner = Builder(InsertPoint.at_end(body))
            self._level(inner, level + 1)
            inner.insert(scf.YieldOp())
            builder.insert(scf.ForOp(low, high, step, [], Region(body)))
        self.positions[dim] = outer

    def _acquire(
        self, builder: Builder, label: str, shape: tuple[int, ...], dtype: str, space: str = "sram"
    ) -> SSAValue:
        type_ = dense(shape, element_type(dtype), space)
        value = builder.insert(tile.AcquireOp(self.pools[label], type_)).results[0]
        value.name_hint = label
        self.tiles[label] = value
        return value

    def _load(self, builder: Builder, tensor: Tensor, source: SSAValue) -> None:
        box = tile_box(tensor.access, self.positions)
        buffer = self._acquire(builder, tensor.label, box.lengths, tensor.access.dtype)
        if 0 not in box.lengths:
            builder.insert(tile.CopyOp(self._view(builder, source, box), buffer, self._channel(tensor)))

    def _channel(self, tensor: Tensor) -> str:
        """Weights and constants on channel 1, the first other operand on 0, further ones on 3."""
        streams = [t.label for t in self.problem.operands if not t.constant]
        channel = 1 if tensor.constant else 0 if tensor.label == streams[0] else 3
        return f"dma{channel % self.target.dma.channels}"

    def _table_channel(self) -> str:
        """The channel that moves the table of a gather or scatter."""
        return self._channel(self.problem.operands[0])

    def _acquire_results(self, builder: Builder) -> None:
        access = self.problem.intermediate
        if access is not None:
            space = "acc" if self.problem.work.engine == "mx" else "sram"
            self._acquire(builder, "acc", self._shape(access), access.dtype, space)
        result = self.problem.result
        if result.pooled:
            self._acquire(builder, "out", self._shape(result.access), result.access.dtype)
        else:
            self.tiles["out"] = self._view(builder, self.result, tile_box(result.access, self.positions))
        if self.problem.work.kind == SCATTER:
            builder.insert(tile.CopyOp(self.operand_tile(builder, 0), self.tiles["out"], self._table_channel()))

    def _view(self, builder: Builder, source: SSAValue, box: Box) -> SSAValue:
        return subview(builder, self.indices, source, box)

    def _shape(self, access: Access) -> tuple[int, ...]:
        return tile_box(access, self.positions).lengths

    def operand_tile(self, builder: Builder, index: int) -> SSAValue:
        """The tile of operand `index` in SRAM: the loaded one, or the part of the resident tensor."""
        tensor = self.problem.operands[index]
        if tensor.pooled:
            return self.tiles[tensor.label]
        return self._view(builder, self.operands[index], tile_box(tensor.access, self.positions))

    def _root(self, builder: Builder) -> None:
        if self.problem.work.kind == "map":
            self._kernel(builder, "vx", root_result=False)
            return
        inputs = [self.operand_tile(builder, i) for i, t in enumerate(self.problem.operands) if not t.epilogue]
        boxes = [tile_box(t.access, self.positions) for t in self.problem.operands if not t.epilogue]
        target = self.tiles["acc" if self.problem.intermediate is not None else "out"]
        emit_root(
            builder,
            self.problem,
            root_of(self.group),
            inputs,
            boxes,
            target,
            self._accumulate(builder),
            self.positions,
            self._table_channel(),
            self._workspace(builder),
        )

    def _workspace(self, builder: Builder) -> SSAValue | None:
        """The scratch memory of the root's instruction, if it needs any."""
        words = self.problem.workspace
        return self._acquire(builder, "work", (words,), "i64") if words else None

    def _accumulate(self, builder: Builder) -> SSAValue | None:
        """An index that is 0 in the first iteration of the reduction loops; None without such loops."""
        loops = [self.positions[dim] for dim in self.plan.order if self.problem.reduction(dim)]
        if not loops or all(position.first == 0 and not position.low.terms for position in loops):
            return None
        if any(position.first > 0 for position in loops):
            return self.indices[1]
        total = Linear()
        for position in loops:
            total = total.plus(position.low)
        value = self.indices.materialise(builder, total)
        return self.indices[value] if isinstance(value, int) else value

    def _finish(self, builder: Builder) -> None:
        """After the reduction loops: the epilogue, and the copy of the result to DRAM."""
        if self.problem.intermediate is not None and not self.reduces_nothing:
            self._kernel(builder, "out" if self.problem.work.engine == "mx" else "vx", root_result=True)
        if self.problem.result.pooled:
            box = tile_box(self.problem.result.access, self.positions)
            channel = f"dma{2 % self.target.dma.channels}"
            builder.insert(tile.CopyOp(self.tiles["out"], self._view(builder, self.result, box), channel))

    def _kernel(self, builder: Builder, engine: str, *, root_result: bool) -> None:
        result = self.problem.result.access
        arguments = self.group.body.block.args
        used = [i for i, t in enumerate(self.problem.operands) if t.epilogue or not root_result]
        values: list[SSAValue] = [arguments[i] for i in used]
        inputs = [self.operand_tile(builder, i) for i in used]
        maps = [access_map(self.problem.operands[i].access, result) for i in used]
        root = root_of(self.group)
        if root_result:
            values, inputs = [root.results[0], *values], [self.tiles["acc"], *inputs]
            maps = [access_map(result, result), *maps]
        elif not kernel_ops(self.group) or root is not kernel_ops(self.group)[0]:
            values = [root.results[0], *values[1:]]
        region = kernel_region(self.group, values, self._yielded(), self.constants)
        builder.insert(tile.MapOp(inputs, self.tiles["out"], maps, engine, region))

    def _yielded(self) -> SSAValue:
        """The group's result inside its body."""
        last = self.group.body.block.last_op
        return last.operands[0] if last is not None else root_of(self.group).results[0]

    def _neutral_element(self, builder: Builder) -> None:
        """The root gives its neutral element everywhere: nothing is left but the epilogue of that number."""
        result, root = self.problem.result.access, root_of(self.group)
        used = [i for i, tensor in enumerate(self.problem.operands) if tensor.epilogue]
        fn = root.fn.data if isinstance(root, graph.ReduceOp) else "sum"
        known: dict[SSAValue, float | int | bool] = {
            root.results[0]: neutral(fn, numpy_dtype(element_of(root.results[0])))
        }
        arguments = [self.group.body.block.args[i] for i in used]
        region = kernel_region(self.group, arguments, self._yielded(), self.constants, known)
        inputs = [self.operand_tile(builder, i) for i in used]
        maps = [access_map(self.problem.operands[i].access, result) for i in used]
        builder.insert(tile.MapOp(inputs, self.tiles["out"], maps, "vx", region))


_INDEX: Attribute = IndexType()
