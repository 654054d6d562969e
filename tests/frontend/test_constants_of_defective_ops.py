"""Nodes of constants alone that onnx's evaluator gets wrong: the device computes them, as onnxruntime does."""

from __future__ import annotations

from typing import Any

import npucc.backend
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

RNG = np.random.default_rng(5)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


CASES: list[tuple[str, int, dict[str, Any], list[np.ndarray]]] = [
    ("LpNormalization", 14, {"axis": 0, "p": 1}, [floats(5)]),
    ("LRN", 13, {"size": 3, "alpha": 0.5}, [floats(1, 6, 2, 2)]),
    ("Hardmax", 11, {"axis": 1}, [floats(2, 3, 4)]),
    ("ConvTranspose", 11, {"group": 2}, [floats(1, 4, 3, 3), floats(4, 2, 2, 2), floats(4)]),
    (
        "QLinearMatMul",
        10,
        {},
        [
            RNG.integers(0, 255, (3, 4)).astype(np.uint8), np.float32(0.05), np.uint8(100),
            RNG.integers(0, 255, (4, 5)).astype(np.uint8), np.float32(0.03), np.uint8(120),
            np.float32(0.04), np.uint8(117),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "op, opset, attributes, operands", CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_constants_are_right(op: str, opset: int, attributes: dict[str, Any], operands: list[np.ndarray]) -> None:
    """The op reads initializers only; one input of the model passes by."""
    names = [f"c{index}" for index in range(len(operands))]
    nodes = [helper.make_node(op, names, ["y"], **attributes), helper.make_node("Identity", ["x"], ["z"])]
    outputs = [onnx.ValueInfoProto(name="y"), helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [2])]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])]
    constants = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in zip(names, operands)]
    graph = helper.make_graph(nodes, "constants", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    x = floats(2)
    session = onnxruntime.InferenceSession(onnx.shape_inference.infer_shapes(model).SerializeToString())
    expected = session.run(None, {"x": x})[0]
    found = npucc.backend.prepare(model).run([x])[0]
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=1e-4, atol=1e-5)
