"""Buffers of the function: a memref for every tensor between groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from xdsl.builder import Builder
from xdsl.dialects import func, memref
from xdsl.dialects.builtin import MemRefType, NoneAttr, StridedLayoutAttr
from xdsl.ir import Attribute, Block, BlockArgument, Operation, SSAValue

from npucc.analysis.views import resolve_view
from npucc.dialects import graph, tile
from npucc.dialects.graph_ops.base import nodes_of, tensor_type
from npucc.passes.lower_graph.views import Box, IndexConstants, Linear, dense, subview
from npucc.schedule.spaces import is_on_chip
from npucc.schedule.storage import Demand, Storage


@dataclass
class Place:
    """Where the buffers and views of the values of one block are made: the head of its tile block.

    `counter`: the number of the step, in the body of a loop.
    """

    builder: Builder
    indices: IndexConstants
    counter: SSAValue | None = None

    @staticmethod
    def at(builder: Builder, counter: SSAValue | None = None) -> Place:
        """A place with no constants yet."""
        return Place(builder, IndexConstants(builder), counter)


@dataclass
class Buffers:
    """Creates each buffer once, when it is first asked for, at the head of the block whose value it holds.

    A tensor made in the body of a loop has a buffer there, one per step; others live through the loops that use
    them.
    """

    storage: Storage
    arguments: Mapping[SSAValue, SSAValue]
    results: list[SSAValue]
    places: dict[Block, Place] = field(default_factory=dict[Block, Place])
    _memrefs: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])

    def of(self, value: SSAValue) -> SSAValue:
        """The memref that holds a tensor value of the graph function."""
        if value not in self._memrefs:
            self._memrefs[value] = self.arguments[value] if value in self.arguments else self._make(value)
        return self._memrefs[value]

    def _place(self, value: SSAValue) -> Place:
        owner = value.owner
        block = owner if isinstance(owner, Block) else owner.parent_block()
        if block is None:
            raise TypeError("a value of a function stands in a block")
        return self.places[block]

    def _make(self, value: SSAValue) -> SSAValue:
        demand = self.storage.demands.get(value)
        if demand is not None:
            return self._demanded(demand, value)
        if isinstance(value, BlockArgument):
            return self._argument(value)
        owner = value.owner
        if isinstance(owner, graph.ReshapeOp):
            return self._reshaped(self.of(owner.operands[0]), value)
        type_ = tensor_type(value)
        builder = self._place(value).builder
        if isinstance(owner, graph.ConstantOp):
            memref_type = dense(type_.get_shape(), type_.element_type, "dram")
            return builder.insert(tile.ConstantOp(owner.symbol_name, memref_type)).results[0]
        if not isinstance(owner, Operation):
            raise TypeError("a function argument has a buffer from the start")
        memref_type = dense(type_.get_shape(), type_.element_type, "sram" if is_on_chip(value) else "dram")
        name = next(iter(nodes_of(owner)), owner.name)
        return builder.insert(tile.AllocOp(memref_type, name)).results[0]

    def _demanded(self, demand: Demand, value: SSAValue) -> SSAValue:
        """The memory that `value` has to be written into."""
        if isinstance(demand.user, func.ReturnOp):
            return self.results[demand.index]
        if isinstance(demand.user, graph.ReshapeOp):
            return self._reshaped(self.of(demand.user.results[0]), value)
        if demand.result is None:
            return self._part(demand.user, demand.index, value)
        loop = demand.user.parent_op()
        if isinstance(demand.user, graph.YieldOp) and isinstance(loop, graph.LoopOp):
            index = demand.index - len(loop.carried)
            if index >= 0:
                return self._element(self.of(demand.result), value, loop, loop.reverses_stacked(index))
        return self.of(demand.result)

    def _argument(self, value: BlockArgument) -> SSAValue:
        """What a step of a loop gets: the buffer of a carried value, or its element of a scanned one."""
        loop = value.block.parent_op()
        if not isinstance(loop, graph.LoopOp):
            raise TypeError("only loops have regions with arguments")
        index = value.index - len(loop.carried)
        if index < 0:
            return self.of(loop.results[value.index])
        return self._element(self.of(loop.scanned[index]), value, loop, loop.reverses_scanned(index))

    def _element(self, source: SSAValue, value: SSAValue, loop: graph.LoopOp, is_reversed: bool) -> SSAValue:
        """The part of a scanned or stacked buffer that belongs to the present step, without axis 0."""
        place = self._place(value)
        if place.counter is None:
            raise TypeError("elements are taken in the body of a loop")
        last = (loop.step_limit or 1) - 1
        step = Linear(last, ((place.counter, -1),)) if is_reversed else Linear(0, ((place.counter, 1),))
        shape = tensor_type(value).get_shape()
        offset = place.indices.materialise(place.builder, step)
        offsets: list[SSAValue | int] = [offset, *(0 for _ in shape)]
        sizes, strides = [1, *shape], [1] * (len(shape) + 1)
        type_ = cast("MemRefType[Attribute]", source.type)
        inferred = memref.SubviewOp.infer_result_type(type_, offsets, sizes, strides)
        layout = StridedLayoutAttr((inferred.get_strides() or [])[1:], inferred.get_offset())
        reduced = MemRefType(type_.element_type, shape, layout, type_.memory_space)
        return place.builder.insert(memref.SubviewOp.get(source, offsets, sizes, strides, reduced)).results[0]

    def _part(self, concat: Operation, index: int, value: SSAValue) -> SSAValue:
        """The slice of a concatenation's buffer that operand `index` is written into."""
        if not isinstance(concat, graph.ConcatOp):
            raise TypeError(f"{concat.name} cannot demand a buffer")
        axis, start = concat.axis_index, concat.offsets[index]
        shape = tensor_type(value).get_shape()
        offsets = tuple(Linear(start if i == axis else 0) for i in range(len(shape)))
        box = Box(offsets, tuple(shape), (1,) * len(shape), (0,) * len(shape))
        place = self._place(value)
        return subview(place.builder, place.indices, self.of(concat.results[0]), box)

    def _reshaped(self, source: SSAValue, value: SSAValue) -> SSAValue:
        """A buffer whose elements lie densely, seen with the shape of `value`."""
        type_ = cast("MemRefType[Attribute]", source.type)
        shape = tensor_type(value).get_shape()
        wanted = MemRefType(type_.element_type, shape, memory_space=type_.memory_space)
        if wanted == type_:
            return source
        place = self._place(value)
        start = resolve_view(source).offset
        offset = place.indices.materialise(place.builder, Linear(start.constant, start.terms))
        strides = [s or 0 for s in wanted.get_strides() or ()]
        if offset != 0:
            layout = StridedLayoutAttr(strides, offset if isinstance(offset, int) else NoneAttr())
            wanted = MemRefType(type_.element_type, shape, layout, type_.memory_space)
        cast_op = memref.ReinterpretCastOp.from_dynamic(source, [offset], list(shape), strides, wanted)
        return place.builder.insert(cast_op).results[0]
