"""Every op of ai.onnx, at every version that its schema has, is imported, expanded to its body, or left to the host."""

from __future__ import annotations

import onnx
from npucc.frontend.function_bodies import find_function
from npucc.frontend.host_ops import host_reason
from npucc.frontend.node_support import CONTROL_FLOW
from npucc.frontend.registry import find_importer


def way_of(schema: onnx.defs.OpSchema) -> str:
    """Who runs the op at the version of this schema; "" for nobody."""
    name, version = schema.name, schema.since_version
    if name in CONTROL_FLOW or find_importer("", name, version):
        return "npu"
    if find_function(onnx.ModelProto(), onnx.NodeProto(op_type=name), "", version, None) is not None:
        return "body"
    return "host" if host_reason("", name) else ""


def test_every_version_of_every_op_is_run_by_someone():
    schemas = [schema for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain]
    missing = [f"{schema.name} since {schema.since_version}" for schema in schemas if not way_of(schema)]
    assert not missing, f"write an importer function in compiler/npucc/frontend/ops: {missing}"


def test_only_ops_without_numbers_are_the_host_s():
    """A list to extend with a reason only: these ops have no meaning for a machine that computes with tensors."""
    schemas = [schema for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain]
    hosted = {schema.name for schema in schemas if way_of(schema) == "host"}
    strings = {"StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch"}
    random = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"}
    containers = {name for name in hosted if "Sequence" in name or "Optional" in name}
    assert hosted - containers - strings - random == {"ImageDecoder"}
