"""Whole models with their inputs: by a seed, or as a Hypothesis strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import model_ops
import model_ops_control
import model_ops_movement
import model_ops_special
import model_ops_windows
import onnx
from hypothesis import reject
from hypothesis import strategies as st
from model_graph import (
    Array,
    Choices,
    Graph,
    HypothesisChoices,
    RandomChoices,
    Rejected,
    finished,
    names_read,
)

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
    seed: int | None = None
    """With which `random_model` draws it; None where Hypothesis did."""

    @property
    def ops(self) -> list[str]:
        """The op of every node."""
        return [node.op_type for node in self.model.graph.node]


def drawn_model(choices: Choices, families: Sequence[str]) -> Drawn | None:
    """A valid model of a few nodes of the named families; None where the choices led to none."""
    graph = Graph(choices, OPSETS[choices.integer(0, len(OPSETS) - 1)])
    wanted = choices.integer(1, MOST_NODES)
    for _ in range(3 * wanted):
        if len(graph.nodes) >= wanted:
            break
        try:
            FAMILIES[graph.choose(families)](graph)
        except Rejected:
            continue
    if not graph.nodes:
        return None
    used = {name for node in graph.nodes for name in names_read(node)}
    graph.inputs = [name for name in graph.inputs if name in used]
    graph.constants = {name: value for name, value in graph.constants.items() if name in used}
    model = finished(graph)
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.shape_inference.InferenceError:  # a result of an op whose inference contradicts its own evaluator
        return None
    return Drawn(model, {name: graph.values[name] for name in graph.inputs})


@st.composite
def models(draw: st.DrawFn, families: tuple[str, ...] = tuple(FAMILIES)) -> Drawn:
    """Models as Hypothesis draws them, for reducing."""
    drawn = drawn_model(HypothesisChoices(draw), families)
    if drawn is None:
        reject()
    return drawn


def random_model(seed: int, families: Sequence[str] = tuple(FAMILIES)) -> Drawn:
    """The model of this seed."""
    random = Random(seed)
    while True:
        drawn = drawn_model(RandomChoices(random), families)
        if drawn is not None:
            return replace(drawn, seed=seed)
