"""Random graphs whose edges are cut at random places by host nodes: any division into segments gives the same values.

A cut is a detour through a sequence of one tensor. Some edges lead through a size that the device computes, or into a
branch that the device decides about. The reference is onnx.reference.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npucc.execution import Execution
from onnx import NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

SHAPE = [2, 3]
UNARY = ("Relu", "Neg", "Tanh", "Abs")
BINARY = ("Add", "Mul", "Sub", "Max")


class Growing:
    """A graph that grows node by node; every value is float[2, 3]."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.values = ["x", "y"]

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"n{len(self.nodes)}", **attributes))  # pyright: ignore[reportArgumentType]
        return name

    def cut(self, value: str) -> str:
        """Through a sequence: two host nodes."""
        return self.add("SequenceAt", self.add("SequenceConstruct", value), "zero")

    def sized(self, value: str) -> str:
        """Through the places where |v| >= 0, which are all: a shape that only a run gives."""
        mask = self.add("Greater", self.add("Abs", value), "minus")
        flat = self.add("Compress", value, self.add("Reshape", mask, "all"))
        return self.add("Reshape", flat, "shape")

    def branch(self, value: str, other: str) -> str:
        """One of two values, by the sign of a sum."""
        total = self.add("ReduceSum", value, keepdims=0)
        condition = self.add("Greater", total, "nothing")
        bodies = {
            f"{side}_branch": helper.make_graph(
                [helper.make_node(op, inputs, [f"{side}{len(self.nodes)}"], name=f"{side}{len(self.nodes)}")],
                side,
                [],
                [helper.make_tensor_value_info(f"{side}{len(self.nodes)}", TensorProto.FLOAT, None)],
            )
            for side, op, inputs in (("then", "Add", [value, other]), ("else", "Exp", [other]))
        }
        return self.add("If", condition, **bodies)


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    """Up to ten steps, then two outputs."""
    graph = Growing()
    kinds = st.sampled_from(["unary", "binary", "binary", "cut", "sized", "branch"])
    for kind in draw(st.lists(kinds, min_size=2, max_size=10)):
        one, other = draw(st.sampled_from(graph.values)), draw(st.sampled_from(graph.values[-3:]))
        made = {
            "unary": lambda one=one, other=other: graph.add(draw(st.sampled_from(UNARY)), other),
            "binary": lambda one=one, other=other: graph.add(draw(st.sampled_from(BINARY)), one, other),
            "cut": lambda one=one, other=other: graph.cut(other),
            "sized": lambda one=one, other=other: graph.sized(other),
            "branch": lambda one=one, other=other: graph.branch(one, other),
        }[kind]()
        graph.values.append(made)
    stored = {
        "zero": np.array(0), "minus": np.array(-1, np.float32), "nothing": np.array(0, np.float32),
        "all": np.array([-1]), "shape": np.array(SHAPE),
    }  # fmt: skip
    proto = helper.make_graph(
        graph.nodes,
        "cuts",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("x", "y")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in dict.fromkeys(graph.values[-2:])],
        [onnx.numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(models(), st.integers(0, 5))
def test_any_division_gives_the_same_values(model: onnx.ModelProto, seed: int):
    rng = np.random.default_rng(seed)
    values = {name: rng.standard_normal(SHAPE).astype(np.float32) for name in ("x", "y")}
    result = Execution(model).run(values)
    with np.errstate(all="ignore"):
        expected = cast("list[np.ndarray]", ReferenceEvaluator(model).run(None, values))
    for actual, wanted in zip(result.outputs.values(), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=2e-5, atol=1e-5)
    assert {node.op for node in result.nodes if node.where == "host"} <= {"SequenceConstruct", "SequenceAt"}
