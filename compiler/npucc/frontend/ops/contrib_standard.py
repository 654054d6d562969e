"""com.microsoft: ops that ONNX took over later, under the same or another name."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.compose import call, import_as
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.contrib_activation import MICROSOFT
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import shape_of

SAME = ("QuantizeLinear", "Trilu", "GatherND", "Pad", "GridSample")
"""Ops whose attributes and inputs are those of ONNX."""


def _register(name: str) -> None:
    @onnx_op(name, domain=MICROSOFT)
    def _import(node: ImportNode) -> list[SSAValue]:
        return import_as(node, name, [node.optional(index) for index in range(len(node.inputs))])


for _name in SAME:
    _register(_name)


@onnx_op("DequantizeLinear", domain=MICROSOFT)
def dequantize_linear(node: ImportNode) -> SSAValue:
    """As ONNX's; 16-bit integers, too."""
    return import_as(node, "DequantizeLinear", [node.optional(index) for index in range(3)])[0]


@onnx_op("QLinearConv", domain=MICROSOFT)
@onnx_op("NhwcMaxPool", domain=MICROSOFT)
def channels_last(node: ImportNode) -> SSAValue:
    """As ONNX's op of that name; x and the result have their channels last (QLinearConv: with `channels_last`)."""
    name = node.op_type.removeprefix("Nhwc")
    inputs = [node.optional(index) for index in range(len(node.inputs))]
    if name == node.op_type and not node.integer("channels_last", 0):
        return import_as(node, name, inputs)[0]
    rank = len(node.shape(0))
    inputs[0] = node.build.transpose(node.input(0), (0, rank - 1, *range(1, rank - 1)))
    return node.build.transpose(import_as(node, name, inputs)[0], (0, *range(2, rank), 1))


@onnx_op("SampleOp", domain=MICROSOFT)
def sample_op(node: ImportNode) -> SSAValue:
    """onnxruntime's example: the identity."""
    return node.input(0)


@onnx_op("Range", domain=MICROSOFT)
def arange(node: ImportNode) -> SSAValue:
    """start, start + delta, ... below limit, of scalars or tensors of one element; delta is 1 by default."""
    start, limit = (node.constant(index, name) for index, name in enumerate(("start", "limit")))
    delta = node.constant(2, "delta") if node.has(2) else np.ones((), start.dtype)
    first, end, step = (array.reshape(-1)[0].item() for array in (start, limit, delta))
    if step == 0:
        raise Malformed("`delta` is not 0", "0")
    values = np.arange(first, end, step, dtype=start.dtype)
    return node.build.constant(values, f"{node.label}.range")


@onnx_op("ExpandDims", domain=MICROSOFT)
def expand_dims(node: ImportNode) -> SSAValue:
    """An axis of size 1 at position `axis` of the result."""
    shape = node.shape(0)
    axis = node.wrap_axis(node.constant_ints(1, "axis")[0], len(shape) + 1)
    return node.build.reshape(node.input(0), (*shape[:axis], 1, *shape[axis:]))


@onnx_op("Inverse", domain=MICROSOFT)
def inverse(node: ImportNode) -> SSAValue:
    """The inverse of square matrices by Gauss-Jordan elimination, which exchanges rows for the greatest pivot.

    The exchange is a product with a matrix of zeros and ones: exact, and made of what the device has.
    """
    build, shape = node.build, node.shape(0)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise Malformed("matrices are square", f"shape {list(shape)}")
    size, rank = shape[-1], len(shape)
    dtype = np.float32
    unit = build.expand(build.constant(np.eye(size, dtype=dtype), f"{node.label}.unit"), shape)
    rows = build.concat([call(node, "Cast", node.input(0), to=1), unit], rank - 1)
    for column in range(size):
        rows = _eliminated(node, rows, column, size)
    result = build.slice_axis(rows, rank - 1, size, size)
    return call(node, "CastLike", result, node.input(0))


def _eliminated(node: ImportNode, rows: SSAValue, column: int, size: int) -> SSAValue:
    """[.., size, 2 size] with 1 on the diagonal of `column` and 0 in the rest of the column."""
    build, rank = node.build, len(shape_of(rows))
    entries = build.slice_axis(rows, rank - 1, column, 1)
    # The greatest entry at or below the diagonal goes up: its row is picked by a one-hot row vector.
    below = (np.arange(size) >= column).astype(np.float32).reshape(size, 1)
    weight = build.mul(build.emit(graph.AbsOp(entries)), build.constant(below, f"{node.label}.below"))
    weight = build.add(weight, build.constant(below - 1, f"{node.label}.above"))
    pivot = call(node, "ArgMax", weight, axis=rank - 2, keepdims=1)
    positions = build.constant(np.arange(size, dtype=np.int64).reshape(size, 1), f"{node.label}.positions")
    chosen = build.emit(graph.EqualOp(positions, pivot))
    zero = build.scalar(0.0, rows)
    top = build.reduce(build.emit(graph.WhereOp(chosen, rows, zero)), "sum", [rank - 2])
    old = build.slice_axis(rows, rank - 2, column, 1)
    swapped = build.emit(graph.WhereOp(chosen, old, rows))
    normal = build.div(top, build.slice_axis(top, rank - 1, column, 1))
    factors = build.slice_axis(swapped, rank - 1, column, 1)
    others = build.sub(swapped, build.mul(factors, normal))
    here = build.constant((np.arange(size) == column).reshape(size, 1), f"{node.label}.here")
    return build.emit(graph.WhereOp(here, normal, others))
