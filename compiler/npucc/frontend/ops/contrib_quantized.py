"""com.microsoft: element-wise ops, pools and joins of linearly quantized tensors, in onnxruntime's own arithmetic.

Where onnxruntime computes in integers or combines the scales beforehand, so do these functions: rounding a value that
lies half-way between two steps depends on it. The others dequantize, compute in f32 and quantize.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.compose import call
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.contrib_activation import MICROSOFT
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, numpy_dtype, shape_of

F32, I32 = element_type("f32"), element_type("i32")


@dataclass(frozen=True)
class Quantized:
    """A quantized operand, or the parameters of the result: its `scale` and zero point are inputs `at` and `at` + 1."""

    node: ImportNode
    at: int

    @property
    def scale(self) -> SSAValue:
        """The scale as an f32 scalar."""
        return self._scalar(self.at)

    @property
    def zero(self) -> SSAValue | None:
        """The zero point as an f32 scalar; None if it is 0."""
        known = self.node.known(self.at + 1) if self.node.has(self.at + 1) else None
        if not self.node.has(self.at + 1) or (known is not None and not known.any()):
            return None
        return self.node.build.cast(self._scalar(self.at + 1), F32)

    def _scalar(self, index: int) -> SSAValue:
        value = self.node.input(index)
        if math.prod(shape_of(value)) != 1:
            raise Unsupported("scale and zero point are one value per tensor", f"shape {list(shape_of(value))}")
        return self.node.build.reshape(value, ())

    def centered(self, x: SSAValue) -> SSAValue:
        """x - zero point in f32 (exact: both have at most 16 bits)."""
        wide, zero = self.node.build.cast(x, F32), self.zero
        return wide if zero is None else self.node.build.sub(wide, zero)

    def real(self, x: SSAValue) -> SSAValue:
        """The real numbers that x stands for."""
        return self.node.build.mul(self.centered(x), self.scale)

    def quantize(self, y: SSAValue, like: SSAValue) -> SSAValue:
        """Real numbers to the quantized type of `like`."""
        return self.saturate(self.node.build.div(y, self.scale), like)

    def saturate(self, scaled: SSAValue, like: SSAValue) -> SSAValue:
        """round(scaled) + zero point, in the type of `like`."""
        y, zero = self.node.build.emit(graph.RoundOp(scaled)), self.zero
        return clipped(self.node, y if zero is None else self.node.build.add(y, zero), like)

    def saturate_shifted(self, scaled: SSAValue, like: SSAValue) -> SSAValue:
        """round(scaled + zero point), in the type of `like`: half-way values go to the even *stored* number."""
        zero = self.zero
        y = scaled if zero is None else self.node.build.add(scaled, zero)
        return clipped(self.node, self.node.build.emit(graph.RoundOp(y)), like)


def clipped(node: ImportNode, y: SSAValue, like: SSAValue) -> SSAValue:
    """Whole numbers in f32, clipped to the integer type of `like`."""
    limits = np.iinfo(numpy_dtype(element_of(like)))
    return node.build.cast(node.build.emit(graph.ClipOp(y, float(limits.min), float(limits.max))), element_of(like))


@onnx_op("QLinearAdd", domain=MICROSOFT)
def qlinear_add(node: ImportNode) -> SSAValue:
    """round(a ra + (b rb + (zc - za ra - zb rb))), ra = sa / sc, rb = sb / sc; inputs A, sa, za, B, sb, zb, sc, zc.

    onnxruntime does these steps with fused multiply-adds, which round once where this rounds twice.
    """
    build, a, b = node.build, node.input(0), node.input(3)
    left, right, result = Quantized(node, 1), Quantized(node, 4), Quantized(node, 6)
    by_a, by_b = build.div(left.scale, result.scale), build.div(right.scale, result.scale)
    offset = result.zero
    for by, zero in ((by_a, left.zero), (by_b, right.zero)):
        if zero is not None:
            offset = build.sub(build.scalar_of(0.0, F32) if offset is None else offset, build.mul(by, zero))
    y = build.mul(build.cast(b, F32), by_b)
    y = y if offset is None else build.add(y, offset)
    return clipped(node, build.emit(graph.RoundOp(build.add(build.mul(build.cast(a, F32), by_a), y))), a)


@onnx_op("QLinearMul", domain=MICROSOFT)
def qlinear_mul(node: ImportNode) -> SSAValue:
    """(a - za) (b - zb) * (sa sb / sc) + zc, then rounded: inputs as those of QLinearAdd."""
    build, a, b = node.build, node.input(0), node.input(3)
    left, right, result = Quantized(node, 1), Quantized(node, 4), Quantized(node, 6)
    factor = build.div(build.mul(left.scale, right.scale), result.scale)
    product = build.mul(left.centered(a), right.centered(b))
    return result.saturate_shifted(build.mul(product, factor), a)


def _through_real(node: ImportNode, function: Callable[[SSAValue], SSAValue]) -> SSAValue:
    """Inputs X, X_scale, X_zero_point, Y_scale, Y_zero_point: dequantize, compute, quantize."""
    x = node.input(0)
    return Quantized(node, 3).quantize(function(Quantized(node, 1).real(x)), x)


@onnx_op("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(node: ImportNode) -> SSAValue:
    """Logistic function."""
    return _through_real(node, lambda x: node.build.emit(graph.SigmoidOp(x)))


@onnx_op("QLinearLeakyRelu", domain=MICROSOFT)
def qlinear_leaky_relu(node: ImportNode) -> SSAValue:
    """x, or alpha * x below 0."""
    return _through_real(node, lambda x: node.build.emit(graph.LeakyReluOp(x, node.number("alpha", 0.01))))


@onnx_op("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(node: ImportNode) -> SSAValue:
    """Softmax along `axis`; of the axes from `axis` on where the attribute `opset` is below 13."""
    shape = node.shape(0)
    axis = node.axis("axis", len(shape), -1)
    if node.integer("opset", 13) >= 13:
        return _through_real(node, lambda x: call(node, "Softmax", x, axis=axis))
    flat = (*shape[:axis], math.prod(shape[axis:]))

    def softmax(x: SSAValue) -> SSAValue:
        return node.build.reshape(call(node, "Softmax", node.build.reshape(x, flat), axis=-1), shape)

    return _through_real(node, softmax)


@onnx_op("QLinearReduceMean", domain=MICROSOFT)
def qlinear_reduce_mean(node: ImportNode) -> SSAValue:
    """Mean over `axes` (all by default)."""
    rank = len(node.shape(0))
    axes = [node.wrap_axis(axis, rank) for axis in node.integers("axes")] or list(range(rank))
    kept = [size for axis, size in enumerate(node.shape(0)) if axis not in axes]
    mean = _through_real(node, lambda x: node.build.mean(x, axes))
    return mean if node.integer("keepdims", 1) else node.build.reshape(mean, kept)


def _channels_first(node: ImportNode, x: SSAValue) -> SSAValue:
    rank = len(shape_of(x))
    return node.build.transpose(x, (0, rank - 1, *range(1, rank - 1))) if node.integer("channels_last", 0) else x


def _as_stored(node: ImportNode, y: SSAValue) -> SSAValue:
    return node.build.transpose(y, (0, *range(2, len(shape_of(y))), 1)) if node.integer("channels_last", 0) else y


@onnx_op("QLinearAveragePool", domain=MICROSOFT)
def qlinear_average_pool(node: ImportNode) -> SSAValue:
    """Means of windows of the real values."""
    x = node.input(0)
    names = ("kernel_shape", "strides", "pads", "auto_pad", "ceil_mode", "count_include_pad")
    options = {name: node.attribute(name) for name in names if node.has_attribute(name)}
    real = _channels_first(node, Quantized(node, 1).real(x))
    return Quantized(node, 3).quantize(_as_stored(node, call(node, "AveragePool", real, **options)), x)


@onnx_op("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(node: ImportNode) -> SSAValue:
    """sum (x - zx) * (sx / (sy * count)), the sum in integers."""
    build, x = node.build, node.input(0)
    shape, source, result = node.shape(0), Quantized(node, 1), Quantized(node, 3)
    rank, last = len(shape), bool(node.integer("channels_last", 0))
    if rank < 3:
        raise Malformed("the input has at least one spatial axis", f"shape {list(shape)}")
    axes = list(range(1, rank - 1)) if last else list(range(2, rank))
    count = math.prod(shape[axis] for axis in axes)
    total = build.cast(build.reduce(build.cast(x, I32), "sum", axes), F32)
    if source.zero is not None:
        total = build.sub(total, build.scaled(source.zero, count))
    factor = build.div(source.scale, build.scaled(result.scale, count))
    return result.saturate(build.mul(total, factor), x)


def _requantized(node: ImportNode, x: SSAValue, source: Quantized, result: Quantized) -> SSAValue:
    """x with the scale and zero point of the result; as it is where they are known to be equal."""
    same = [
        np.array_equal(a, b)
        for a, b in ((node.known(source.at + i), node.known(result.at + i)) for i in (0, 1))
        if a is not None and b is not None
    ]
    return x if same == [True, True] else result.quantize(source.real(x), x)


@onnx_op("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(node: ImportNode) -> SSAValue:
    """Inputs Y_scale, Y_zero_point, then tensor, scale, zero point of each piece."""
    if len(node.inputs) < 5 or (len(node.inputs) - 2) % 3:
        raise Malformed("each piece has a tensor, a scale and a zero point", f"{len(node.inputs)} inputs")
    result, starts = Quantized(node, 0), range(2, len(node.inputs), 3)
    pieces = [_requantized(node, node.input(at), Quantized(node, at + 1), result) for at in starts]
    return node.build.concat(pieces, node.axis("axis", len(node.shape(2))))


@onnx_op("QLinearWhere", domain=MICROSOFT)
def qlinear_where(node: ImportNode) -> SSAValue:
    """Inputs condition, X, sx, zx, Y, sy, zy, sz, zz."""
    result = Quantized(node, 7)
    x = _requantized(node, node.input(1), Quantized(node, 2), result)
    y = _requantized(node, node.input(4), Quantized(node, 5), result)
    return node.build.emit(graph.WhereOp(node.input(0), x, y))
