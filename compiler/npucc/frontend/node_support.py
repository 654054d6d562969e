"""Which ops something can run: an importer function, a function body, the host. Decided without shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import NodeProto

from npucc.frontend.function_bodies import find_function
from npucc.frontend.host_ops import host_reason
from npucc.frontend.load import LoadedModel
from npucc.frontend.problems import Unsupported
from npucc.frontend.registry import find_importer

KNOWN_OP = "an importer function or a function body"
CONTROL_FLOW = frozenset(("If", "Loop", "Scan"))


def is_control_flow(node: NodeProto) -> bool:
    """If, Loop or Scan of ONNX's own domain."""
    return node.op_type in CONTROL_FLOW and node.domain in ("", "ai.onnx")


def domain_of(node: NodeProto) -> str:
    """The node's domain; "" for ONNX's own."""
    return "" if node.domain == "ai.onnx" else node.domain


def has_body(model: onnx.ModelProto, node: NodeProto, version: int) -> bool:
    """Whether the node is run through bodies: control flow, or a function without an importer function of its own."""
    if is_control_flow(node):
        return True
    domain = domain_of(node)
    if find_importer(domain, node.op_type, version) is not None:
        return False
    return find_function(model, node, domain, version, None) is not None


def can_run(model: onnx.ModelProto, node: NodeProto, version: int) -> bool:
    """Whether the NPU or the host knows the op."""
    if is_control_flow(node):
        return True
    domain = domain_of(node)
    if find_importer(domain, node.op_type, version) is not None or host_reason(domain, node.op_type):
        return True
    return find_function(model, node, domain, version, None) is not None


def unknown_ops(loaded: LoadedModel, nodes: Sequence[NodeProto] | None = None) -> list[str]:
    """Ops that nothing can run, as `domain.op, opset n`: of the main graph or of `nodes`, bodies included."""
    found: list[str] = []
    for node in loaded.nodes if nodes is None else nodes:
        if not can_run(loaded.proto, node, loaded.opsets.get(domain_of(node), 1)):
            found.append(qualified(node, loaded.opsets))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += unknown_ops(loaded, attribute.g.node)
    return found


def qualified(node: NodeProto, opsets: Mapping[str, int]) -> str:
    """`domain.op, opset n`."""
    return f"{node.domain or 'ai.onnx'}.{node.op_type}, opset {opsets.get(domain_of(node), 0)}"


def no_importer(node: NodeProto, version: int) -> Unsupported:
    """The op is unknown."""
    found = f"{node.domain or 'ai.onnx'}.{node.op_type} at opset {version}"
    return Unsupported(f"the op has {KNOWN_OP}", found)
