"""What values of the graph mean: products of dequantized tensors are computed on the stored integers.

A model in QDQ form says DequantizeLinear - Conv - QuantizeLinear, all but the ends in f32. Its importers note here
that a value is `(stored - zero) * scale`; a contraction of two such values becomes one of integers, exact in i32, and
notes the total; QuantizeLinear then multiplies the total by one combined scale, as onnxruntime's QLinearConv and
QLinearMatMul do. The f32 ops in between lose their readers and vanish; where something else reads them, they stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.integer_products import I32, integer_convolution, integer_matmul, zero_point
from npucc.frontend.layout import to_channels_first
from npucc.frontend.node import ImportNode
from npucc.types import element_of, element_type, shape_of

F32 = element_type("f32")
BYTES = (element_type("i8"), element_type("u8"))


@dataclass(frozen=True)
class Dequantized:
    """(stored - zero) * scale in f32. Scale and zero point: rank 0, or one value for each index of `axis`."""

    stored: SSAValue
    scale: SSAValue
    zero: SSAValue | None
    axis: int | None

    def along(self, axis: int) -> bool:
        """Whether the parameters are one per tensor, or one per index of `axis`."""
        return self.axis is None or self.axis == axis


@dataclass(frozen=True)
class IntegerTotal:
    """total (i32) * left * right, the scales broadcast to the total; `operands`: the bytes that were multiplied."""

    total: SSAValue
    left: SSAValue
    right: SSAValue
    operands: tuple[SSAValue, SSAValue]


def note_dequantized(node: ImportNode, result: SSAValue, axis: int) -> None:
    """Record what DequantizeLinear `node` made: inputs x, scale and zero point, per tensor or per index of `axis`."""
    x, scale, zero = node.input(0), node.input(1), node.optional(2)
    per_tensor = shape_of(scale) in ((), (1,))
    if (element_of(scale), element_of(result)) != (F32, F32) or not (per_tensor or len(shape_of(scale)) == 1):
        return
    if per_tensor:
        scale = node.build.reshape(scale, ())
        zero = None if zero is None else node.build.reshape(zero, ())
    node.build.meanings[result] = Dequantized(x, scale, zero, None if per_tensor else axis)


def looked_up(build: GraphBuilder, table: SSAValue, look_up: Callable[[SSAValue], SSAValue]) -> SSAValue:
    """`look_up` of a table; of one that was dequantized with one scale, on the stored numbers.

    A lookup outside of the table gives 0, so the stored 0 must stand for it.
    """
    meaning = build.meanings.get(table)
    if not isinstance(meaning, Dequantized) or meaning.axis is not None:
        return look_up(table)
    if zero_point(build, meaning.zero) is not None:
        return look_up(table)
    rows = replace(meaning, stored=look_up(meaning.stored))
    y = build.mul(build.cast(rows.stored, F32), rows.scale)
    build.meanings[y] = rows
    return y


def _operands(node: ImportNode, indices: Sequence[int]) -> list[Dequantized] | None:
    """The meanings of inputs that are all dequantized bytes; else None."""
    found = [node.build.meanings.get(node.input(index)) for index in indices]
    operands = [each for each in found if isinstance(each, Dequantized) and element_of(each.stored) in BYTES]
    return operands if len(operands) == len(indices) else None


def _real(build: GraphBuilder, meaning: IntegerTotal, bias: SSAValue | None = None) -> SSAValue:
    """The f32 value of a total, noted; plus a bias, which is no part of the total."""
    y = build.mul(build.cast(meaning.total, F32), build.mul(meaning.left, meaning.right))
    if bias is not None:
        return build.add(y, bias)
    build.meanings[y] = meaning
    return y


def dequantized_convolution(node: ImportNode) -> SSAValue | None:
    """Conv whose x and w are dequantized bytes (inputs x, w, bias), channels first; None for others."""
    operands = _operands(node, (0, 1))
    if operands is None or operands[0].axis is not None or not operands[1].along(0) or len(node.shape(0)) < 3:
        return None
    x, w = operands
    build, bias = node.build, node.optional(2)
    stored = None if bias is None else _stored_bias(build, bias, x.scale, w.scale)
    y, rank = integer_convolution(node, x.stored, w.stored, x.zero, w.zero, stored)
    scale = w.scale if w.axis is None else build.reshape(w.scale, (shape_of(w.scale)[0], *[1] * rank))
    left_over = None if bias is None or stored is not None else build.reshape(bias, (shape_of(bias)[0], *[1] * rank))
    total = IntegerTotal(to_channels_first(build, y, rank), x.scale, scale, (x.stored, w.stored))
    return _real(build, total, left_over)


def dequantized_matmul(node: ImportNode, turn_b: bool = False) -> SSAValue | None:
    """MatMul, or Gemm with factors of 1 and a bias as input 2, of dequantized bytes; None for others."""
    operands = _operands(node, (0, 1))
    if operands is None or min(len(node.shape(0)), len(node.shape(1))) < 2:
        return None
    a, b = operands
    build, rank = node.build, len(node.shape(1))
    if turn_b:
        turned = {None: None, 0: 1, 1: 0}[b.axis]
        b = replace(b, stored=build.transpose(b.stored, (1, 0)), axis=turned)
    if a.axis is not None or not b.along(rank - 1):
        return None
    bias = node.optional(2)
    total = integer_matmul(build, a.stored, b.stored, a.zero, b.zero)
    stored = None if bias is None else _stored_bias(build, bias, a.scale, b.scale)
    if stored is not None:
        total, bias = build.add(total, stored), None
    return _real(build, IntegerTotal(total, a.scale, b.scale, (a.stored, b.stored)), bias)


def _stored_bias(build: GraphBuilder, bias: SSAValue, left: SSAValue, right: SSAValue) -> SSAValue | None:
    """The i32 numbers of a bias that was dequantized with the product's own scale; None if it was not."""
    meaning = build.meanings.get(bias)
    if not isinstance(meaning, Dequantized) or element_of(meaning.stored) != I32:
        return None
    known = [build.known(value) for value in (meaning.scale, left, right)]
    if known[0] is None or known[1] is None or known[2] is None:
        return None
    zero = None if meaning.zero is None else build.known(meaning.zero)
    if meaning.zero is not None and (zero is None or zero.any()):
        return None
    return meaning.stored if np.allclose(known[0], known[1] * known[2], rtol=1e-5, atol=0.0) else None


def requantized(node: ImportNode, scale: SSAValue) -> SSAValue | None:
    """For QuantizeLinear with one `scale`: its input divided by the scale, from the integers of a product.

    A Relu or Clip in between (of a known scale) is applied in steps, which is the same, as rounding keeps order. None
    if the input is no such product.
    """
    build, value, step = node.build, node.input(0), node.build.known(scale)
    low: float | None = None
    high: float | None = None
    owner = value.owner
    if isinstance(owner, graph.ReluOp | graph.ClipOp) and step is not None and value not in build.meanings:
        low, high = owner.bounds if isinstance(owner, graph.ClipOp) else (0.0, None)
        value = owner.operands[0]
    meaning = build.meanings.get(value)
    if not isinstance(meaning, IntegerTotal):
        return None
    factor = build.div(build.mul(meaning.left, meaning.right), scale)
    scaled = build.mul(build.cast(meaning.total, F32), factor)
    if step is None or (low is None and high is None):
        return scaled
    low, high = (None if bound is None else float(np.float32(bound) / step.reshape(())) for bound in (low, high))
    return build.emit(graph.ClipOp(scaled, low, high))
