"""com.microsoft: products of quantized matrices with float or quantized results, also with scales found at run time."""

from __future__ import annotations

import math

from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder
from npucc.frontend.compose import call_all
from npucc.frontend.integer_products import integer_matmul
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.contrib_activation import MICROSOFT
from npucc.frontend.ops.contrib_quantized import Quantized
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_type, shape_of

F32, I32 = element_type("f32"), element_type("i32")


def as_row(build: GraphBuilder, value: SSAValue | None) -> SSAValue | None:
    """A parameter that is one value, or one per column, shaped to broadcast to the product."""
    if value is None:
        return None
    count = math.prod(shape_of(value))
    return build.reshape(value, () if count == 1 else (count,))


def _real_product(
    node: ImportNode, a: SSAValue, b: SSAValue, zero_a: SSAValue | None, zero_b: SSAValue | None, scale: SSAValue
) -> SSAValue:
    """(a - zero_a) (b - zero_b) * scale in f32."""
    build = node.build
    zeros = [as_row(build, zero) for zero in (zero_a, zero_b)]
    return build.mul(build.cast(integer_matmul(build, a, b, *zeros), F32), scale)


def _scales(node: ImportNode, a: SSAValue, b: SSAValue) -> SSAValue:
    """The product of two scales."""
    left, right = as_row(node.build, a), as_row(node.build, b)
    if left is None or right is None:
        raise Malformed("both operands have a scale", "none")
    return node.build.mul(left, right)


@onnx_op("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(node: ImportNode) -> SSAValue:
    """Inputs A, B, a_scale, b_scale, a_zero_point, b_zero_point, bias."""
    scale = _scales(node, node.input(2), node.input(3))
    y = _real_product(node, node.input(0), node.input(1), node.optional(4), node.optional(5), scale)
    return y if not node.has(6) else node.build.add(y, node.input(6))


@onnx_op("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(node: ImportNode) -> SSAValue:
    """A is quantized to u8 over its range; inputs A, B, b_scale, b_zero_point, bias."""
    stored, scale, zero = call_all(node, "DynamicQuantizeLinear", [node.input(0)])
    y = _real_product(node, stored, node.input(1), zero, node.optional(3), _scales(node, scale, node.input(2)))
    return y if not node.has(4) else node.build.add(y, node.input(4))


@onnx_op("QGemm", domain=MICROSOFT)
def qgemm(node: ImportNode) -> SSAValue:
    """alpha * (A' - za) (B' - zb) sa sb + C, where C (i32) has the scale of the product.

    Inputs A, sa, za, B, sb, zb, C, sy, zy; the result is quantized if sy is there, else f32.
    """
    build = node.build
    a, b = node.input(0), node.input(3)
    a = build.transpose(a, (1, 0)) if node.integer("transA", 0) else a
    b = build.transpose(b, (1, 0)) if node.integer("transB", 0) else b
    total = integer_matmul(build, a, b, as_row(build, node.optional(2)), as_row(build, node.optional(5)))
    total = build.cast(total if not node.has(6) else build.add(total, node.input(6)), F32)
    left, right = as_row(build, node.input(1)), as_row(build, node.input(4))
    if left is None or right is None:
        raise Malformed("both operands have a scale", "none")
    factor = build.mul(build.scaled(left, node.number("alpha", 1.0)), right)
    if not node.has(7):
        return build.mul(total, factor)
    result = Quantized(node, 7)
    return result.saturate(build.mul(total, build.div(factor, result.scale)), node.input(8))


@onnx_op("MatMulInteger16", domain=MICROSOFT)
def matmul_integer_16(node: ImportNode) -> SSAValue:
    """i32 product of 16-bit matrices."""
    return integer_matmul(node.build, node.input(0), node.input(1), None, None)
