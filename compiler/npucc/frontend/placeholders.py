"""Stand-ins for the outputs of nodes that cannot be imported, so that the nodes behind them are checked too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, TypeProto, helper, numpy_helper
from xdsl.dialects.builtin import UnrealizedConversionCastOp
from xdsl.ir import Block, SSAValue

from npucc.frontend.node import Value
from npucc.types import element_of, element_of_numpy, numpy_dtype, shape_of, tensor


@dataclass(frozen=True)
class Unknown:
    """A value whose shape is not known either: nodes that read it are only looked up, not checked."""


def placeholders(
    node: NodeProto, scope: Mapping[str, Value | Unknown | None], opsets: Mapping[str, int], block: Block
) -> list[Value | Unknown]:
    """One value per output: of the type that ONNX's shape inference gives, or Unknown."""
    inferred = _infer(node, scope, opsets)
    return [_placeholder(inferred.get(name), block) for name in node.output]


def _placeholder(type_: TypeProto | None, block: Block) -> SSAValue | Unknown:
    if type_ is None or not type_.tensor_type.HasField("shape"):
        return Unknown()
    dims = type_.tensor_type.shape.dim
    if not all(dim.HasField("dim_value") for dim in dims):
        return Unknown()
    try:
        element = element_of_numpy(helper.tensor_dtype_to_np_dtype(type_.tensor_type.elem_type))
    except KeyError:
        return Unknown()
    result = tensor([dim.dim_value for dim in dims], element)
    cast = UnrealizedConversionCastOp(operands=[[]], result_types=[[result]])
    block.add_op(cast)
    return cast.results[0]


def _infer(
    node: NodeProto, scope: Mapping[str, Value | Unknown | None], opsets: Mapping[str, int]
) -> Mapping[str, TypeProto]:
    """Output types of one node from what is known of its inputs; empty where ONNX cannot say."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = opsets.get(domain, 0)
    if not onnx.defs.has(node.op_type, version, domain):
        return {}
    types: dict[str, TypeProto] = {}
    data: dict[str, TensorProto] = {}
    for name in filter(None, node.input):
        value = scope.get(name)
        if isinstance(value, np.ndarray | np.generic):
            types[name] = helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            if value.size <= 1024:
                data[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        elif isinstance(value, SSAValue):
            element = helper.np_dtype_to_tensor_dtype(numpy_dtype(element_of(value)))
            types[name] = helper.make_tensor_type_proto(element, shape_of(value))
        else:
            return {}
    schema = onnx.defs.get_schema(node.op_type, version, domain)
    imports = [helper.make_opsetid(name, number) for name, number in opsets.items()]
    try:
        return onnx.shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=imports)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError):
        return {}
