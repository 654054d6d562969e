"""Bodies of `tile.map`: the group's element-wise ops as scalar code."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.builder import Builder
from xdsl.dialects import arith
from xdsl.dialects.builtin import Float32Type, Float64Type, FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineMap
from xdsl.rewriter import InsertPoint

from npucc.constants import ConstantStore
from npucc.dialects import graph, tile
from npucc.dialects.graph_ops.base import tensor_type
from npucc.dialects.graph_ops.elementwise import emit_scalar
from npucc.tiling import Access
from npucc.types import compute_type


def kernel_region(
    group: graph.GroupOp, inputs: Sequence[SSAValue], result: SSAValue, constants: ConstantStore
) -> Region:
    """Scalar code that computes `result` (a value of the group's body) from `inputs` (values of the body)."""
    block = Block(arg_types=[compute_type(tensor_type(value).element_type) for value in inputs])
    builder = Builder(InsertPoint.at_end(block))
    scalars: dict[SSAValue, SSAValue] = dict(zip(inputs, block.args))
    for op in group.body.block.ops:
        if isinstance(op, graph.ConstantOp):
            scalars[op.results[0]] = _constant(builder, op, constants)
        elif isinstance(op, graph.ElementwiseOp):
            scalars[op.results[0]] = emit_scalar(op, builder, [scalars[value] for value in op.operands])
    builder.insert(tile.YieldOp(scalars[result]))
    return Region(block)


def _constant(builder: Builder, op: graph.ConstantOp, constants: ConstantStore) -> SSAValue:
    element = compute_type(tensor_type(op.results[0]).element_type)
    value = constants[op.symbol_name].reshape(-1)[0]
    return builder.insert(arith.ConstantOp(_attribute(element, value.item()))).result


def _attribute(
    element: Attribute, value: float | int | bool
) -> FloatAttr[Float32Type] | FloatAttr[Float64Type] | IntegerAttr[IntegerType]:
    if isinstance(element, (Float32Type, Float64Type)):
        return FloatAttr(float(value), element)  # pyright: ignore[reportReturnType]
    if isinstance(element, IntegerType):
        return IntegerAttr(int(value), element)
    raise TypeError(f"{element} is not a compute type")


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
