"""Bodies of `tile.map`: the group's element-wise ops as scalar code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.builder import Builder
from xdsl.dialects import arith
from xdsl.dialects.builtin import Float32Type, Float64Type, FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineMap
from xdsl.rewriter import InsertPoint

from npucc.constants import ConstantStore
from npucc.dialects import graph, tile
from npucc.dialects.graph_ops.elementwise import emit_scalar, into_type
from npucc.tiling import Access
from npucc.types import compute_type, element_of


def kernel_region(
    group: graph.GroupOp,
    inputs: Sequence[SSAValue],
    result: SSAValue,
    constants: ConstantStore,
    known: Mapping[SSAValue, float | int | bool] | None = None,
) -> Region:
    """Scalar code that computes `result` (a value of the group's body) from `inputs` (values of the body).

    `known`: values of the body that are the same number everywhere.
    """
    block = Block(arg_types=[compute_type(element_of(value)) for value in inputs])
    builder = Builder(InsertPoint.at_end(block))
    scalars = _Scalars(builder, dict(zip(inputs, block.args)))
    for value, number in (known or {}).items():
        scalars.values[value] = _constant(builder, element_of(value), number)
    for op in group.body.block.ops:
        if isinstance(op, graph.ConstantOp):
            number = constants[op.symbol_name].reshape(-1)[0].item()
            scalars.values[op.results[0]] = _constant(builder, element_of(op.result), number)
        elif isinstance(op, graph.ElementwiseOp):
            scalars.emit(op)
    builder.insert(tile.YieldOp(scalars.values[result]))
    return Region(block)


@dataclass
class _Scalars:
    """The scalar of each value so far. Those of `loose` ops may be no value of their element type: they are
    brought into it when an op needs that; the store at the end does it anyway."""

    builder: Builder
    values: dict[SSAValue, SSAValue]
    loose: set[SSAValue] = field(default_factory=set)

    def emit(self, op: graph.ElementwiseOp) -> None:
        """The scalar code of `op`."""
        if not op.MODULAR:
            self._tighten(op.operands)
        self.values[op.result] = emit_scalar(op, self.builder, [self.values[value] for value in op.operands])
        if op.leaves_type:
            self.loose.add(op.result)

    def _tighten(self, operands: Iterable[SSAValue]) -> None:
        for value in operands:
            if value in self.loose and isinstance(value.owner, graph.ElementwiseOp):
                self.values[value] = into_type(value.owner, self.builder, self.values[value])
                self.loose.discard(value)


def _constant(builder: Builder, element: Attribute, number: float | int | bool) -> SSAValue:
    return builder.insert(arith.ConstantOp(_attribute(compute_type(element), number))).result


def _attribute(
    element: Attribute, value: float | int | bool
) -> FloatAttr[Float32Type] | FloatAttr[Float64Type] | IntegerAttr[IntegerType]:
    if isinstance(element, (Float32Type, Float64Type)):
        return FloatAttr(float(value), element)  # pyright: ignore[reportReturnType]
    if isinstance(element, IntegerType):
        return IntegerAttr(_signed(int(value), element.width.data), element)
    raise TypeError(f"{element} is not a compute type")


def _signed(value: int, bits: int) -> int:
    """The number with these bits in two's complement: u64 constants are i64 scalars."""
    return value - (1 << bits) if bits > 1 and value >= 1 << bits - 1 else value


def access_map(access: Access, result: Access) -> AffineMap:
    """From the dims of the result's tile to the axes of an operand's tile.

    An axis follows the result's axis that the same loops move; an axis that no loop moves is broadcast.
    """
    by_loops = {tuple(d for d, _ in expr.terms): axis for axis, expr in enumerate(result.exprs) if expr.terms}
    exprs = []
    for expr in access.exprs:
        loops = tuple(d for d, _ in expr.terms)
        exprs.append(AffineDimExpr(by_loops[loops]) if loops else AffineConstantExpr(0))
    return AffineMap(len(result.shape), 0, tuple(exprs))
