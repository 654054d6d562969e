"""Whether a node can be in the program that is being imported, as far as its op and its operands say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx
from onnx import NodeProto

from npucc.frontend.deferral import Defer, How
from npucc.frontend.host_ops import host_reason
from npucc.frontend.node import Bounded
from npucc.frontend.node_support import can_run, domain_of, has_body, is_control_flow, no_importer
from npucc.frontend.placeholders import HostValue, Later, ScopeValue
from npucc.frontend.problems import Unsupported
from npucc.frontend.registry import find_importer
from npucc.frontend.strings import makes_strings
from npucc.frontend.type_inference import takes_kind

COMPUTED_EARLIER = "what it reads is only known when an earlier program has run"


def check_op(model: onnx.ModelProto, node: NodeProto, version: int) -> None:
    """Raise Unsupported for an op that nothing can run, Defer for one that only the host can."""
    if is_control_flow(node):
        return
    if not can_run(model, node, version):
        raise no_importer(node, version)
    if makes_strings(node):
        raise Defer(How.HOST, "the host computes with strings", f"{node.op_type} to strings")
    reason = host_reason(domain_of(node), node.op_type)
    if reason is not None and find_importer(domain_of(node), node.op_type, version) is None:
        raise Defer(How.HOST, reason, f"{node.domain or 'ai.onnx'}.{node.op_type}")


def check_operands(model: onnx.ModelProto, node: NodeProto, inputs: Sequence[ScopeValue], version: int) -> None:
    """Raise Defer for operands that are not tensors of numbers, or not there yet; Unsupported for those that ONNX does
    not let the node have."""
    for index, (name, value) in enumerate(zip(node.input, inputs)):
        if isinstance(value, HostValue):
            if not takes_kind(node, index, value.kind, domain_of(node), version):
                raise Unsupported("the node takes operands of this type", f"`{name}`, {value.kind}")
            how = How.BODY if has_body(model, node, version) else How.HOST
            raise Defer(how, "the NPU computes with tensors of numbers", f"`{name}`, {value.kind}")
        if isinstance(value, Later):
            raise Defer(How.LATER, COMPUTED_EARLIER, f"`{name}` of node `{value.node}`")


def check_reads(node: NodeProto, reads: Collection[str], scope: Mapping[str, ScopeValue]) -> None:
    """Raise Defer if the node, or a body of it, reads what only a later program can read. A tensor of bounded size
    may be an operand, since the node's op may have a rule for it."""
    for name in sorted(reads):
        value = scope.get(name)
        if isinstance(value, Later):
            raise Defer(How.LATER, COMPUTED_EARLIER, f"`{name}` of node `{value.node}`")
        if isinstance(value, Bounded) and name not in node.input:
            raise Defer(How.LATER, COMPUTED_EARLIER, f"`{name}`, whose shape depends on data")
