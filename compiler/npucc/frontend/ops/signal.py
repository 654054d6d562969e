"""Fourier transforms as products with constant matrices, and running products."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import Array, element_of, numpy_dtype, shape_of

MAX_RUNNING = 256
MAX_TRANSFORM = 8192


@onnx_op("DFT")
def fourier_transform(node: ImportNode) -> SSAValue:
    """x [.., n, .., 1 or 2 (real, imaginary)] along `axis` (an attribute before opset 20)."""
    build, x = node.build, node.input(0)
    shape = shape_of(x)
    if node.opset >= 20:
        axis = node.constant_ints(2, "axis")[0] if node.has(2) else -2
    else:
        axis = node.integer("axis", 1)
    axis = node.wrap_axis(axis, len(shape))
    length = node.constant_ints(1, "dft_length")[0] if node.has(1) else shape[axis]
    if shape[-1] not in (1, 2) or axis == len(shape) - 1 or not 0 < length <= MAX_TRANSFORM:
        raise Malformed(f"x ends with 1 or 2 parts, dft_length is 1 to {MAX_TRANSFORM}", f"{list(shape)}, {length}")
    used = min(length, shape[axis])
    inverse, onesided = bool(node.integer("inverse")), bool(node.integer("onesided"))
    if inverse and onesided:
        raise Unsupported("an inverse transform is two-sided", "onesided = 1")
    outputs = length // 2 + 1 if onesided else length
    turns = np.outer(np.arange(outputs), np.arange(used)) * ((2 if inverse else -2) * math.pi / length)
    scale = 1.0 / length if inverse else 1.0
    cosines, sines = np.cos(turns) * scale, np.sin(turns) * scale
    x = build.slice_axis(x, axis, 0, used)
    parts = [build.slice_axis(x, len(shape) - 1, part, 1) for part in range(shape[-1])]
    real = _along(node, parts[0], axis, cosines, "cos")
    imaginary = _along(node, parts[0], axis, sines, "sin")
    if len(parts) == 2:
        real = build.sub(real, _along(node, parts[1], axis, sines, "sin"))
        imaginary = build.add(imaginary, _along(node, parts[1], axis, cosines, "cos"))
    return build.concat([real, imaginary], len(shape) - 1)


def _along(node: ImportNode, x: SSAValue, axis: int, matrix: Array, name: str) -> SSAValue:
    """y[.., k, ..] = sum_n matrix[k, n] x[.., n, ..]."""
    build, shape = node.build, shape_of(x)
    weights = build.constant(matrix.astype(numpy_dtype(element_of(x))), f"{node.label}.{name}")
    flat = build.reshape(x, (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])))
    return build.reshape(build.matmul(weights, flat), (*shape[:axis], len(matrix), *shape[axis + 1 :]))


@onnx_op("CumProd")
def running_products(node: ImportNode) -> SSAValue:
    """y_i = x_i y_(i-1), unrolled."""
    build, x = node.build, node.input(0)
    shape = shape_of(x)
    axis = node.wrap_axis(int(node.constant(1, "axis").reshape(-1)[0]), len(shape))
    size = shape[axis]
    if size > MAX_RUNNING:
        raise Unsupported(f"running products span at most {MAX_RUNNING} elements", f"{size} elements")
    pieces = [build.slice_axis(x, axis, index, 1) for index in range(size)]
    if node.integer("reverse"):
        pieces.reverse()
    if node.integer("exclusive") and pieces:
        pieces = [build.expand(build.scalar(1, x), shape_of(pieces[0])), *pieces[:-1]]
    products: list[SSAValue] = []
    for piece in pieces:
        products.append(build.mul(products[-1], piece) if products else piece)
    if node.integer("reverse"):
        products.reverse()
    return build.concat(products, axis) if products else x
