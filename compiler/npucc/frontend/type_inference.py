"""Output types of one node, by ONNX's shape inference from the types and (small) known values of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

_MARKS = {"strings": "string", "a sequence": "seq(", "an optional": "optional("}
"""What the name of an ONNX type holds for each kind of value that is no tensor of numbers."""


def onnx_type(value: object) -> TypeProto:
    """The ONNX type of a value: a tensor of the graph, an array; a list is a sequence of what its first element is."""
    if isinstance(value, SSAValue):
        return _tensor_type(numpy_dtype(element_of(value)), shape_of(value))
    if isinstance(value, list | tuple):
        element = onnx_type(value[0]) if value else helper.make_tensor_type_proto(TensorProto.FLOAT, None)
        if value and element.HasField("tensor_type"):
            element.tensor_type.ClearField("shape")
        return helper.make_sequence_type_proto(element)
    if value is None:
        return TypeProto()
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return helper.make_tensor_type_proto(TensorProto.STRING, array.shape)
    return _tensor_type(array.dtype, array.shape)


def _tensor_type(dtype: np.dtype[Any], shape: tuple[int, ...]) -> TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), shape)


def takes_kind(node: NodeProto, index: int, kind: str, domain: str, version: int) -> bool:
    """Whether ONNX lets input `index` be strings, a sequence or an optional; ops without a schema may take anything."""
    if not onnx.defs.has(node.op_type, version, domain):
        return True
    schema = onnx.defs.get_schema(node.op_type, version, domain)
    declared = schema.inputs[min(index, len(schema.inputs) - 1)]
    allowed = [
        entry.allowed_type_strs for entry in schema.type_constraints if entry.type_param_str == declared.type_str
    ]
    types = list(allowed[0]) if allowed else [declared.type_str]
    mark = _MARKS.get(kind)
    return mark is None or any(mark in text for text in types)


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
            data[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
    schema = onnx.defs.get_schema(node.op_type, version, domain)
    imports = [helper.make_opsetid(name, number) for name, number in opsets.items()]
    try:
        return onnx.shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=imports)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError):
        return None
