"""Buffers of the function: a memref for every tensor between groups."""

from __future__ import annotations

from typing import cast

from xdsl.builder import Builder
from xdsl.dialects import func, memref
from xdsl.dialects.builtin import MemRefType, StringAttr
from xdsl.ir import Attribute, Operation, SSAValue

from npucc.dialects import graph, tile
from npucc.dialects.graph_ops.base import SPACE, nodes_of, tensor_type
from npucc.passes.lower_graph.views import Box, IndexConstants, Linear, dense, subview
from npucc.schedule.storage import Storage


class Buffers:
    """Creates each buffer once, at the top of the function, when it is first asked for."""

    def __init__(
        self, storage: Storage, builder: Builder, arguments: dict[SSAValue, SSAValue], results: list[SSAValue]
    ) -> None:
        self._storage, self._builder = storage, builder
        self._memrefs: dict[SSAValue, SSAValue] = dict(arguments)
        self._results = results

    def of(self, value: SSAValue) -> SSAValue:
        """The memref that holds a tensor value of the graph function."""
        if value not in self._memrefs:
            self._memrefs[value] = self._make(value)
        return self._memrefs[value]

    def _make(self, value: SSAValue) -> SSAValue:
        demand = self._storage.demands.get(value)
        if demand is not None:
            if isinstance(demand.user, func.ReturnOp):
                return self._results[demand.index]
            if isinstance(demand.user, graph.ReshapeOp):
                return self._reshaped(self.of(demand.user.results[0]), value)
            return self._part(demand.user, demand.index, value)
        owner = value.owner
        if isinstance(owner, graph.ReshapeOp):
            return self._reshaped(self.of(owner.operands[0]), value)
        type_ = tensor_type(value)
        if isinstance(owner, graph.ConstantOp):
            memref_type = dense(type_.get_shape(), type_.element_type, "dram")
            return self._builder.insert(tile.ConstantOp(owner.symbol_name, memref_type)).results[0]
        space, name = _space_and_name(owner)
        memref_type = dense(type_.get_shape(), type_.element_type, space)
        return self._builder.insert(tile.AllocOp(memref_type, name)).results[0]

    def _part(self, concat: Operation, index: int, value: SSAValue) -> SSAValue:
        """The slice of a concatenation's buffer that operand `index` is written into."""
        if not isinstance(concat, graph.ConcatOp):
            raise TypeError(f"{concat.name} cannot demand a buffer")
        axis, start = concat.axis_index, concat.offsets[index]
        shape = tensor_type(value).get_shape()
        offsets = tuple(Linear(start if i == axis else 0) for i in range(len(shape)))
        box = Box(offsets, tuple(shape), (1,) * len(shape), (0,) * len(shape))
        return subview(self._builder, IndexConstants(self._builder), self.of(concat.results[0]), box)

    def _reshaped(self, source: SSAValue, value: SSAValue) -> SSAValue:
        """A dense buffer seen with the shape of `value`."""
        type_ = cast("MemRefType[Attribute]", source.type)
        shape = tensor_type(value).get_shape()
        wanted = MemRefType(type_.element_type, shape, memory_space=type_.memory_space)
        if wanted == type_:
            return source
        strides = wanted.get_strides()
        cast_op = memref.ReinterpretCastOp.from_dynamic(
            source, [0], list(shape), [s or 0 for s in strides or ()], wanted
        )
        return self._builder.insert(cast_op).results[0]


def _space_and_name(owner: object) -> tuple[str, str]:
    if not isinstance(owner, Operation):
        raise TypeError("a function argument has a buffer from the start")
    space = owner.attributes.get(SPACE)
    name = next(iter(nodes_of(owner)), owner.name)
    return (space.data if isinstance(space, StringAttr) else "dram"), name
