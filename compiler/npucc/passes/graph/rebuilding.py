"""Rebuild the ops of a function with other element types, in place and in program order."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import ml_dtypes
import numpy as np
from xdsl.dialects import func
from xdsl.dialects.builtin import UnitAttr
from xdsl.ir import Attribute, Operation, SSAValue

from npucc.constants import ConstantStore
from npucc.dialects.graph import CastOp, ConstantOp, ControlOp, GraphOp, YieldOp, nodes_of, with_nodes
from npucc.dialects.graph_ops.elementwise import UNROUNDED
from npucc.passes.graph.rewriting import constant_array, symbol_of
from npucc.types import (
    Array,
    element_name,
    element_of,
    element_type,
    is_float,
    numpy_dtype,
    shape_of,
    tensor,
    tensor_of,
)

F32 = element_type("f32")
GraphOpT = TypeVar("GraphOpT", bound=GraphOp)


class Rebuilder:
    """Maps the values of a function to values of other element types; conversions are made once per value."""

    def __init__(self, function: func.FuncOp, constants: ConstantStore) -> None:
        self.constants = constants
        self.values: dict[SSAValue, SSAValue] = {}
        self._converted: dict[tuple[SSAValue, Attribute], SSAValue] = {}
        self._current: Operation | None = None

    def at(self, op: Operation) -> None:
        """New ops go in front of `op` from now on."""
        self._current = op

    def new(self, value: SSAValue) -> SSAValue:
        """What an original value has become (itself if it is not mapped)."""
        return self.values.get(value, value)

    def insert(self, op: GraphOp, nodes: Sequence[str]) -> SSAValue:
        """Insert a new op."""
        if self._current is None:
            raise RuntimeError("call at() first")
        with_nodes(op, nodes)
        block = self._current.parent_block()
        if block is None:
            raise RuntimeError("the op at hand stands in a block")
        block.insert_op_before(op, self._current)
        return op.result

    def convert(self, value: SSAValue, element: Attribute) -> SSAValue:
        """`value` with another element type: a converted constant, or a cast."""
        if element_of(value) == element:
            return value
        key = (value, element)
        if key not in self._converted:
            self._converted[key] = self._convert(value, element)
        return self._converted[key]

    def _convert(self, value: SSAValue, element: Attribute) -> SSAValue:
        array = constant_array(value, self.constants)
        if array is not None:
            return self.constant(saturated(array, element), f"{symbol_of(value)}.{element_name(element)}")
        owner, made = value.owner, CastOp(value, element)
        # It says how to store: a kernel that goes on with the value need not round it.
        made.attributes[UNROUNDED] = UnitAttr()
        return self.insert(made, nodes_of(owner) if isinstance(owner, Operation) else ())

    def constant(self, array: Array, symbol: str) -> SSAValue:
        """A new constant; `symbol` is made unique."""
        return self.insert(ConstantOp(self.constants.add(symbol, array), tensor_of(array)), ())

    @contextmanager
    def region(self) -> Generator[None]:
        """Conversions that are made meanwhile stand in a region: nothing behind it can read them."""
        outer, self._converted = self._converted, dict(self._converted)
        try:
            yield
        finally:
            self._converted = outer

    def boundary(self, op: ControlOp) -> None:
        """The operands of a loop or branch with the types that it was made for."""
        self.at(op)
        op.operands = [self.convert(self.new(value), element_of(value)) for value in op.operands]

    def rebuild(self, op: GraphOpT, operands: Sequence[SSAValue], element: Attribute) -> GraphOpT:
        """Insert a copy of `op` with other operands and result element type; it stands for `op` from now on."""
        new = type(op).build(
            operands=type(op).grouped(operands),
            result_types=[tensor(shape_of(op.result), element)],
            properties=dict(op.properties),
            attributes=dict(op.attributes),
        )
        self.values[op.result] = self.insert(new, nodes_of(op))
        return new

    def finish(self, terminator: Operation, operands: Sequence[SSAValue]) -> None:
        """Give a terminator its operands; at the end of the function, erase the ops that were replaced."""
        terminator.operands = operands
        if isinstance(terminator, YieldOp):
            return  # values of the region may be needed by what the op behind it captures
        replaced = [value.owner for value in self.values]
        for op in reversed(replaced):
            if isinstance(op, GraphOp) and op.parent is not None and not op.result.first_use:
                op.detach()
                op.erase()


def saturated(array: Array, element: Attribute) -> Array:
    """`array` in another type; finite values beyond its range become its greatest."""
    dtype = numpy_dtype(element)
    if not is_float(element):
        return array.astype(dtype)
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if np.isfinite(converted).all():
        return converted
    end = float(ml_dtypes.finfo(dtype).max)
    bounded = np.where(np.isfinite(array), np.clip(array, -end, end), array)
    return bounded.astype(dtype)
