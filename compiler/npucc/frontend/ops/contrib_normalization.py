"""Normalizations of com.microsoft, and SimplifiedLayerNormalization, which onnxruntime keeps in ONNX's own domain."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.compose import call
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.contrib_activation import MICROSOFT
from npucc.frontend.ops.normalization import standardize
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, shape_of

F32, I32 = element_type("f32"), element_type("i32")


def layer_normalized(
    node: ImportNode, x: SSAValue, scale: SSAValue, bias: SSAValue | None, epsilon: float
) -> list[SSAValue]:
    """(x - mean) / deviation * scale + bias over the last axis; also mean and 1 / deviation. Statistics in f32."""
    build = node.build
    normal, mean, inverse = standardize(node, build.cast(x, F32), [len(shape_of(x)) - 1], epsilon)
    y = build.mul(build.cast(normal, element_of(x)), scale)
    return [y if bias is None else build.add(y, bias), mean, inverse]


def rms_normalized(node: ImportNode, x: SSAValue, scale: SSAValue, epsilon: float, axis: int = -1) -> list[SSAValue]:
    """x / sqrt(mean of squares) * scale over the axes from `axis` on; also 1 / sqrt(..). Statistics in f32."""
    build, wide, rank = node.build, node.build.cast(x, F32), len(shape_of(x))
    square = build.mean(build.mul(wide, wide), list(range(axis % rank, rank)))
    inverse = build.emit(graph.ReciprocalOp(build.sqrt(build.shifted(square, epsilon))))
    return [build.mul(build.cast(build.mul(wide, inverse), element_of(x)), scale), inverse]


@onnx_op("SimplifiedLayerNormalization", domain=MICROSOFT)
@onnx_op("SimplifiedLayerNormalization")
def simplified_layer_normalization(node: ImportNode) -> list[SSAValue]:
    """RMS normalization: outputs Y and 1 / root mean square."""
    axis = node.axis("axis", len(node.shape(0)), -1)
    return rms_normalized(node, node.input(0), node.input(1), node.number("epsilon", 1e-5), axis)


def _skip_sum(node: ImportNode, bias: int) -> SSAValue:
    """Inputs 0 and 1, and the bias (input `bias`) if it is there; f16 sums stay f16."""
    total, vector = node.build.add(node.input(0), node.input(1)), node.optional(bias)
    return total if vector is None else node.build.add(total, vector)


@onnx_op("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(node: ImportNode) -> list[SSAValue]:
    """LayerNormalization of input + skip + bias; inputs input, skip, gamma, beta, bias; output 3 is the sum."""
    total = _skip_sum(node, 4)
    y, mean, inverse = layer_normalized(node, total, node.input(2), node.optional(3), node.number("epsilon", 1e-12))
    return [y, mean, inverse, total]


@onnx_op("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(node: ImportNode) -> list[SSAValue]:
    """RMS normalization of input + skip + bias; inputs input, skip, gamma, bias; output 3 is the sum."""
    total = _skip_sum(node, 3)
    y, inverse = rms_normalized(node, total, node.input(2), node.number("epsilon", 1e-12))
    mean = node.build.wide_mean(total, [len(shape_of(total)) - 1]) if node.uses_output(1) else total
    return [y, mean, inverse, total]


@onnx_op("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(node: ImportNode) -> list[SSAValue]:
    """LayerNormalization of word + position + segment embeddings.

    Inputs input_ids [b, s], segment_ids, word [v, h], position [p, h], segment, gamma, beta, mask [b, s], position_ids.
    Outputs: the result, how many tokens of each sequence are not masked (i32), the sum before normalization.
    """
    return _embedded(node)


def _embedded(node: ImportNode) -> list[SSAValue]:
    build, ids = node.build, node.input(0)
    if len(shape_of(ids)) != 2:
        raise Malformed("`input_ids` has shape [batch, sequence]", f"{list(shape_of(ids))}")
    batch, length = shape_of(ids)
    total = build.add(call(node, "Gather", node.input(2), ids), _positions(node, length))
    if node.has(1) and node.has(4):
        total = build.add(total, call(node, "Gather", node.input(4), node.input(1)))
    y, _, _ = layer_normalized(node, total, node.input(5), node.input(6), node.number("epsilon", 1e-12))
    if node.has(7):
        kept = build.emit(graph.EqualOp(node.input(7), build.scalar(1, node.input(7))))
        counts = build.reshape(build.reduce(build.cast(kept, I32), "sum", [1]), (batch,))
    else:
        counts = build.constant(np.zeros(batch, np.int32), f"{node.label}.mask_index")
    return [y, counts, total]


def _positions(node: ImportNode, length: int) -> SSAValue:
    """The embeddings of `position_ids`, or of 0, 1, ..."""
    table = node.input(3)
    if node.has(8):
        return call(node, "Gather", table, node.input(8))
    if length > shape_of(table)[0]:
        raise Malformed("each position has an embedding", f"{length} positions, {shape_of(table)[0]} rows")
    return node.build.slice_axis(table, 0, 0, length)


@onnx_op("QEmbedLayerNormalization", domain=MICROSOFT)
def quantized_embed_layer_normalization(node: ImportNode) -> list[SSAValue]:
    """EmbedLayerNormalization of bytes: three tables, gamma and beta, with a scale and a zero point each.

    Inputs input_ids, segment_ids, the five stored tensors, mask, their five scales, their five zero points.
    """

    def real(index: int) -> SSAValue | None:
        if not node.has(index):
            return None
        return call(node, "DequantizeLinear", node.input(index), node.input(index + 6), node.optional(index + 11))

    tables = [real(index) for index in range(2, 7)]
    inputs = [node.optional(0), node.optional(1), *tables, node.optional(7)]
    return _embedded(replace(node, inputs=inputs))[:2]


@onnx_op("GroupNorm", domain=MICROSOFT)
def group_norm(node: ImportNode) -> SSAValue:
    """Groups of channels standardized, then gamma and beta per channel and an optional SiLU."""
    return _group_norm(node, node.input(0))


@onnx_op("SkipGroupNorm", domain=MICROSOFT)
def skip_group_norm(node: ImportNode) -> list[SSAValue]:
    """GroupNorm of X + skip + bias, and that sum. Inputs X, gamma, beta, skip, bias; channels are last."""
    build, x, skip = node.build, node.input(0), node.input(3)
    if len(shape_of(skip)) == 2:
        n, c = shape_of(skip)
        skip = build.reshape(skip, (n, *[1] * (len(shape_of(x)) - 2), c))
    total = build.add(x, skip)
    total = total if not node.has(4) else build.add(total, node.input(4))
    return [_group_norm(node, total), total]


def _group_norm(node: ImportNode, x: SSAValue) -> SSAValue:
    build, shape, groups = node.build, shape_of(x), node.integer("groups", 1)
    last = bool(node.integer("channels_last", 1))
    channels = shape[-1] if last else shape[1]
    if groups < 1 or channels % groups:
        raise Malformed("`groups` divides the channels", f"{channels} channels, {groups} groups")
    each, places = channels // groups, math.prod(shape) // (shape[0] * channels)
    split = (shape[0], places, groups, each) if last else (shape[0], groups, each, places)
    axes = [1, 3] if last else [2, 3]
    grouped = build.cast(build.reshape(x, split), F32)
    normal, _, _ = standardize(node, grouped, axes, node.number("epsilon", 1e-5))
    normal = build.reshape(normal, shape)
    gamma, beta = (build.cast(node.input(index), F32) for index in (1, 2))
    if not last:
        gamma, beta = (build.reshape(value, (channels, *[1] * (len(shape) - 2))) for value in (gamma, beta))
    y = build.add(build.mul(normal, gamma), beta)
    y = call(node, "Swish", y) if node.integer("activation", 0) else y
    return build.cast(y, element_of(x))
