"""What is imported and executed as a unit: the main graph, the body of a control-flow node, the body of a function."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from onnx import GraphProto, NodeProto

from npucc.frontend.function_bodies import FunctionBody
from npucc.frontend.graph_checks import node_label, node_reads
from npucc.frontend.load import LoadedModel


@dataclass(frozen=True, eq=False)
class GraphCode:
    """Nodes in an executable order. `labels` name them in reports; `inputs` and `outputs` are ONNX names; `opsets`
    hold for all nodes; `stored` holds the initializers (None for functions, which have none)."""

    nodes: tuple[NodeProto, ...]
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opsets: Mapping[str, int]
    stored: GraphProto | None
    depth: int = 0
    """How many bodies this one lies in."""
    _children: dict[Hashable, GraphCode] = field(default_factory=dict, repr=False)

    def child(self, key: Hashable, make: Callable[[], GraphCode]) -> GraphCode:
        """The code of a node's body, made once per key, so that what is kept about a body is found again."""
        if key not in self._children:
            self._children[key] = make()
        return self._children[key]

    @cached_property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Per node the names it reads, with those its subgraphs read from outside of themselves."""
        return tuple(frozenset(node_reads(node)) for node in self.nodes)

    def names(self, positions: Iterable[int]) -> frozenset[str]:
        """What these nodes read, and the outputs of the graph (which may be inputs of it)."""
        return frozenset(self.outputs).union(*(self.reads[position] for position in positions))

    @cached_property
    def captured(self) -> frozenset[str]:
        """Names that the nodes or outputs take from the graphs around this one."""
        own = {name for node in self.nodes for name in node.output} | set(self.inputs)
        if self.stored is not None:
            own |= {tensor.name for tensor in self.stored.initializer}
            own |= {tensor.values.name for tensor in self.stored.sparse_initializer}
        read = frozenset[str]().union(*self.reads) | set(self.outputs)
        return read - own


def main_code(loaded: LoadedModel) -> GraphCode:
    """The main graph; nodes without a name are labelled by their position in the file."""
    graph = loaded.proto.graph
    labels = {id(node): node_label(node, index) for index, node in enumerate(graph.node)}
    return GraphCode(
        nodes=tuple(loaded.nodes),
        labels=tuple(labels[id(node)] for node in loaded.nodes),
        inputs=tuple(value.name for value in graph.input),
        outputs=tuple(value.name for value in graph.output),
        opsets=loaded.opsets,
        stored=graph,
    )


def body_code(graph: GraphProto, outer: GraphCode, label: str) -> GraphCode:
    """A subgraph of the node `label` of `outer`; ONNX demands that its nodes are sorted."""
    return GraphCode(
        nodes=tuple(graph.node),
        labels=_inner_labels(graph.node, label),
        inputs=tuple(value.name for value in graph.input),
        outputs=tuple(value.name for value in graph.output),
        opsets=outer.opsets,
        stored=graph,
        depth=outer.depth + 1,
    )


def function_code(body: FunctionBody, newest: int, outer: GraphCode, label: str) -> GraphCode:
    """The body of the function that the node `label` of `outer` calls.

    Bodies of other domains may leave out the import of ONNX's own: then `newest` is its version.
    """
    return GraphCode(
        nodes=tuple(body.nodes),
        labels=_inner_labels(body.nodes, label),
        inputs=tuple(body.inputs),
        outputs=tuple(body.outputs),
        opsets={"": newest, **body.opsets},
        stored=None,
        depth=outer.depth + 1,
    )


def _inner_labels(nodes: Sequence[NodeProto], label: str) -> tuple[str, ...]:
    return tuple(f"{label}/{node_label(node, index)}" for index, node in enumerate(nodes))
