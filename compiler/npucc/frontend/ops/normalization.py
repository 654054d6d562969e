"""Normalizations: instance, layer, group, local response, lp."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.layout import to_channels_first, to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.batch_normalization import along_channels
from npucc.frontend.ops.pooling import lp_power, lp_root
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, is_float, shape_of


def standardize(node: ImportNode, x: SSAValue, axes: list[int], epsilon: float) -> tuple[SSAValue, SSAValue, SSAValue]:
    """(x - mean) / sqrt(variance + epsilon) over `axes`; also the mean and the reciprocal deviation.

    All three are f32 for narrower floats, whose squares overflow.
    """
    build = node.build
    mean = build.wide_mean(x, axes)
    centered = build.sub(x, mean)
    variance = build.mean(build.mul(centered, centered), axes)
    inverse = build.emit(graph.ReciprocalOp(build.sqrt(build.shifted(variance, epsilon))))
    return build.mul(centered, inverse), mean, inverse


@onnx_op("InstanceNormalization")
def instance_normalization(node: ImportNode) -> SSAValue:
    """Standardize each channel of each image, then scale and shift per channel."""
    build, x = node.build, node.input(0)
    rank = len(shape_of(x))
    normal, _, _ = standardize(node, x, list(range(2, rank)), node.number("epsilon", 1e-5))
    scale, bias = (along_channels(node, node.input(index), rank) for index in (1, 2))
    return build.cast(build.add(build.mul(normal, scale), bias), element_of(x))


@onnx_op("LayerNormalization")
def layer_normalization(node: ImportNode) -> list[SSAValue]:
    """Standardize the axes from `axis` on, in f32 for narrower types; outputs Y, Mean, InvStdDev."""
    build, x = node.build, node.input(0)
    element, rank = element_of(x), len(shape_of(x))
    stash = element_type("f32") if node.integer("stash_type", 1) == 1 and is_float(element) else element
    wide = build.cast(x, stash)
    axes = list(range(node.axis("axis", rank, -1), rank))
    normal, mean, inverse = standardize(node, wide, axes, node.number("epsilon", 1e-5))
    y = build.mul(build.cast(normal, element), node.input(1))
    bias = node.optional(2)
    return [y if bias is None else build.add(y, bias), mean, inverse]


@onnx_op("RMSNormalization")
def rms_normalization(node: ImportNode) -> SSAValue:
    """x / sqrt(mean(x^2) + epsilon) * scale over the axes from `axis` on, in the type of the scale."""
    build, x, scale = node.build, node.input(0), node.input(1)
    element, rank = element_of(x), len(shape_of(x))
    wide = build.cast(x, element_type("f32")) if node.integer("stash_type", 1) == 1 else x
    axes = list(range(node.axis("axis", rank, -1), rank))
    square = build.mean(build.mul(wide, wide), axes)
    inverse = build.emit(graph.ReciprocalOp(build.sqrt(build.shifted(square, node.number("epsilon", 1e-5)))))
    normal = build.cast(build.mul(wide, inverse), element)
    return build.mul(build.cast(normal, element_of(scale)), scale)


@onnx_op("GroupNormalization", since=18)
def group_normalization(node: ImportNode) -> SSAValue:
    """Standardize groups of channels. Scale and bias: per group at opset 18, per channel from 21 on."""
    build, x = node.build, node.input(0)
    shape, groups = shape_of(x), node.integer("num_groups", 1)
    if len(shape) < 2 or groups < 1 or shape[1] % groups:
        raise Malformed("num_groups divides the channels", f"shape {list(shape)}, num_groups {groups}")
    split = (shape[0], groups, shape[1] // groups, *shape[2:])
    grouped = build.reshape(x, split)
    normal, _, _ = standardize(node, grouped, list(range(2, len(split))), node.number("epsilon", 1e-5))
    if node.opset < 21:
        scale, bias = (along_channels(node, node.input(index), len(split)) for index in (1, 2))
        return build.cast(build.reshape(build.add(build.mul(normal, scale), bias), shape), element_of(x))
    scale, bias = (along_channels(node, node.input(index), len(shape)) for index in (1, 2))
    return build.cast(build.add(build.mul(build.reshape(normal, shape), scale), bias), element_of(x))


@onnx_op("MeanVarianceNormalization")
def mean_variance_normalization(node: ImportNode) -> SSAValue:
    """(x - mean) / (sqrt(variance) + 1e-9) over `axes`, in f32 for narrower floats."""
    build, x = node.build, node.input(0)
    rank = len(shape_of(x))
    axes = [node.wrap_axis(axis, rank) for axis in node.integers("axes", (0, 2, 3))]
    centered = build.sub(x, build.wide_mean(x, axes))
    deviation = build.sqrt(build.mean(build.mul(centered, centered), axes))
    return build.cast(build.div(centered, build.shifted(deviation, 1e-9)), element_of(x))


@onnx_op("LpNormalization")
def lp_normalization(node: ImportNode) -> SSAValue:
    """x divided by its p-norm along one axis; 0 where the norm is 0."""
    build, x, p = node.build, node.input(0), node.integer("p", 2)
    axis = node.axis("axis", len(shape_of(x)), -1)
    norm = lp_root(node, build.reduce(lp_power(node, x, p), "sum", [axis]), p)
    is_zero = build.emit(graph.EqualOp(norm, build.scalar(0.0, norm)))
    divisor = build.emit(graph.WhereOp(is_zero, build.scalar(np.inf, norm), norm))
    return build.cast(build.div(x, divisor), element_of(x))


@onnx_op("LRN")
def local_response_normalization(node: ImportNode) -> SSAValue:
    """x / (bias + alpha / size * sum of x^2 over `size` neighbouring channels) ** beta."""
    build, shape, size = node.build, node.shape(0), node.integer("size", 1)
    if len(shape) < 2 or size < 1:
        raise Malformed("the input is [n, c, spatial ...] and `size` at least 1", f"{list(shape)}, size {size}")
    image = shape if len(shape) in (3, 4) else (*shape[:2], math.prod(shape[2:]))
    x = to_channels_last(build, build.reshape(node.input(0), image))
    pads = (0, (size - 1) // 2, 0, size - 1 - (size - 1) // 2)
    wide = build.widened(x)
    squares = build.mul(wide, wide)
    # Windows along the channels: the last two axes, of which only the channels have a window.
    total = build.emit(graph.WindowReduceOp(squares, "sum", (2, 3), (1, size), (1, 1), (1, 1), pads))
    base = build.shifted(build.scaled(total, node.number("alpha", 1e-4) / size), node.number("bias", 1.0))
    divisor = build.emit(graph.PowOp(base, build.scalar(node.number("beta", 0.75), base)))
    y = build.cast(build.div(x, divisor), element_of(x))
    return build.reshape(to_channels_first(build, y, len(image) - 2), shape)
