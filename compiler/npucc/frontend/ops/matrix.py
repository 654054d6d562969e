"""Matrix products."""

from __future__ import annotations

from xdsl.ir import SSAValue

from npucc.frontend.dequantized import dequantized_matmul
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, is_float, shape_of


@onnx_op("MatMul")
def matmul(node: ImportNode) -> SSAValue:
    """NumPy's matmul: vectors are promoted to matrices and the axis is taken away again."""
    a, b, build = node.input(0), node.input(1), node.build
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        raise Malformed("operands of MatMul have rank 1 or more", f"shapes {list(left)} and {list(right)}")
    if left[-1] != right[-2 if len(right) > 1 else -1]:
        raise Malformed("the inner sizes agree", f"shapes {list(left)} and {list(right)}")
    integers = dequantized_matmul(node)
    if integers is not None:
        return integers
    matrix_a = build.reshape(a, (1, *left)) if len(left) == 1 else a
    matrix_b = build.reshape(b, (*right, 1)) if len(right) == 1 else b
    y = build.matmul(matrix_a, matrix_b)
    shape = list(shape_of(y))
    if len(right) == 1:
        shape.pop()
    if len(left) == 1:
        shape.pop(-1 if len(right) == 1 else -2)
    return build.reshape(y, shape)


@onnx_op("Gemm")
def gemm(node: ImportNode) -> SSAValue:
    """alpha * A' B' + beta * C."""
    a, b, build = node.input(0), node.input(1), node.build
    if len(shape_of(a)) != 2 or len(shape_of(b)) != 2:
        raise Malformed("A and B are matrices", f"shapes {list(shape_of(a))} and {list(shape_of(b))}")
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if not node.integer("transA") and alpha == beta == 1:
        integers = dequantized_matmul(node, turn_b=bool(node.integer("transB")))
        if integers is not None:
            return integers
    a = build.transpose(a, (1, 0)) if node.integer("transA") else a
    b = build.transpose(b, (1, 0)) if node.integer("transB") else b
    known = build.known(b)
    if alpha != 1 and known is not None and is_float(element_of(b)):
        b = build.constant((known * known.dtype.type(alpha)).astype(known.dtype), f"{node.label}.scaled")
        alpha = 1.0
    y = build.scaled(build.matmul(a, b), alpha)
    c = node.optional(2)
    return y if c is None or beta == 0 else build.add(y, build.scaled(c, beta))
