"""Structural rules of an ONNX graph: names, order, types, and the schema of each node; every violation is reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from npuisa.errors import NpuError
from onnx import NodeProto, TensorProto, checker

from npucc.frontend.problems import INVALID_GRAPH, one_error
from npucc.frontend.tensors import type_name

MAX_REPORTED = 100


def node_label(node: NodeProto, index: int) -> str:
    """The node's name, or `OpType_<index>` for nodes without one."""
    return node.name or f"{node.op_type}_{index}"


def check_text(proto: onnx.ModelProto) -> None:
    """All names are UTF-8: protobuf hands over others as bytes. Error: E0502 (before anything looks at the names)."""
    texts: list[object] = [proto.graph.name]
    texts += [text for entry in proto.opset_import for text in [entry.domain]]
    for graph in (proto.graph, *_subgraphs(proto.graph.node)):
        texts += [value.name for field in (graph.input, graph.output, graph.initializer) for value in field]
        texts += [dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim]
        texts += [text for node in graph.node for text in (node.name, node.op_type, node.domain, node.overload)]
        texts += [name for node in graph.node for name in (*node.input, *node.output)]
        texts += [attribute.name for node in graph.node for attribute in node.attribute]
    damaged = [text for text in texts if not isinstance(text, str)]
    if damaged:
        remedy = "download the model again: the file is damaged"
        raise _broken("a name in the model is not UTF-8 text", "the model's names", repr(damaged[0])[:80], remedy)


def _subgraphs(nodes: Iterable[NodeProto]) -> Iterator[onnx.GraphProto]:
    """Graphs in the attributes of nodes, at any depth."""
    for node in nodes:
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                yield graph
                yield from _subgraphs(graph.node)


def check_and_sort(proto: onnx.ModelProto, opsets: dict[str, int]) -> list[NodeProto]:
    """Check the main graph and return its nodes in topological order (stable). E0502 with all problems found."""
    problems = _name_problems(proto.graph) + _type_problems(proto.graph)
    problems += _schema_problems(proto, opsets)
    order, unresolved = _topological_order(proto.graph)
    problems += _order_problems(proto.graph, unresolved)
    problems += _output_problems(proto.graph)
    if problems:
        raise one_error(INVALID_GRAPH, "the model breaks rules of ONNX", proto.graph.name, problems[:MAX_REPORTED])
    return order


def _broken(message: str, where: str, found: str, remedy: str = "export the model again") -> NpuError:
    return NpuError(INVALID_GRAPH, message, where=where, found=found, remedy=remedy)


def _name_problems(graph: onnx.GraphProto) -> list[NpuError]:
    """Every value has one name and one producer."""
    problems: list[NpuError] = []
    producers: dict[str, str] = {}

    def produce(name: str, producer: str) -> None:
        if name in producers:
            found = f"`{name}` from {producers[name]} and from {producer}"
            problems.append(_broken("two producers of one value", producer, found))
        producers[name] = producer

    for value in graph.input:
        if not value.name:
            problems.append(_broken("a graph input has no name", f"graph `{graph.name}`", "an empty name"))
        produce(value.name, "the graph's inputs")
    inputs = set(producers)
    for tensor in graph.initializer:
        if not tensor.name:
            problems.append(_broken("an initializer has no name", f"graph `{graph.name}`", "an empty name"))
        if tensor.name not in inputs:
            produce(tensor.name, "the initializers")
        inputs.discard(tensor.name)
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            produce(name, f"node `{node_label(node, index)}`")
    outputs = [value.name for value in graph.output]
    if "" in outputs:
        problems.append(_broken("a graph output has no name", f"graph `{graph.name}`", "an empty name"))
    problems += [
        _broken("an output is listed twice", f"graph `{graph.name}`", f"`{name}`")
        for name in sorted({name for name in outputs if outputs.count(name) > 1})
    ]
    return problems


def _type_problems(graph: onnx.GraphProto) -> list[NpuError]:
    """Inputs must be tensors of a known element type; whether the compiler can hold the type is decided later."""
    problems: list[NpuError] = []
    initializers = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        if value.name in initializers:
            continue
        kind = value.type.WhichOneof("value")
        where = f"input `{value.name}`"
        if kind is None:
            problems.append(_broken("an input has no type", where, "no type", "declare element type and shape"))
        elif kind == "tensor_type":
            element = value.type.tensor_type.elem_type
            if element == TensorProto.UNDEFINED or element not in TensorProto.DataType.values():
                problems.append(_broken("an input has no valid element type", where, type_name(element)))
    return problems


def _schema_problems(proto: onnx.ModelProto, opsets: dict[str, int]) -> list[NpuError]:
    """onnx's own check of each node (attributes, number of inputs) for ops that it knows."""
    context = checker.C.CheckerContext()
    context.ir_version = max(proto.ir_version, 3)
    context.opset_imports = opsets
    scope = checker.C.LexicalScopeContext()
    problems: list[NpuError] = []
    for index, node in enumerate(proto.graph.node):
        where = f"node `{node_label(node, index)}` ({node.op_type})"
        domain = "" if node.domain == "ai.onnx" else node.domain
        if not node.op_type:
            problems.append(_broken("a node has no op type", where, "an empty op type"))
        elif domain not in opsets:
            remedy = "add the domain to the model's opset_import"
            problems.append(_broken("the domain of a node is not imported", where, f"domain `{domain}`", remedy))
        elif _is_checkable(node, domain, opsets[domain]):
            try:
                checker.check_node(node, context, scope)
            except (checker.ValidationError, UnicodeDecodeError) as error:
                problems.append(_broken("a node breaks its schema", where, str(error).splitlines()[0]))
    return problems


def _is_checkable(node: NodeProto, domain: str, version: int) -> bool:
    """Ops without a schema are reported as unsupported later; nodes with subgraphs need their outer names; the checker
    refuses deprecated ops, which exporters have written all the same (GroupNormalization of opset 18)."""
    has_graphs = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    if has_graphs or not onnx.defs.has(node.op_type, version, domain):
        return False
    return not onnx.defs.get_schema(node.op_type, version, domain).deprecated


def node_reads(node: NodeProto) -> set[str]:
    """Names that a node reads, with the outer names its subgraphs read."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
            names |= _free_names(graph)
    return names


def _stored_names(graph: onnx.GraphProto) -> set[str]:
    """Names of the initializers, dense and sparse."""
    dense = {tensor.name for tensor in graph.initializer}
    return dense | {tensor.values.name for tensor in graph.sparse_initializer}


def _free_names(graph: onnx.GraphProto) -> set[str]:
    """Names that a subgraph takes from outside."""
    inner = {value.name for value in graph.input} | _stored_names(graph)
    inner |= {name for node in graph.node for name in node.output}
    reads = {name for node in graph.node for name in node_reads(node)} | {value.name for value in graph.output}
    return reads - inner


def _topological_order(graph: onnx.GraphProto) -> tuple[list[NodeProto], list[tuple[int, NodeProto]]]:
    """Nodes in an order where producers come first (file order where possible), and those that never become ready."""
    available = {value.name for value in graph.input} | _stored_names(graph)
    missing: dict[int, int] = {}
    readers: dict[str, list[int]] = {}
    order: list[NodeProto] = []

    def place(start: int) -> None:
        ready = [start]
        while ready:
            node = graph.node[ready.pop()]
            order.append(node)
            for name in node.output:
                available.add(name)
                for reader in readers.pop(name, []):
                    missing[reader] -= 1
                    if missing[reader] == 0:
                        ready.append(reader)

    for index, node in enumerate(graph.node):
        waits = node_reads(node) - available
        missing[index] = len(waits)
        for name in waits:
            readers.setdefault(name, []).append(index)
        if not waits:
            place(index)
    return order, [(index, graph.node[index]) for index, count in missing.items() if count]


def _order_problems(graph: onnx.GraphProto, unresolved: list[tuple[int, NodeProto]]) -> list[NpuError]:
    """Undefined inputs first; if there are none, the nodes form a cycle."""
    produced = {value.name for value in graph.input} | _stored_names(graph)
    produced |= {name for node in graph.node for name in node.output}
    problems: list[NpuError] = []
    for index, node in unresolved:
        undefined = sorted(node_reads(node) - produced)
        if undefined:
            where = f"node `{node_label(node, index)}` ({node.op_type})"
            found = ", ".join(f"`{name}`" for name in undefined)
            remedy = "restore the missing initializer, input or node"
            problems.append(_broken("a node reads a value that nothing defines", where, found, remedy))
    if unresolved and not problems:
        names = [f"`{node_label(node, index)}`" for index, node in unresolved[:8]]
        more = f" and {len(unresolved) - 8} more" if len(unresolved) > 8 else ""
        found = ", ".join(names) + more
        problems.append(_broken("the graph has a cycle", f"graph `{graph.name}`", found, "remove the cycle"))
    return problems


def _output_problems(graph: onnx.GraphProto) -> list[NpuError]:
    produced = {value.name for value in graph.input} | _stored_names(graph)
    produced |= {name for node in graph.node for name in node.output}
    return [
        _broken("a graph output is not produced by any node", f"output `{value.name}`", "an undefined name")
        for value in graph.output
        if value.name not in produced
    ]
