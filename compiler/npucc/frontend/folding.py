"""Evaluation of nodes whose inputs are all known, by onnx.reference, if the result is small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from npuisa.dtypes import NARROW_FLOATS
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from npucc.evaluator_defects import evaluator_is_wrong
from npucc.frontend.node import ImportNode
from npucc.frontend.type_inference import infer_types
from npucc.types import Array

MAX_RESULT_BYTES = 1 << 28
"""Largest result that is computed at import (256 MiB); a larger one is computed by the device, from its inputs."""
MAX_INPUT_BYTES = 1 << 29

RANDOM_OPS = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
)

_NARROW_FLOATS = frozenset(dtype.numpy for dtype in NARROW_FLOATS)
KEPT_OPS = frozenset(("DequantizeLinear",))
"""Ops whose importer function makes the constant, and notes how it came about."""


def fold(node: ImportNode) -> list[Array] | None:
    """The outputs as arrays; None if the node has unknown inputs, subgraphs, no reference, or a large result."""
    arrays = [node.known(index) if node.has(index) else None for index in range(len(node.inputs))]
    if node.op_type in RANDOM_OPS | KEPT_OPS or any(a is None and node.has(i) for i, a in enumerate(arrays)):
        return None
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.proto.attribute):
        return None
    if evaluator_is_wrong(node.proto):
        return None
    if node.op_type in ("Cast", "CastLike", "QuantizeLinear") and _converts_narrow(node, arrays):
        return None  # onnx.reference rounds f64 twice, float8e8m0 not as the standard says, and leaves out zero points
    if node.op_type == "Slice" and len(arrays) > 4 and arrays[4] is not None and arrays[4].min(initial=0) < 0:
        return None  # onnx.reference slices as Python does; ONNX clamps the start of a backward slice
    bytes_read = sum(array.nbytes for array in arrays if array is not None)
    if node.schema is None or bytes_read > MAX_INPUT_BYTES or not _result_is_small(node, arrays):
        return None
    return _evaluate(node, arrays)


def _converts_narrow(node: ImportNode, arrays: Sequence[Array | None]) -> bool:
    """Whether a conversion is from or to a float of 8 bits or less."""
    types: set[np.dtype[Any]] = {array.dtype for array in arrays if array is not None}
    for to in (node.attribute("to"), node.attribute("output_dtype")):
        if isinstance(to, int) and to in TensorProto.DataType.values() and to != TensorProto.UNDEFINED:
            types.add(np.dtype(helper.tensor_dtype_to_np_dtype(to)))
    return not _NARROW_FLOATS.isdisjoint(types)


def _result_is_small(node: ImportNode, arrays: Sequence[Array | None]) -> bool:
    """Ask ONNX's shape inference; a result that it cannot size depends on data, and is no larger than its input."""
    values = {name: array for name, array in zip(node.proto.input, arrays) if array is not None}
    inferred = infer_types(node.proto, values, node.domain, {node.domain: node.opset})
    if inferred is None:
        return False
    for result in inferred.values():
        if not result.tensor_type.HasField("shape"):
            continue
        sizes = [dim.dim_value for dim in result.tensor_type.shape.dim if dim.HasField("dim_value")]
        if math.prod(sizes) * 8 > MAX_RESULT_BYTES:
            return False
    return True


def _evaluate(node: ImportNode, arrays: Sequence[Array | None]) -> list[Array] | None:
    """Run the one node through onnx.reference at its opset; None where the reference cannot."""
    proto = node.proto
    values = {name: array for name, array in zip(proto.input, arrays) if name and array is not None}
    inputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in values]
    names = [name for name in proto.output if name]
    outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names]
    graph = helper.make_graph([proto], "fold", inputs, outputs)
    try:
        with np.errstate(all="ignore"):
            evaluator = ReferenceEvaluator(graph, opsets={node.domain: node.opset})
            results = dict(zip(names, evaluator.run(None, values)))
    except Exception:  # the reference raises whatever its NumPy code raises; the importer function then says why
        return None
    arrays_out = [results.get(name, np.zeros(0)) for name in proto.output]
    if not all(isinstance(array, np.ndarray | np.generic) for array in arrays_out):
        return None
    return [np.asarray(array) for array in arrays_out]
