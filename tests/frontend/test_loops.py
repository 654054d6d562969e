"""Loop and Scan with a known number of steps are unrolled; others are refused by name."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

X = np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32)


def values(**shapes: tuple[int, list[int]]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in shapes.items()]


def model_of(nodes: list[onnx.NodeProto], outputs: list[str], **inputs: tuple[int, list[int]]) -> onnx.ModelProto:
    declared = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(nodes, "loops", values(**inputs), declared)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def scan_model(**attributes: object) -> onnx.ModelProto:
    """Running sums of the rows of x, and their doubles."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "row"], ["next"]),
            helper.make_node("Add", ["next", "next"], ["double"]),
        ],
        "body",
        values(state=(TensorProto.FLOAT, [3]), row=(TensorProto.FLOAT, [3])),
        values(next=(TensorProto.FLOAT, [3]), double=(TensorProto.FLOAT, [3])),
    )
    scan = helper.make_node("Scan", ["start", "x"], ["last", "doubles"], body=body, num_scan_inputs=1, **attributes)
    floats = TensorProto.FLOAT
    return model_of([scan], ["last", "doubles"], start=(floats, [3]), x=(floats, [4, 3]))


@pytest.mark.parametrize(
    "attributes", [{}, {"scan_input_directions": [1]}, {"scan_output_directions": [1]}, {"scan_output_axes": [1]}]
)
def test_scan(attributes, run):
    model, feed = scan_model(**attributes), {"start": np.ones(3, np.float32), "x": X}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, feed)
    for got, want in zip(run(model, feed), expected):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def loop_model(condition: list[onnx.NodeProto]) -> onnx.ModelProto:
    """x doubled in each step; `condition` makes `going` from `i`, `cond` and `v`."""
    body = helper.make_graph(
        [helper.make_node("Add", ["v", "v"], ["w"]), *condition],
        "body",
        values(i=(TensorProto.INT64, []), cond=(TensorProto.BOOL, []), v=(TensorProto.FLOAT, [4, 3])),
        values(going=(TensorProto.BOOL, []), w=(TensorProto.FLOAT, [4, 3])),
    )
    nodes = [
        helper.make_node("Constant", [], ["count"], value_int=5),
        helper.make_node("Loop", ["count", "", "x"], ["y"], name="loop", body=body),
    ]
    return model_of(nodes, ["y"], x=(TensorProto.FLOAT, [4, 3]))


def test_loop_runs_its_trip_count(run):
    model = loop_model([helper.make_node("Identity", ["cond"], ["going"])])
    np.testing.assert_array_equal(run(model, {"x": X})[0], 32 * X)


def test_loop_stops_on_a_known_condition(run):
    limit = helper.make_node("Constant", [], ["two"], value_int=2)
    model = loop_model([limit, helper.make_node("Less", ["i", "two"], ["going"])])
    np.testing.assert_array_equal(run(model, {"x": X})[0], 8 * X)


def test_a_condition_on_data_is_asked_in_every_step(run):
    total = helper.make_node("ReduceSum", ["v"], ["total"], keepdims=0)
    limit = helper.make_node("Constant", [], ["limit"], value_float=100.0)
    model = loop_model([total, limit, helper.make_node("Less", ["total", "limit"], ["going"])])
    for first in (np.full((4, 3), 3.0, np.float32), np.full((4, 3), -1.0, np.float32), np.ones((4, 3), np.float32)):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(run(model, {"x": first})[0], session.run(None, {"x": first})[0])
