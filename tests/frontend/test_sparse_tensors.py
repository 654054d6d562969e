"""Sparse initializers and constants are read as dense ones."""

from __future__ import annotations

import npucc.backend
import numpy as np
import pytest
from onnx import TensorProto, helper


def stored(name: str, flat: bool):
    """5 at (0, 1), 7 at (2, 3) of a 3 x 4 matrix."""
    places = helper.make_tensor("places", TensorProto.INT64, [2] if flat else [2, 2], [1, 11] if flat else [0, 1, 2, 3])
    return helper.make_sparse_tensor(helper.make_tensor(name, TensorProto.FLOAT, [2], [5.0, 7.0]), places, [3, 4])


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("constant", [True, False])
def test_dense_form(flat, constant, run):
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    if constant:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=stored("", flat)))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in "xy")
    graph = helper.make_graph(nodes, "sparse", [x], [y], sparse_initializer=[] if constant else [stored("w", flat)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    expected = np.ones((3, 4), np.float32)
    expected[0, 1] += 5
    expected[2, 3] += 7
    ones = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(run(model, {"x": ones})[0], expected)
    np.testing.assert_array_equal(npucc.backend.prepare(model).run([ones])[0], expected)
