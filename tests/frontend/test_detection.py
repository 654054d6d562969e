"""Non-maximum suppression against onnxruntime, with equal scores, flipped corners, overlaps at the threshold."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.frontend.ops import detection
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parent))

from bounded_results import run_node


def by_onnxruntime(node, inputs, opset):
    kinds = [TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT]
    given = [helper.make_tensor_value_info(n, kinds[i], inputs[i].shape) for i, n in enumerate(node.input) if n]
    graph = helper.make_graph([node], "g", given, [helper.make_tensor_value_info("y", TensorProto.INT64, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {n: inputs[i] for i, n in enumerate(node.input) if n})[0]


@pytest.fixture(scope="module")
def monkeypatch_few():
    """Sets from how many candidates on all boxes take part, so that small cases take both ways."""
    patch = pytest.MonkeyPatch()
    yield lambda few: patch.setattr(detection, "FEW", few)
    patch.undo()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 14), st.integers(0, 16),
       st.sampled_from([0.0, 0.3, 0.5, 1.0]),
       st.sampled_from([None, 0.0, 0.4]), st.booleans(), st.sampled_from([10, 11]), st.sampled_from([1, 4, 512]),
       st.integers(0, 999))  # fmt: skip
def test_against_onnxruntime(monkeypatch_few, batches, classes, count, most, iou, least, centres, opset, few, seed):
    monkeypatch_few(few)
    rng = np.random.default_rng(seed)
    boxes = rng.integers(0, 8, (batches, count, 4)).astype(np.float32)
    if centres:
        boxes[..., 2:] += 1
    scores = rng.choice(np.float32([0.1, 0.4, 0.5, 0.9]), (batches, classes, count))
    inputs = [boxes, scores, np.array([most]), np.array([iou], np.float32)]
    inputs += [] if least is None else [np.array([least], np.float32)]
    names = ["b", "s", "m", "i", "t"][: len(inputs)]
    node = helper.make_node("NonMaxSuppression", names, ["y"], center_point_box=int(centres))
    (found,) = run_node(node, inputs, known=[2, 3, 4], opset=opset)
    assert np.array_equal(found, by_onnxruntime(node, inputs, opset))


def test_thresholds_may_be_computed():
    rng = np.random.default_rng(5)
    inputs = [rng.random((1, 9, 4), np.float32), rng.random((1, 2, 9), np.float32), np.array([4])]
    inputs += [np.float32([0.2]), np.float32([0.3])]
    node = helper.make_node("NonMaxSuppression", ["b", "s", "m", "i", "t"], ["y"])
    (found,) = run_node(node, inputs, known=[2])
    assert len(found) and np.array_equal(found, by_onnxruntime(node, inputs, 11))


@pytest.mark.parametrize(("boxes", "classes", "most"), [(0, 2, 3), (3, 0, 3), (3, 2, 0)])
def test_nothing_to_select(boxes, classes, most):
    inputs = [np.zeros((1, boxes, 4), np.float32), np.zeros((1, classes, boxes), np.float32), np.array([most])]
    (found,) = run_node(helper.make_node("NonMaxSuppression", ["b", "s", "m"], ["y"]), inputs, known=[2])
    assert found.shape == (0, 3) and found.dtype == np.int64


def test_scores_that_are_no_numbers_of_their_own():
    """-inf is a score like any other without a threshold."""
    boxes = np.float32([[[0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 6, 6]]])
    scores = np.float32([[[-np.inf, 2, -np.inf]]])
    inputs = [boxes, scores, np.array([3]), np.float32([0.5])]
    node = helper.make_node("NonMaxSuppression", ["b", "s", "m", "i"], ["y"])
    (found,) = run_node(node, inputs, known=[2, 3])
    assert np.array_equal(found, by_onnxruntime(node, inputs, 11))
