"""com.microsoft: fused products and convolutions, and products with block-wise quantized weights."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.compose import call, import_as
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.contrib_activation import MICROSOFT, fused_activation
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import Array, element_of, numpy_dtype, shape_of


def _turned(node: ImportNode, x: SSAValue, batch: bool, last: bool) -> SSAValue:
    """`batch`: axis 0 goes behind the batch axes that follow it; `last`: the last two axes are swapped."""
    rank = len(shape_of(x))
    if rank < 2:
        return x
    axes = list(range(rank))
    if batch:
        axes = [*axes[1:-1], 0, axes[-1]]
    if last:
        axes[-2:] = axes[-1], axes[-2]
    return node.build.transpose(x, axes)


def _fused_product(node: ImportNode) -> SSAValue:
    """alpha * A' B' with the last axes, and optionally the batch axes, transposed."""
    batch = [bool(node.integer(f"transBatch{which}", 0)) for which in "AB"]
    last = [bool(node.integer(f"trans{which}", 0)) for which in "AB"]
    a, b = (_turned(node, node.input(index), batch[index], last[index]) for index in (0, 1))
    return node.build.scaled(call(node, "MatMul", a, b), node.number("alpha", 1.0))


@onnx_op("TransposeMatMul", domain=MICROSOFT)
@onnx_op("FusedMatMul", domain=MICROSOFT)
def fused_matmul(node: ImportNode) -> SSAValue:
    """alpha * A' B'."""
    return _fused_product(node)


@onnx_op("FusedMatMulActivation", domain=MICROSOFT)
def fused_matmul_activation(node: ImportNode) -> SSAValue:
    """activation(alpha * A' B')."""
    names = ("activation_alpha", "activation_beta")
    parameters = [node.number(name) for name in names if node.has_attribute(name)]
    return fused_activation(node, _fused_product(node), node.text("activation"), parameters)


@onnx_op("FusedGemm", domain=MICROSOFT)
def fused_gemm(node: ImportNode) -> SSAValue:
    """Gemm and an activation, whose parameters are attributes."""
    y = call(
        node,
        "Gemm",
        *(node.optional(index) for index in range(3)),
        alpha=node.number("alpha", 1.0),
        beta=node.number("beta", 1.0),
        transA=node.integer("transA", 0),
        transB=node.integer("transB", 0),
    )
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    parameters = [node.number(name) for name in names if node.has_attribute(name)]
    return fused_activation(node, y, node.text("activation"), parameters)


@onnx_op("FusedConv", domain=MICROSOFT)
def fused_conv(node: ImportNode) -> SSAValue:
    """activation(conv(X, W) + B + Z)."""
    y, residual = import_as(node, "Conv", [node.optional(index) for index in range(3)])[0], node.optional(3)
    y = y if residual is None else node.build.add(y, residual)
    return fused_activation(node, y, node.text("activation"), node.numbers("activation_params"))


@onnx_op("NhwcConv", domain=MICROSOFT)
@onnx_op("NhwcFusedConv", domain=MICROSOFT)
def nhwc_conv(node: ImportNode) -> SSAValue:
    """As FusedConv, with channels last in X, Z and Y; the weights stay [M, C / group, kernel]."""
    build, rank = node.build, len(node.shape(0))
    x = build.transpose(node.input(0), (0, rank - 1, *range(1, rank - 1)))
    y = import_as(node, "Conv", [x, node.optional(1), node.optional(2)])[0]
    y = build.transpose(y, (0, *range(2, rank), 1))
    residual = node.optional(3)
    y = y if residual is None else build.add(y, residual)
    return fused_activation(node, y, node.text("activation"), node.numbers("activation_params"))


@onnx_op("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(node: ImportNode) -> SSAValue:
    """A [.., K] times weights of 2, 4 or 8 bits, stored per output column n in blocks along K with a scale each.

    The weights are dequantized at import. Values lie in the bytes of a block from the low bits up.
    """
    bits, block = node.integer("bits", 4), node.integer("block_size", 32)
    inner, outer = node.integer("K"), node.integer("N")
    if bits not in (2, 4, 8) or block < 1 or min(inner, outer) < 1:
        raise Unsupported("weights have 2, 4 or 8 bits, and K, N and block_size are positive", f"{bits} bits")
    blocks = -(-inner // block)
    packed = node.constant(1, "B").reshape(outer, -1)
    if packed.shape[1] * 8 != blocks * block * bits:
        raise Malformed("B holds N rows of ceil(K / block_size) blocks", f"shape {list(node.shape(1))}, {bits} bits")
    values = unpacked(packed, bits)[:, :inner]
    if node.has(4) and node.constant(4, "g_idx").size:
        group = node.constant(4, "g_idx").astype(np.int64)
    else:
        group = np.arange(inner) // block
    scales = node.constant(2, "scales").reshape(outer, blocks)
    zeros = _zero_points(node, bits, outer, blocks)
    weights = (values.astype(np.float32) - zeros[:, group]) * scales.astype(np.float32)[:, group]
    dtype = numpy_dtype(element_of(node.input(0)))
    y = node.build.matmul(node.input(0), node.build.constant(weights.T.astype(dtype), f"{node.label}.weights"))
    bias = node.optional(5)
    return y if bias is None else node.build.add(y, bias)


def unpacked(packed: Array, bits: int) -> Array:
    """[rows, bytes] of u8 to [rows, bytes * 8 / bits] of u8, low bits first."""
    each = 8 // bits
    shifts = (np.arange(each) * bits).astype(np.uint8)
    return ((packed[:, :, None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(packed.shape[0], -1)


def _zero_points(node: ImportNode, bits: int, outer: int, blocks: int) -> Array:
    """[N, blocks] in f32: packed like the weights, plain floats, or the middle of the range."""
    if not node.has(3):
        return np.full((outer, blocks), 1 << bits - 1, np.float32)
    given = node.constant(3, "zero_points")
    if given.dtype != np.uint8:
        return given.reshape(outer, blocks).astype(np.float32)
    return unpacked(given.reshape(outer, -1), bits)[:, :blocks].astype(np.float32)


@onnx_op("CDist", domain=MICROSOFT)
def cdist(node: ImportNode) -> SSAValue:
    """Distances between the rows of A [m, n] and B [k, n]: (squared) Euclidean, from differences (no cancellation)."""
    metric, build = node.text("metric", "sqeuclidean"), node.build
    if metric not in ("euclidean", "sqeuclidean"):
        raise Unsupported("the metric is euclidean or sqeuclidean", f"`{metric}`")
    (rows, width), (columns, _) = node.shape(0), node.shape(1)
    a = build.reshape(node.input(0), (rows, 1, width))
    difference = build.sub(a, build.reshape(node.input(1), (1, columns, width)))
    total = build.reduce(build.mul(difference, difference), "sum", [2])
    squared = build.reshape(total, (rows, columns))
    return squared if metric == "sqeuclidean" else build.emit(graph.SqrtOp(squared))


@onnx_op("GatherBlockQuantized", domain=MICROSOFT)
def gather_block_quantized(node: ImportNode) -> SSAValue:
    """Rows of a table of 4- or 8-bit numbers in blocks with a scale: inputs data, indices, scales, zero points.

    The table is dequantized at import. A byte holds two 4-bit numbers, the first one low; then 8 stands for 0.
    """
    data, scales = node.constant(0, "data"), node.constant(2, "scales")
    bits, block = node.integer("bits", 4), node.integer("block_size", 128)
    packed = data.dtype == np.uint8 and bits == 4
    zeros = node.constant(3, "zero_points") if node.has(3) else None
    axis = node.wrap_axis(node.integer("quantize_axis", 1), data.ndim)
    if axis != data.ndim - 1 or bits not in (4, 8):
        raise Unsupported("tables have 4 or 8 bits, and blocks along the last axis", f"{bits} bits, axis {axis}")
    if packed:
        data = unpacked(data.reshape(-1, data.shape[-1]), bits).reshape(*data.shape[:-1], -1)
        zeros = None if zeros is None else unpacked(zeros.reshape(-1, zeros.shape[-1]), bits)
    middle = 1 << bits - 1 if data.dtype == np.uint8 else 0
    shift = np.full(scales.shape, middle, np.float32) if zeros is None else zeros.astype(np.float32)
    shift = shift.reshape(*scales.shape[:-1], -1)[..., : scales.shape[-1]]
    blocks = np.arange(data.shape[-1]) // block
    values = (data.astype(np.float32) - shift[..., blocks]) * scales.astype(np.float32)[..., blocks]
    table = node.build.constant(values.astype(scales.dtype), f"{node.label}.table")
    return call(node, "Gather", table, node.input(1), axis=node.integer("gather_axis", 0))
