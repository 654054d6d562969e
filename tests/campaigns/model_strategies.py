"""Hypothesis strategies for whole models with their inputs."""

from __future__ import annotations

from dataclasses import dataclass

import model_ops
import model_ops_control
import model_ops_movement
import model_ops_special
import model_ops_windows
import onnx
from hypothesis import assume, reject
from hypothesis import strategies as st
from model_graph import Array, Graph, Rejected, finished, names_read

FAMILIES = {
    name: function
    for module in (model_ops, model_ops_movement, model_ops_windows, model_ops_control, model_ops_special)
    for name, function in module.FAMILIES.items()
}
OPSETS = (17, 13, 18, 21, 11, 9, 22, 15, 7, 23, 12, 19, 20, 24, 25, 14, 10, 8, 16)
MOST_NODES = 6


@dataclass(frozen=True)
class Drawn:
    """A model and values of its inputs."""

    model: onnx.ModelProto
    inputs: dict[str, Array]

    @property
    def ops(self) -> list[str]:
        """The op of every node."""
        return [node.op_type for node in self.model.graph.node]


@st.composite
def models(draw: st.DrawFn, families: tuple[str, ...] = tuple(FAMILIES)) -> Drawn:
    """A valid model of a few nodes of the named families."""
    graph = Graph(draw, draw(st.sampled_from(OPSETS)))
    wanted = draw(st.integers(1, MOST_NODES))
    for _ in range(3 * wanted):
        if len(graph.nodes) >= wanted:
            break
        try:
            FAMILIES[draw(st.sampled_from(families))](graph)
        except Rejected:
            continue
    assume(graph.nodes)
    used = {name for node in graph.nodes for name in names_read(node)}
    graph.inputs = [name for name in graph.inputs if name in used]
    graph.constants = {name: value for name, value in graph.constants.items() if name in used}
    model = finished(graph)
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.shape_inference.InferenceError:  # a result of an op whose inference contradicts its own evaluator
        reject()
    return Drawn(model, {name: graph.values[name] for name in graph.inputs})
