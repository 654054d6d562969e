"""Optimizer steps on the device, against onnx.reference."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from npucc import backend
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(11)
SHAPES = [(3, 4), (5,)]

CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("Adagrad", 1, {"decay_factor": 0.1, "epsilon": 1e-5, "norm_coefficient": 0.01}),
    ("Adagrad", 1, {"epsilon": 1e-3}),
    ("Momentum", 1, {"alpha": 0.95, "beta": 0.1, "norm_coefficient": 0.01, "mode": "standard"}),
    ("Momentum", 1, {"alpha": 0.9, "beta": 1.0, "norm_coefficient": 0.0, "mode": "nesterov"}),
    ("Adam", 2, {"alpha": 0.9, "beta": 0.999, "epsilon": 1e-3, "norm_coefficient": 0.01}),
    ("Adam", 2, {"norm_coefficient_post": 0.05}),
]


@pytest.mark.parametrize("updates", [0, 7])
@pytest.mark.parametrize("tensors", [1, 2])
@pytest.mark.parametrize("op, states, attributes", CASES)
def test_step(op: str, states: int, attributes: dict[str, Any], tensors: int, updates: int):
    groups = ["x", "g", *(f"s{index}" for index in range(states))]
    shapes = {f"{group}{index}": SHAPES[index] for group in groups for index in range(tensors)}
    outputs = [f"{name}_new" for name in shapes if not name.startswith("g")]
    node = helper.make_node(op, ["r", "t", *shapes], outputs, domain="ai.onnx.preview.training", **attributes)
    inputs = [
        helper.make_tensor_value_info("r", TensorProto.FLOAT, []),
        helper.make_tensor_value_info("t", TensorProto.INT64, []),
        *(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()),
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.preview.training", 1)]
    model = helper.make_model(helper.make_graph([node], "step", inputs, results), opset_imports=opsets)
    values = {name: np.abs(RNG.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    values |= {"r": np.float32(0.1), "t": np.int64(updates)}
    prepared = backend.prepare(model)
    wanted = cast("list[np.ndarray]", ReferenceEvaluator(model).run(None, values))
    for actual, expected in zip(prepared.run(values), wanted):
        np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)
    assert prepared.host_nodes == []
