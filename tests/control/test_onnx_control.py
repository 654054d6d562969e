"""ONNX loops, branches and recurrences through the backend, against onnxruntime: all of them on the NPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from npucc import backend
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
X = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)


def info(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def body(nodes: Sequence[NodeProto], inputs: dict[str, tuple[int, list[Any]]], outputs: Sequence[str]) -> GraphProto:
    values = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    return helper.make_graph(nodes, "body", values, [helper.make_empty_tensor_value_info(name) for name in outputs])


def loop_body(
    nodes: Sequence[NodeProto], carried: dict[str, tuple[int, list[Any]]], outputs: Sequence[str]
) -> GraphProto:
    return body(nodes, {"i": (INT64, []), "c": (BOOL, []), **carried}, outputs)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """Names are separated by blanks; `_` is an input left out."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attributes)


def check(nodes: Sequence[NodeProto], outputs: str, feed: dict[str, np.ndarray], **constants: Any) -> None:
    """Run by both; equal shapes, types and values, and nothing on the host."""
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs.split()]
    graph = helper.make_graph(nodes, "g", [info(name, array) for name, array in feed.items()], results, initializers)
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    prepared = backend.prepare(model)
    found = prepared.run(list(feed.values()))
    assert not prepared.host_nodes
    for want, got in zip(session.run(None, feed), found):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-3, atol=1e-4)


DOUBLED = node("Add", "v v", "w")
GOING = node("Identity", "c", "go")
MATRIX = (FLOAT, [2, 3])


def test_condition_on_data_with_scan_output() -> None:
    """The stacked result has a greatest length, of which as many rows count as there were steps."""
    nodes = [DOUBLED, node("ReduceSum", "w", "t", keepdims=0), node("Abs", "t", "a"), node("Less", "a limit", "go")]
    step = loop_body([*nodes, node("Identity", "w", "row")], {"v": MATRIX}, ["go", "w", "row"])
    for scale in (1, 100, -3):
        feed = {"x": (X * scale).astype(np.float32)}
        check([node("Loop", "n _ x", "y rows", body=step)], "y rows", feed, n=12, limit=np.float32(50))


@pytest.mark.parametrize("trip", [0, 1, 5])
def test_trip_count_as_input(trip: int) -> None:
    step = loop_body([DOUBLED, GOING], {"v": MATRIX}, ["go", "w"])
    check([node("Loop", "n _ x", "y", body=step)], "y", {"x": X, "n": np.asarray([trip])})


@pytest.mark.parametrize("start", [True, False])
def test_first_condition_as_input(start: bool) -> None:
    step = loop_body([DOUBLED, GOING], {"v": MATRIX}, ["go", "w"])
    check([node("Loop", "n start x", "y", body=step)], "y", {"x": X, "start": np.asarray(start)}, n=4)


def test_counter_in_a_carried_value() -> None:
    """Such a loop has a known number of steps."""
    nodes = [node("Add", "k one", "k2"), node("Less", "k2 ten", "go"), node("Cast", "k", "f", to=FLOAT)]
    step = loop_body([*nodes, node("Add", "v f", "w")], {"k": (INT64, []), "v": MATRIX}, ["go", "k2", "w"])
    check([node("Loop", "_ _ k0 x", "k y", body=step)], "k y", {"x": X}, one=1, ten=10, k0=0)


def test_element_types() -> None:
    nodes = [node("Not", "p", "q"), node("Cast", "q", "n1", to=TensorProto.INT32), node("Add", "n n1", "n2")]
    carried = {"p": (BOOL, [3]), "n": (TensorProto.INT32, [3]), "z": (TensorProto.FLOAT16, [2])}
    step = loop_body([*nodes, node("Mul", "z z", "z2"), GOING], carried, ["go", "q", "n2", "z2"])
    feed = {
        "a": np.array([True, False, True]),
        "b": np.arange(3, dtype=np.int32),
        "d": np.array([0.9, 1.01], np.float16),
    }
    check([node("Loop", "count _ a b d", "q n z", body=step)], "q n z", feed, count=15)


def test_element_at_the_number_of_the_step() -> None:
    nodes = [node("Gather", "xs i", "r"), node("Add", "v r", "w"), GOING, node("Identity", "w", "row")]
    step = loop_body(nodes, {"v": (FLOAT, [3])}, ["go", "w", "row"])
    feed = {"xs": np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32), "start": np.ones(3, np.float32)}
    check([node("Loop", "n _ start", "y rows", body=step)], "y rows", feed, n=20)


def test_a_tensor_that_grows() -> None:
    step = loop_body([node("Concat", "v x", "w", axis=0), GOING], {"v": (FLOAT, ["n", 3])}, ["go", "w"])
    check([node("Loop", "n _ x", "y", body=step)], "y", {"x": X}, n=4)


def test_loop_in_branch_in_loop() -> None:
    inner = body(
        [node("Mul", "u half", "u1"), node("Add", "u1 v", "u2"), node("Identity", "d", "e")],
        {"j": (INT64, []), "d": (BOOL, []), "u": MATRIX},
        ["e", "u2"],
    )
    then = body([node("Loop", "m _ v", "r", body=inner)], {}, ["r"])
    otherwise = body([node("Neg", "v", "s")], {}, ["s"])
    choice = node("If", "positive", "w", then_branch=then, else_branch=otherwise)
    nodes = [node("ReduceSum", "v", "t", keepdims=0), node("Greater", "t zero", "positive"), choice, GOING]
    step = loop_body(nodes, {"v": MATRIX}, ["go", "w"])
    for m in (3, 40):
        check(
            [node("Loop", "n _ x", "y", body=step)], "y", {"x": X}, n=9, m=m, half=np.float32(0.5), zero=np.float32(0)
        )


@pytest.mark.parametrize("condition", [True, False])
def test_branches(condition: bool) -> None:
    """Values of equal types run as a branch; where the shapes differ, the condition is computed first."""
    then = body([node("Identity", "x", "a"), node("Constant", "", "k", value_floats=[1.0, 2.0])], {}, ["a", "k"])
    otherwise = body([node("Neg", "x", "b"), node("Constant", "", "l", value_floats=[3.0, 4.0])], {}, ["b", "l"])
    feed = {"x": X, "p": np.array([condition])}
    check([node("If", "p", "y z", then_branch=then, else_branch=otherwise)], "y z", feed)
    turned = body([node("Transpose", "x", "b")], {}, ["b"])
    same = body([node("Identity", "x", "a")], {}, ["a"])
    check([node("If", "p", "y", then_branch=same, else_branch=turned), node("Neg", "y", "z")], "z", feed)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_sequences_of_different_length(op: str, direction: str) -> None:
    rng, gates = np.random.default_rng(3), {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    count = 2 if direction == "bidirectional" else 1
    shapes = {"w": (count, gates * 4, 3), "r": (count, gates * 4, 4), "b": (count, 2 * gates * 4)}
    weights = {name: (rng.normal(size=shape) * 0.3).astype(np.float32) for name, shape in shapes.items()}
    feed = {"x": rng.normal(size=(9, 2, 3)).astype(np.float32), "lengths": np.array([9, 4], np.int32)}
    options = {"linear_before_reset": 1} if op == "GRU" else {}
    check([node(op, "x w r b lengths", "y h", hidden_size=4, direction=direction, **options)], "y h", feed, **weights)
