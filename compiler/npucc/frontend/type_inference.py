"""Output types of one node, by ONNX's shape inference from the types and (small) known values of its inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, TypeProto, helper, numpy_helper
from xdsl.ir import SSAValue

from npucc.frontend.node import Value
from npucc.types import element_of, numpy_dtype, shape_of

_SHAPE_DATA = 1024
"""Elements up to which the values of a known input take part."""
_UNSAFE = frozenset(("Einsum", "Split"))
"""Ops whose inference in onnx loops without end, or aborts, on damaged attributes."""


def onnx_type(value: Value) -> TypeProto:
    """The ONNX tensor type of a value."""
    if isinstance(value, SSAValue):
        dtype, shape = numpy_dtype(element_of(value)), shape_of(value)
    else:
        dtype, shape = value.dtype, value.shape
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), shape)


def infer_types(
    node: NodeProto, values: Mapping[str, Value], domain: str, opsets: Mapping[str, int]
) -> Mapping[str, TypeProto] | None:
    """Output name -> type; None where ONNX cannot say (no schema, an input without a value, inputs that do not fit)."""
    version = opsets.get(domain, 0)
    if node.op_type in _UNSAFE or not onnx.defs.has(node.op_type, version, domain):
        return None
    if not all(name in values for name in node.input if name):
        return None
    types = {name: onnx_type(values[name]) for name in node.input if name}
    data: dict[str, TensorProto] = {}
    for name in types:
        value = values[name]
        if not isinstance(value, SSAValue) and value.size <= _SHAPE_DATA:
            data[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
    schema = onnx.defs.get_schema(node.op_type, version, domain)
    imports = [helper.make_opsetid(name, number) for name, number in opsets.items()]
    try:
        return onnx.shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=imports)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError):
        return None
