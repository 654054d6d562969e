"""Shapes as data, and constants: known at import, because all shapes are static."""

from __future__ import annotations

import math

import numpy as np

from npucc.frontend.node import ImportNode, Value
from npucc.frontend.ops.elementary import element_of_onnx
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.sparse_tensors import sparse_to_array
from npucc.frontend.tensors import checked_elements, tensor_to_array
from npucc.types import Array, element_of, numpy_dtype

MAX_RANGE = 1 << 24


@onnx_op("Constant")
def constant(node: ImportNode) -> Array:
    """The attribute that is set."""
    if node.has_attribute("value"):
        return tensor_to_array(node.attribute("value"), None, f"node `{node.label}` (Constant)")
    if node.has_attribute("sparse_value"):
        return sparse_to_array(node.attribute("sparse_value"), None, f"node `{node.label}` (Constant)")
    for name, dtype in (("value_float", np.float32), ("value_floats", np.float32)):
        if node.has_attribute(name):
            return np.asarray(node.attribute(name), dtype)
    for name in ("value_int", "value_ints"):
        if node.has_attribute(name):
            return np.asarray(node.attribute(name), np.int64)
    found = ", ".join(attribute.name for attribute in node.proto.attribute) or "none"
    raise Malformed("a Constant has a numeric value attribute", found)


@onnx_op("ConstantOfShape")
def constant_of_shape(node: ImportNode) -> Array:
    """One value repeated: a view without memory of its own."""
    shape = tuple(node.constant_ints(0, "shape"))
    where = f"node `{node.label}` (ConstantOfShape)"
    checked_elements(shape, where)
    value = np.zeros((), np.float32)
    if node.has_attribute("value"):
        value = tensor_to_array(node.attribute("value"), None, where)
        if value.size != 1:
            raise Malformed("`value` holds one element", f"{value.size} elements")
    return np.broadcast_to(value.reshape(()), shape)


@onnx_op("Shape")
def shape_of_tensor(node: ImportNode) -> Array:
    """The shape, from `start` to `end` (opset 15)."""
    shape = node.shape(0)
    start = node.integer("start", 0)
    end = node.integer("end", len(shape)) if node.has_attribute("end") else len(shape)
    return np.asarray(shape[slice(start, end)], np.int64)


@onnx_op("Size")
def size_of_tensor(node: ImportNode) -> Array:
    """Number of elements."""
    return np.asarray(math.prod(node.shape(0)), np.int64)


@onnx_op("Range")
def range_of_numbers(node: ImportNode) -> Array:
    """start, start + delta, ... before limit; all three are constants."""
    names = ("start", "limit", "delta")
    start, limit, delta = (node.constant(index, name).reshape(()) for index, name in enumerate(names))
    if not (np.isfinite([float(start), float(limit), float(delta)]).all() and delta != 0):
        raise Malformed("start, limit and delta are finite, delta is not 0", f"{start}, {limit}, {delta}")
    count = max(math.ceil((float(limit) - float(start)) / float(delta)), 0)
    if count > MAX_RANGE:
        raise Unsupported(f"a Range has at most {MAX_RANGE} elements", f"{count} elements")
    return (start + np.arange(count).astype(start.dtype) * delta).astype(start.dtype)


@onnx_op("EyeLike")
def eye_like(node: ImportNode) -> Value:
    """Ones on one diagonal of a matrix of the input's shape."""
    shape = node.shape(0)
    if len(shape) != 2:
        raise Malformed("EyeLike has a matrix as input", f"shape {list(shape)}")
    element = element_of_onnx(node.integer("dtype")) if node.has_attribute("dtype") else element_of(node.input(0))
    return np.eye(*shape, k=node.integer("k"), dtype=numpy_dtype(element))
