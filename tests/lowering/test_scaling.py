"""Compile time grows with the number of layers, not with its square: counted, not timed."""

from __future__ import annotations

import gc

import numpy as np
import onnx
import pytest
from npucc.driver import start
from npucc.options import Options
from npucc.pipeline import pipeline
from npucc.schedule import residency
from npuisa.target import Target
from onnx import TensorProto, helper, numpy_helper

LAYERS = 24


def chain(layers: int) -> onnx.ModelProto:
    """Matrix products with residual additions over eight layers, so that tensors of long lifetimes compete."""
    weight = numpy_helper.from_array(np.full((64, 64), 0.01, np.float32), "w")
    nodes = [helper.make_node("MatMul", [f"t{i}", "w"], [f"m{i}"], f"mm{i}") for i in range(layers)]
    for i in range(layers):
        other = f"t{i - 7}" if i % 8 == 7 else f"m{i}"
        nodes.append(helper.make_node("Add", [f"m{i}", other], [f"t{i + 1}"], f"add{i}"))
    nodes.sort(key=lambda node: (int("".join(filter(str.isdigit, node.name))), node.op_type == "Add"))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [32, 64]) for name in ("t0", f"t{layers}")]
    graph = helper.make_graph(nodes, "chain", ports[:1], ports[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_group_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying where tensors live moves the tensors of a problem; it does not derive the problem anew."""
    described: list[object] = []
    original = residency.group_problem

    def counted(*arguments: object) -> object:
        described.append(arguments[0])
        return original(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(residency, "group_problem", counted)
    compilation = start(chain(LAYERS), Target.load("edge-4t"), Options())
    compilation.run([step for step in pipeline(compilation.options) if step.level == "graph"])
    assert len(described) == LAYERS


def test_the_collector_rests_during_compilation_and_not_after() -> None:
    compilation = start(chain(2), Target.load("edge-4t"), Options())
    seen: list[bool] = []
    compilation.run(pipeline(compilation.options), lambda *_: seen.append(gc.isenabled()))
    assert not any(seen) and gc.isenabled()
