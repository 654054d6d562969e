"""Seeded random weights for models whose own are constants (the light models of the onnx package).

Constant weights hide permutation errors: any order of equal numbers is the same tensor.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def randomize_weights(proto: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Replace, in place, every floating initializer of more than one element, and the values of `ConstantOfShape`
    nodes that stand for weights; returns `proto`.

    Matrices and filters get N(0, 2 / fan-in) so that activations keep their scale; vectors are near 1 or 0
    as their role says; variances of batch normalisation are positive.
    """
    rng = np.random.default_rng(seed)
    _expand_constant_of_shape(proto.graph)
    roles = _roles(proto.graph)
    for tensor in proto.graph.initializer:
        if tensor.data_type in _FLOATS and int(np.prod(tensor.dims)) > 1:
            array = numpy_helper.to_array(tensor)
            drawn = _draw(rng, array.shape, roles.get(tensor.name, ""))
            tensor.CopyFrom(numpy_helper.from_array(drawn.astype(array.dtype), tensor.name))
    return proto


def _draw(rng: np.random.Generator, shape: tuple[int, ...], role: str) -> npt.NDArray[np.float64]:
    if role == "variance":
        return rng.uniform(0.5, 1.5, shape)
    if role == "scale":
        return rng.uniform(0.8, 1.2, shape)
    if len(shape) < 2:
        return rng.standard_normal(shape) * 0.1
    fan_in = int(np.prod(shape)) / shape[0] if role != "matrix" else shape[-2]
    return rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)


def _roles(graph: onnx.GraphProto) -> dict[str, str]:
    """Initializer name -> what it is used as."""
    roles: dict[str, str] = {}
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            roles |= {node.input[1]: "scale", node.input[4]: "variance"}
        if node.op_type == "MatMul":
            roles[node.input[1]] = "matrix"
    return roles


def _expand_constant_of_shape(graph: onnx.GraphProto) -> None:
    """Turn `ConstantOfShape` of a known shape into an initializer, so that it can be given other values."""
    shapes = {tensor.name: tensor for tensor in graph.initializer}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        shape = tuple(int(size) for size in numpy_helper.to_array(shapes[node.input[0]]))
        values = [numpy_helper.to_array(a.t) for a in node.attribute if a.name == "value"]
        fill = values[0] if values else np.zeros(1, np.float32)
        graph.initializer.append(numpy_helper.from_array(np.full(shape, fill[0], fill.dtype), node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
