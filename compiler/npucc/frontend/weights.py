"""Realistic seeded weights for models whose weights are constant fillers (the light models of the onnx package).

Constant weights hide errors: every permutation of them computes the same. The weights drawn here keep activations at
about unit variance: He-scaled convolutions and products, batch statistics near (0, 1), residual branches damped.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from npucc.types import Array

_PASSING = ("Identity", "Unsqueeze", "Squeeze", "Reshape", "Transpose", "Dropout")
RESIDUAL_GAIN = 0.3
"""Scale of the last normalization of a residual branch; 16 blocks then multiply the variance by about 4, not 65,536."""


def seeded_weights(model: ModelProto, seed: int) -> ModelProto:
    """A copy of `model` whose weights are seeded random initializers, in place of tensors made by `ConstantOfShape`.

    Float initializers are redrawn too: the light models kept small real ones (batch statistics), which do not fit
    random filters. The distribution of each weight follows from the op that reads it. Equal seeds give equal weights.
    """
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    fillers = {node.output[0]: node for node in graph.node if node.op_type == "ConstantOfShape"}
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    floats = [name for name, array in shapes.items() if array.dtype == np.float32 and array.ndim]
    readers = _readers(graph)
    producers = {name: node.op_type for node in graph.node for name in node.output}
    rng = np.random.default_rng(seed)
    for tensor in graph.initializer:
        if tensor.name in floats:
            values = _draw(rng, tuple(tensor.dims), *_role(readers, producers, tensor.name))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    replaced: set[str] = set()
    for name, filler in fillers.items():
        if filler.input[0] not in shapes:
            continue
        shape = tuple(int(size) for size in shapes[filler.input[0]])
        values = _draw(rng, shape, *_role(readers, producers, name))
        graph.initializer.append(numpy_helper.from_array(values, name))
        replaced.add(name)
    kept = [node for node in graph.node if node.op_type != "ConstantOfShape" or node.output[0] not in replaced]
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    _drop_unread(graph, read)
    return result


def _drop_unread(graph: onnx.GraphProto, read: set[str]) -> None:
    """Remove the shape tensors of the fillers, also where they are listed as inputs."""
    for field in (graph.initializer, graph.input):
        for index in reversed(range(len(field))):
            if field[index].name not in read:
                del field[index]


def _readers(graph: onnx.GraphProto) -> dict[str, list[tuple[NodeProto, int]]]:
    """Value -> (node, input index) of each reader."""
    readers: dict[str, list[tuple[NodeProto, int]]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, index))
    return readers


def _role(readers: dict[str, list[tuple[NodeProto, int]]], producers: dict[str, str], name: str) -> tuple[str, float]:
    """(role, gain) of a weight: by the first reader that computes with it.

    He's factor 2 makes up for a Relu before the product; without one the gain takes it back.
    """
    entries = readers.get(name, [])
    while entries and entries[0][0].op_type in _PASSING and entries[0][1] == 0:
        entries = readers.get(entries[0][0].output[0], [])
    if not entries:
        return "bias", 1.0
    node, index = entries[0]
    match node.op_type, index:
        case ("Conv", 1):
            linear = producers.get(node.input[0]) == "BatchNormalization"
            return "filters", math.sqrt(0.5) if linear else 1.0
        case ("Gemm", 1):
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            return "rows" if transposed else "columns", 1.0
        case ("MatMul", 1):
            return "columns", 1.0
        case ("BatchNormalization", 1):
            residual = any(reader.op_type in ("Sum", "Add") for reader, _ in readers.get(node.output[0], []))
            return "scale", RESIDUAL_GAIN if residual else 1.0
        case ("BatchNormalization", 4):
            return "variance", 1.0
        case ("Mul", _):
            return "scale", 1.0
        case _:
            return "bias", 1.0


def _draw(rng: np.random.Generator, shape: tuple[int, ...], role: str, gain: float) -> Array:
    """f32 values; He scaling (variance 2 / fan-in) for weights of products."""
    match role:
        case "filters":
            return _normal(rng, shape, gain * math.sqrt(2.0 / math.prod(shape[1:])))
        case "rows":
            return _normal(rng, shape, math.sqrt(2.0 / shape[-1]))
        case "columns":
            return _normal(rng, shape, math.sqrt(2.0 / shape[-2]))
        case "scale":
            return np.float32(gain) * (np.float32(1.0) + _normal(rng, shape, 0.1))
        case "variance":
            return rng.uniform(0.5, 1.5, shape).astype(np.float32)
        case _:
            return _normal(rng, shape, 0.05)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Array:
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(deviation)
    return values
