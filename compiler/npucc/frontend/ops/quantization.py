"""Quantized ops: linear quantization, and products of 8-bit integers with i32 accumulation.

A product of quantized tensors is computed on the raw 8-bit values; the zero points are corrected afterwards:
sum (a - za) (b - zb) = sum a b - za sum b - zb sum a + k za zb.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.convolutions import convolve
from npucc.frontend.layout import to_channels_first, to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.conversion import POWERS, cast_to
from npucc.frontend.ops.convolution import check_channels
from npucc.frontend.ops.elementary import element_of_onnx
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.windows import Window, spatial_rank, windows
from npucc.types import element_of, element_type, integer_limits, is_float, shape_of

I32, F32 = element_type("i32"), element_type("f32")


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
    wide = build.cast(x, F32)
    if zero is not None and not _is_zero(node, 2):
        wide = build.sub(wide, build.cast(zero, F32))
    return build.cast(build.mul(wide, build.cast(scale, F32)), element)


@onnx_op("QuantizeLinear")
def quantize_linear(node: ImportNode) -> SSAValue:
    """saturate(round(x / scale) + zero point); 8-bit floats: saturate(x / scale + zero point)."""
    build, x = node.build, node.input(0)
    rank = len(shape_of(x))
    scale, zero = _parameter(node, 1, rank), _parameter(node, 2, rank)
    if scale is None:
        raise Malformed("QuantizeLinear has a scale", "none")
    if zero is not None:
        element = element_of(zero)
    else:
        asked = node.integer("output_dtype", 0)
        element = element_of_onnx(asked) if asked else element_type("u8")
    scaled = _quotient(node, x, scale)
    zero = None if _is_zero(node, 2) else zero
    if not is_float(element):
        return _saturate(node, scaled, zero, element)
    if zero is not None:
        scaled = build.add(scaled, build.cast(zero, F32))
    return cast_to(build, scaled, element, bool(node.integer("saturate", 1)))


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


def _is_zero(node: ImportNode, index: int) -> bool:
    """Whether an optional input is left out or known to be all 0."""
    known = node.known(index) if node.has(index) else None
    return not node.has(index) or (known is not None and not known.any())


def _saturate(node: ImportNode, x: SSAValue, zero: SSAValue | None, element: Attribute) -> SSAValue:
    """round(x) + zero point, clipped to the range of `element`."""
    build = node.build
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


def _product(node: ImportNode, a: SSAValue, b: SSAValue, zero_a: int, zero_b: int) -> SSAValue:
    """i32 product of 8-bit matrices minus the zero points (inputs `zero_a`, `zero_b` of the node)."""
    build = node.build
    y = build.emit(graph.MatmulOp(a, b, I32))
    za = None if _is_zero(node, zero_a) else _vector(node, zero_a, 2)
    zb = None if _is_zero(node, zero_b) else _vector(node, zero_b, 1)
    if za is not None:
        za = build.cast(za, I32)
        y = build.sub(y, build.mul(_sum(node, b, -2), za))
    if zb is not None:
        zb = build.cast(zb, I32)
        y = build.sub(y, build.mul(_sum(node, a, -1), zb))
    if za is not None and zb is not None:
        depth = build.scalar(shape_of(a)[-1], za)
        y = build.add(y, build.mul(build.mul(za, zb), depth))
    return y


def _sum(node: ImportNode, x: SSAValue, axis: int) -> SSAValue:
    """i32 sum over one axis (kept with size 1)."""
    known = node.build.known(x)
    if known is not None:
        return node.build.constant(known.sum(axis=axis, keepdims=True, dtype=np.int32), f"{node.label}.sums")
    return node.build.reduce(node.build.cast(x, I32), "sum", [axis % len(shape_of(x))])


@onnx_op("MatMulInteger")
def matmul_integer(node: ImportNode) -> SSAValue:
    """i32 product of 8-bit matrices with zero points."""
    return _product(node, *_matrices(node, 1), 2, 3)


def _matrices(node: ImportNode, second: int) -> tuple[SSAValue, SSAValue]:
    a, b = node.input(0), node.input(second)
    if min(len(shape_of(a)), len(shape_of(b))) < 2:
        raise Unsupported("operands of integer products are matrices", f"{shape_of(a)} and {shape_of(b)}")
    return a, b


@onnx_op("QLinearMatMul")
def qlinear_matmul(node: ImportNode) -> SSAValue:
    """Inputs a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero."""
    build = node.build
    product = build.cast(_product(node, *_matrices(node, 3), 2, 5), F32)
    scales = [_vector(node, index, from_end) for index, from_end in ((1, 2), (4, 1), (6, 2))]
    return _requantize(node, product, scales, 7)


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
    y, rank = _convolution(node, 1, 2, 3)
    return to_channels_first(node.build, y, rank)


@onnx_op("QLinearConv")
def qlinear_conv(node: ImportNode) -> SSAValue:
    """Inputs x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias (i32)."""
    build = node.build
    y, rank = _convolution(node, 3, 2, 5)
    bias = node.optional(8)
    y = build.cast(y if bias is None else build.add(y, bias), F32)
    scales = [_vector(node, index, 1) for index in (1, 4, 6)]
    return to_channels_first(build, _requantize(node, y, scales, 7), rank)


def _convolution(node: ImportNode, weights: int, x_zero: int, w_zero: int) -> tuple[SSAValue, int]:
    """Channels-last i32 convolution of x - x_zero with w - w_zero, and the spatial rank.

    sum (x - zx) (w - zw) = sum x w - zx sum w - zw (sum x - k zx), with k the products per result. Padding stands for
    the real value 0, so with a zero point the image is padded with it before the convolution.
    """
    build, x, w = node.build, node.input(0), node.input(weights)
    shape, kernel, groups = shape_of(x), shape_of(w), node.integer("group", 1)
    rank = spatial_rank(node, shape)
    check_channels(kernel, rank, shape[1], groups)
    axes = windows(node, shape[2:], list(kernel[2:]))
    shifted = _without_zero_point(node, w, weights, w_zero)
    w, image = w if shifted is None else shifted, to_channels_last(build, x)
    zero: SSAValue | None = None
    if not _is_zero(node, x_zero):
        zero = build.reshape(node.input(x_zero), ())
        image = _padded(node, image, zero, axes)
        axes = [replace(axis, input=axis.input + axis.before + axis.after, before=0, after=0) for axis in axes]
        zero = build.cast(zero, I32)
    y = convolve(build, image, w, axes, groups, I32)
    if zero is not None:
        sums = build.reshape(_sum(node, build.reshape(w, (kernel[0], prod(kernel[1:]))), 1), (kernel[0],))
        y = build.sub(y, build.mul(sums, zero))
    if shifted is None:
        inner = _window_sums(node, image, axes, groups, kernel)
        if zero is not None:
            inner = build.sub(inner, build.mul(zero, build.scalar(prod(kernel[1:]), zero)))
        y = build.sub(y, build.mul(inner, build.cast(_per_output(node, w_zero), I32)))
    return y, rank


def _per_output(node: ImportNode, index: int) -> SSAValue:
    """A parameter that is one value, or one per output channel."""
    value = node.input(index)
    count = prod(shape_of(value))
    return node.build.reshape(value, () if count == 1 else (count,))


def _window_sums(
    node: ImportNode, image: SSAValue, axes: list[Window], groups: int, kernel: tuple[int, ...]
) -> SSAValue:
    """[n, outputs, co]: what each window of each group of channels sums up to, for each output of the group."""
    build = node.build
    ones = build.constant(np.ones((groups, *kernel[1:]), np.uint8), f"{node.label}.ones")
    sums = convolve(build, image, ones, axes, groups, I32)
    shape = shape_of(sums)[:-1]
    spread = build.expand(build.reshape(sums, (*shape, groups, 1)), (*shape, groups, kernel[0] // groups))
    return build.reshape(spread, (*shape, kernel[0]))


def _without_zero_point(node: ImportNode, w: SSAValue, weights: int, zero: int) -> SSAValue | None:
    """Weights with zero point 0: known ones are shifted, if 8 bits still hold them; else None."""
    if _is_zero(node, zero):
        return w
    point, values = node.known(zero), node.known(weights)
    if point is None or values is None:
        return None
    per_output = point.astype(np.int32).reshape(-1, *[1] * (values.ndim - 1))
    shifted = values.astype(np.int32) - per_output
    for dtype in (np.int8, np.uint8):
        if np.iinfo(dtype).min <= shifted.min(initial=0) and shifted.max(initial=0) <= np.iinfo(dtype).max:
            return node.build.constant(shifted.astype(dtype).reshape(shape_of(w)), f"{node.label}.weights")
    return None


def _padded(node: ImportNode, image: SSAValue, value: SSAValue, axes: list[Window]) -> SSAValue:
    """A channels-last image with its spatial padding filled with `value`."""
    build = node.build
    for axis, window in enumerate(axes, 2 if len(axes) == 1 else 1):
        pieces = [image]
        for position, count in ((0, window.before), (2, window.after)):
            shape = list(shape_of(image))
            shape[axis] = count
            if count:
                pieces.insert(position, build.expand(value, shape))
        image = build.concat(pieces, axis)
    return image
