"""Quantized ops: linear quantization, and products of 8-bit integers with i32 accumulation."""

from __future__ import annotations

import numpy as np
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.dequantized import note_dequantized, requantized
from npucc.frontend.integer_products import WholeNumber, integer_convolution, integer_matmul
from npucc.frontend.layout import to_channels_first
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.conversion import POWERS, cast_to
from npucc.frontend.ops.elementary import element_of_onnx
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, integer_limits, is_float, shape_of

F32 = element_type("f32")


def _parameter(node: ImportNode, index: int, rank: int) -> SSAValue | None:
    """A scale or zero point, shaped to broadcast: one value, one per channel of `axis`, or one per block."""
    value = node.optional(index)
    if value is None:
        return None
    shape, build = shape_of(value), node.build
    if len(shape) == 0 or shape == (1,):
        return build.reshape(value, ())
    data = node.shape(0)
    axis = 0 if rank == 1 else node.axis("axis", rank, 1)
    if len(shape) == 1:
        if shape[0] != data[axis]:
            raise Malformed("scale and zero point have one value per channel", f"{list(shape)} for {list(data)}")
        return build.reshape(value, [size if i == axis else 1 for i, size in enumerate(data)])
    block = node.integer("block_size", 0)
    if block < 1 or len(shape) != rank or -(-data[axis] // block) != shape[axis]:
        raise Malformed(
            "blocks of `block_size` make up the axis", f"{list(shape)} for {list(data)}, block_size {block}"
        )
    spread = build.expand(
        build.reshape(value, (*shape[: axis + 1], 1, *shape[axis + 1 :])),
        (*shape[: axis + 1], block, *shape[axis + 1 :]),
    )
    repeated = build.reshape(spread, (*shape[:axis], shape[axis] * block, *shape[axis + 1 :]))
    return build.slice_axis(repeated, axis, 0, data[axis])


@onnx_op("DequantizeLinear")
def dequantize_linear(node: ImportNode) -> SSAValue:
    """(x - zero point) * scale, computed in f32 and rounded once to the type of the result."""
    build, x = node.build, node.input(0)
    rank = len(shape_of(x))
    scale, zero = _parameter(node, 1, rank), _parameter(node, 2, rank)
    if scale is None:
        raise Malformed("DequantizeLinear has a scale", "none")
    asked = node.integer("output_dtype", 0)
    element = element_of_onnx(asked) if asked else element_of(scale)
    if element == POWERS:
        raise Malformed("scales of float8e8m0 need `output_dtype`", "none")
    zero = None if _is_zero(node, 2) else zero
    y = _dequantized_array(build, x, scale, zero)
    if y is None:
        wide = build.cast(x, F32)
        wide = wide if zero is None else build.sub(wide, build.cast(zero, F32))
        y = build.mul(wide, build.cast(scale, F32))
    y = build.cast(y, element)
    note_dequantized(node, y, node.integer("axis", 1) % max(rank, 1))
    return y


def _dequantized_array(build: GraphBuilder, x: SSAValue, scale: SSAValue, zero: SSAValue | None) -> SSAValue | None:
    """(x - zero) * scale as an f32 constant, if all are known."""
    array, factor = build.known(x), build.known(scale)
    shift = np.zeros((), np.float32) if zero is None else build.known(zero)
    if array is None or factor is None or shift is None:
        return None
    with np.errstate(all="ignore"):
        values = (array.astype(np.float32) - shift.astype(np.float32)) * factor.astype(np.float32)
    return build.constant(values, f"{build.node}.values")


@onnx_op("QuantizeLinear")
def quantize_linear(node: ImportNode) -> SSAValue:
    """saturate(round(x / scale) + zero point); 8-bit floats: saturate(x / scale + zero point)."""
    x = node.input(0)
    rank = len(shape_of(x))
    scale, zero = _parameter(node, 1, rank), _parameter(node, 2, rank)
    if scale is None:
        raise Malformed("QuantizeLinear has a scale", "none")
    if zero is not None:
        element = element_of(zero)
    else:
        asked = node.integer("output_dtype", 0)
        element = element_of_onnx(asked) if asked else element_type("u8")
    scaled = requantized(node, scale) if element_of(scale) == F32 and not shape_of(scale) else None
    scaled = _quotient(node, x, scale) if scaled is None else scaled
    return _saturate(node, scaled, None if _is_zero(node, 2) else zero, element)


def _quotient(node: ImportNode, x: SSAValue, scale: SSAValue) -> SSAValue:
    """x / scale as f32, rounded to the type that ONNX divides in: `precision`, else that of the scale.

    Scales that are integers or float8e8m0 cannot be divided by in their own type: then that of x, or f32.
    """
    build, asked = node.build, node.integer("precision", 0)
    element = element_of_onnx(asked) if asked else element_of(scale)
    if element == POWERS or not is_float(element):
        element = element_of(x) if is_float(element_of(x)) else F32
    operands = [build.cast(build.cast(value, element), F32) for value in (x, scale)]
    # The quotient in f32 of numbers with at most 11 significant bits, rounded again, is the rounded quotient.
    return build.cast(build.cast(build.div(*operands), element), F32)


@onnx_op("DynamicQuantizeLinear")
def dynamic_quantize_linear(node: ImportNode) -> list[SSAValue]:
    """x in u8 with the scale and zero point that cover its range and 0; outputs y, scale, zero point.

    All zeros have the scale 1, as in onnxruntime (the standard's body divides 0 by 0).
    """
    build, x = node.build, node.input(0)
    axes = list(range(len(shape_of(x))))
    low = build.emit(graph.ClipOp(build.reduce(x, "min", axes), None, 0.0))
    high = build.emit(graph.ReluOp(build.reduce(x, "max", axes)))
    extent = build.sub(high, low)
    is_flat = build.emit(graph.EqualOp(extent, build.scalar(0.0, extent)))
    scale = build.emit(graph.WhereOp(is_flat, build.scalar(1.0, extent), build.divided(extent, 255.0)))
    wanted = build.sub(build.scalar(0.0, low), build.div(low, scale))
    zero = build.emit(graph.RoundOp(build.emit(graph.ClipOp(wanted, 0.0, 255.0))))
    steps = build.add(build.emit(graph.RoundOp(build.div(x, scale))), zero)
    y = build.cast(build.emit(graph.ClipOp(steps, 0.0, 255.0)), element_type("u8"))
    zero = build.reshape(zero, ())
    stored = build.cast(zero, element_type("u8"))
    build.meanings[stored] = WholeNumber(zero)
    return [y, build.reshape(scale, ()), stored]


def _is_zero(node: ImportNode, index: int) -> bool:
    """Whether an optional input is left out or known to be all 0."""
    known = node.known(index) if node.has(index) else None
    return not node.has(index) or (known is not None and not known.any())


def _saturate(node: ImportNode, x: SSAValue, zero: SSAValue | None, element: Attribute) -> SSAValue:
    """round(x) + zero point, clipped to the range of `element`; 8-bit floats: x + zero point, as `saturate` says."""
    build = node.build
    if is_float(element):
        y = x if zero is None else build.add(x, build.cast(zero, F32))
        return cast_to(build, y, element, bool(node.integer("saturate", 1)))
    low, high = integer_limits(element)
    y = build.emit(graph.RoundOp(x))
    if zero is not None:
        y = build.add(y, build.cast(zero, element_of(y)))
    return build.cast(build.emit(graph.ClipOp(y, low, high)), element)


def _vector(node: ImportNode, index: int, axis_from_end: int) -> SSAValue | None:
    """A zero point or scale that is one value, or one per row (2) or column (1); None if it is absent."""
    value = node.optional(index)
    if value is None:
        return None
    shape = shape_of(value)
    if len(shape) > 1:
        return value
    count = shape[0] if shape else 1
    return node.build.reshape(value, () if count == 1 else (count, *[1] * (axis_from_end - 1)))


@onnx_op("MatMulInteger")
def matmul_integer(node: ImportNode) -> SSAValue:
    """i32 product of 8-bit matrices (or vectors, as in NumPy) with zero points."""
    a, b = _matrices(node, 1)
    product = integer_matmul(node.build, a, b, _vector(node, 2, 2), _vector(node, 3, 1))
    return _without_added_axes(node, 1, product)


def _matrices(node: ImportNode, second: int) -> tuple[SSAValue, SSAValue]:
    """Both operands of a product; a vector as one row or one column."""
    a, b = node.input(0), node.input(second)
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        raise Malformed("operands of a product have axes", f"{list(left)} and {list(right)}")
    return (
        node.build.reshape(a, (1, *left)) if len(left) == 1 else a,
        node.build.reshape(b, (*right, 1)) if len(right) == 1 else b,
    )


def _without_added_axes(node: ImportNode, second: int, product: SSAValue) -> SSAValue:
    """The product without the axes that `_matrices` gave to vectors."""
    *batch, rows, columns = shape_of(product)
    row = [rows] if len(shape_of(node.input(0))) > 1 else []
    column = [columns] if len(shape_of(node.input(second))) > 1 else []
    return node.build.reshape(product, (*batch, *row, *column))


@onnx_op("QLinearMatMul")
def qlinear_matmul(node: ImportNode) -> SSAValue:
    """Inputs a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero."""
    build = node.build
    a, b = _matrices(node, 3)
    zeros = _vector(node, 2, 2), _vector(node, 5, 1)
    if is_float(element_of(a)) or is_float(element_of(b)):
        product = build.matmul(*(_centered(build, x, zero) for x, zero in zip((a, b), zeros)))
    else:
        product = build.cast(integer_matmul(build, a, b, *zeros), F32)
    scales = [_vector(node, index, from_end) for index, from_end in ((1, 2), (4, 1), (6, 2))]
    return _without_added_axes(node, 3, _requantize(node, product, scales, 7))


def _centered(build: GraphBuilder, x: SSAValue, zero: SSAValue | None) -> SSAValue:
    """x - zero point in f32: exact for types of 8 bits."""
    wide = build.cast(x, F32)
    return wide if zero is None else build.sub(wide, build.cast(zero, F32))


def _requantize(node: ImportNode, product: SSAValue, scales: list[SSAValue | None], zero: int) -> SSAValue:
    """product * a_scale * b_scale / y_scale, rounded and saturated to the type of the zero point (input `zero`)."""
    build = node.build
    a, b, y = (build.cast(scale, F32) for scale in scales if scale is not None)
    factor = build.div(build.mul(a, b), y)
    offset = node.input(zero)
    if len(shape_of(offset)) == 1:
        offset = build.reshape(offset, () if shape_of(offset)[0] == 1 else (*shape_of(offset), 1))
    scaled = build.mul(product, factor)
    return _saturate(node, scaled, None if _is_zero(node, zero) else offset, element_of(node.input(zero)))


@onnx_op("ConvInteger")
def conv_integer(node: ImportNode) -> SSAValue:
    """i32 convolution of 8-bit tensors; inputs x, w, x_zero, w_zero."""
    y, rank = integer_convolution(node, node.input(0), node.input(1), node.optional(2), node.optional(3))
    return to_channels_first(node.build, y, rank)


@onnx_op("QLinearConv")
def qlinear_conv(node: ImportNode) -> SSAValue:
    """Inputs x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias (i32)."""
    y, rank = integer_convolution(node, node.input(0), node.input(3), *(node.optional(index) for index in (2, 5, 8)))
    scales = [_vector(node, index, 1) for index in (1, 4, 6)]
    return to_channels_first(node.build, _requantize(node, node.build.cast(y, F32), scales, 7), rank)
