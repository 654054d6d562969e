"""Batch normalization, in inference and in training."""

from __future__ import annotations

import numpy as np
from xdsl.ir import Attribute, SSAValue

from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, numpy_dtype, shape_of

PARAMETERS = ("scale", "B", "input_mean", "input_var")


def along_channels(node: ImportNode, value: SSAValue, rank: int) -> SSAValue:
    """[c] -> [c, 1, 1 ...] so that it broadcasts along axis 1 of a rank-`rank` tensor."""
    return node.build.reshape(value, (shape_of(value)[0], *[1] * (rank - 2)))


@onnx_op("BatchNormalization")
def batch_normalization(node: ImportNode) -> SSAValue | list[SSAValue]:
    """(x - mean) / sqrt(variance + epsilon) * scale + B per channel (spatial = 0, until opset 8: per activation)."""
    shape = node.shape(0)
    if node.integer("spatial", 1):
        wanted = (shape[1],) if len(shape) > 1 else (1,)
    else:
        wanted = shape[1:]
    for index, name in enumerate(PARAMETERS, 1):
        if node.shape(index) != wanted:
            raise Malformed(f"`{name}` has shape {list(wanted)}", f"{list(node.shape(index))} for x {list(shape)}")
    if _trains(node):
        return _in_training(node)
    known = [node.known(index) for index in range(1, 5)]
    if any(array is None for array in known):
        mean, variance = _parameter(node, 3), _parameter(node, 4)
        return _normalized(node, node.build.cast(node.input(0), _wide(node)), mean, variance)
    return _by_constants(node, [np.asarray(array, np.float64) for array in known])


def _trains(node: ImportNode) -> bool:
    """From opset 14 on an attribute says so; before, the outputs of statistics do (and is_test, until opset 6)."""
    if node.opset >= 14:
        return bool(node.integer("training_mode"))
    return not node.integer("is_test", 0) and any(node.uses_output(index) for index in range(1, 5))


def _by_constants(node: ImportNode, parameters: list[np.ndarray]) -> SSAValue:
    """x * scale' + shift', the two computed at import (in f64)."""
    build, x = node.build, node.input(0)
    scale, bias, mean, variance = parameters
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    dtype = numpy_dtype(element_of(x))
    multiplier = build.constant(factor.astype(dtype), f"{node.label}.multiplier")
    shift = build.constant((bias - mean * factor).astype(dtype), f"{node.label}.shift")
    return build.add(build.mul(x, _beside(node, multiplier)), _beside(node, shift))


def _beside(node: ImportNode, value: SSAValue) -> SSAValue:
    """A vector of channels so that it broadcasts along axis 1; per activation it fits as it is."""
    rank = len(node.shape(0))
    return along_channels(node, value, rank) if node.integer("spatial", 1) and rank > 1 else value


def _wide(node: ImportNode) -> Attribute:
    """The type in which the normalization is computed: f64 if any input is (they may differ), else f32."""
    double = element_type("f64")
    return double if any(element_of(value) == double for value in node.all_inputs()) else element_type("f32")


def _parameter(node: ImportNode, index: int) -> SSAValue:
    """Input `index` beside x, in the type in which the normalization is computed."""
    return _beside(node, node.build.cast(node.input(index), _wide(node)))


def _normalized(node: ImportNode, x: SSAValue, mean: SSAValue, variance: SSAValue) -> SSAValue:
    """The result in the type of input x; `x`, `mean` and `variance` are wide."""
    build = node.build
    deviation = build.sqrt(build.shifted(variance, node.number("epsilon", 1e-5)))
    factor = build.div(_parameter(node, 1), deviation)
    y = build.add(build.mul(build.sub(x, mean), factor), _parameter(node, 2))
    return build.cast(y, element_of(node.input(0)))


def _in_training(node: ImportNode) -> list[SSAValue]:
    """By the batch's statistics. Then running mean and variance, before opset 14 also those of the batch."""
    build, wide = node.build, _wide(node)
    x = build.cast(node.input(0), wide)
    rank, momentum = len(shape_of(x)), node.number("momentum", 0.9)
    axes = [axis for axis in range(rank) if axis != 1] if node.integer("spatial", 1) and rank > 1 else [0]
    mean = build.wide_mean(x, axes)
    centered = build.sub(x, mean)
    variance = build.wide_mean(build.mul(centered, centered), axes)
    outputs = [_normalized(node, x, mean, variance)]
    batch = [build.reshape(value, node.shape(3)) for value in (mean, variance)]
    for index, value in zip((3, 4), batch):
        old = build.scaled(build.cast(node.input(index), wide), momentum)
        running = build.add(old, build.scaled(value, float(1 - np.float32(momentum))))
        outputs.append(build.cast(running, element_of(node.input(index))))
    saved = [build.cast(value, element_of(node.input(3))) for value in batch]
    return outputs if node.opset >= 14 else [*outputs, *saved]
