"""Function bodies: of the model's own functions, and those that ONNX's schemas give for ops made of simpler ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import onnx
from onnx import AttributeProto, FunctionProto, NodeProto, TypeProto


class _FunctionSchema(Protocol):
    """The part of onnx.defs.OpSchema about function bodies, which onnx's type stubs leave out."""

    has_function: bool
    has_context_dependent_function: bool
    function_opset_versions: list[int]
    context_dependent_function_opset_versions: list[int]

    def get_function_with_opset_version(self, version: int) -> bytes: ...

    def get_context_dependent_function_with_opset_version(
        self, version: int, node: bytes, types: list[bytes]
    ) -> bytes: ...


@dataclass(frozen=True)
class FunctionBody:
    """The nodes of a call, with the attributes of the call filled in. `opsets` hold within the body."""

    inputs: list[str]
    outputs: list[str]
    nodes: list[NodeProto]
    opsets: dict[str, int]


def find_function(
    model: onnx.ModelProto, node: NodeProto, domain: str, version: int, types: Sequence[TypeProto | None] | None
) -> FunctionBody | None:
    """The body for a call: the model's function of that name, else the schema's.

    Schemas whose body depends on the types of the inputs need these `types`; without them only the existence is meant.
    """
    for function in model.functions:
        names = ("" if function.domain == "ai.onnx" else function.domain, function.name, function.overload)
        if names == (domain, node.op_type, node.overload):
            return _instantiate(function, node, None)
    if not onnx.defs.has(node.op_type, version, domain):
        return None
    schema = onnx.defs.get_schema(node.op_type, version, domain)
    function = _schema_function(cast(_FunctionSchema, schema), node, version, types)
    return None if function is None else _instantiate(function, node, schema)


def _schema_function(
    schema: _FunctionSchema, node: NodeProto, version: int, types: Sequence[TypeProto | None] | None
) -> FunctionProto | None:
    """The newest body that is not newer than the model's opset."""
    fixed = [number for number in schema.function_opset_versions if number <= version]
    if schema.has_function and fixed:
        return FunctionProto.FromString(schema.get_function_with_opset_version(max(fixed)))
    fitting = [number for number in schema.context_dependent_function_opset_versions if number <= version]
    if not schema.has_context_dependent_function or not fitting:
        return None
    if types is None:
        return FunctionProto()
    given = [(entry or TypeProto()).SerializeToString() for entry in types]
    try:
        data = schema.get_context_dependent_function_with_opset_version(max(fitting), node.SerializeToString(), given)
    except (RuntimeError, ValueError):
        return None
    function = FunctionProto.FromString(data)
    return function if function.node else None


def _instantiate(function: FunctionProto, call: NodeProto, schema: onnx.defs.OpSchema | None) -> FunctionBody:
    """Replace references to the function's attributes by the call's values or the declared defaults."""
    attributes: dict[str, AttributeProto] = {}
    if schema is not None:
        defaults = {name: entry.default_value for name, entry in schema.attributes.items()}
        attributes |= {name: value for name, value in defaults.items() if value.name}
    attributes |= {attribute.name: attribute for attribute in function.attribute_proto}
    attributes |= {attribute.name: attribute for attribute in call.attribute}
    opsets = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in function.opset_import}
    nodes = [_with_attributes(node, attributes) for node in function.node]
    return FunctionBody(list(function.input), list(function.output), nodes, opsets)


def _with_attributes(node: NodeProto, values: Mapping[str, AttributeProto]) -> NodeProto:
    """A copy of `node` whose attribute references are resolved; references to absent attributes are dropped."""
    copy = NodeProto()
    copy.CopyFrom(node)
    del copy.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            copy.attribute.append(_in_subgraphs(attribute, values))
        elif attribute.ref_attr_name in values:
            filled = copy.attribute.add()
            filled.CopyFrom(values[attribute.ref_attr_name])
            filled.name = attribute.name
    return copy


def _in_subgraphs(attribute: AttributeProto, values: Mapping[str, AttributeProto]) -> AttributeProto:
    """References may also stand in the nodes of a subgraph."""
    if not attribute.HasField("g"):
        return attribute
    copy = AttributeProto()
    copy.CopyFrom(attribute)
    nodes: Sequence[NodeProto] = [_with_attributes(node, values) for node in attribute.g.node]
    del copy.g.node[:]
    copy.g.node.extend(nodes)
    return copy
