"""Loops whose values grow, whose body slices at the step, and that stop when the data says so: on the device."""

from __future__ import annotations

import npucc
import numpy as np
import onnx
import onnxruntime
import pytest
from npucc.dialects.graph import LoopOp
from npucc.frontend import import_model
from npuisa.target import Target
from onnx import TensorProto, helper

WIDTH, MOST = 6, 9
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def constant(name: str, array: np.ndarray) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(array))


def value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def decoder(stops_early: bool) -> onnx.ModelProto:
    """Attention over a cache that grows by a row per step; a row of a table is added at each step; it stops after MOST
    steps, or (`stops_early`) when the sum of the state falls below a limit."""
    rng = np.random.default_rng(3)
    body = [
        constant("one", np.array(1, np.int64)),
        constant("zero1", np.array([0], np.int64)),
        constant("most", np.array(MOST, np.int64)),
        constant("limit", np.array(0.3, np.float32)),
        helper.make_node("Add", ["count", "one"], ["count_next"]),
        helper.make_node("Unsqueeze", ["count", "zero1"], ["begin"]),
        helper.make_node("Unsqueeze", ["count_next", "zero1"], ["end"]),
        helper.make_node("Slice", ["table", "begin", "end", "zero1"], ["place"]),
        helper.make_node("Add", ["state", "place"], ["x"]),
        helper.make_node("MatMul", ["x", "wk"], ["key"]),
        helper.make_node("Concat", ["keys", "key"], ["keys_next"], axis=0),
        helper.make_node("Transpose", ["keys_next"], ["keys_t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "keys_t"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "keys_next"], ["mixed"]),
        helper.make_node("Tanh", ["mixed"], ["state_next"]),
        helper.make_node("ReduceSum", ["state_next"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "limit"], ["high"]),
        helper.make_node("Less", ["count_next", "most"], ["more"]),
        helper.make_node("And", ["high" if stops_early else "more", "more"], ["going"]),
        helper.make_node("Identity", ["state_next"], ["row"]),
    ]
    graph = helper.make_graph(
        body,
        "body",
        [
            value("step", INT64, []),
            value("cond", BOOL, []),
            value("count", INT64, []),
            value("state", FLOAT, [1, WIDTH]),
            value("keys", FLOAT, ["n", WIDTH]),
        ],
        [
            value("going", BOOL, []),
            value("count_next", INT64, []),
            value("state_next", FLOAT, [1, WIDTH]),
            value("keys_next", FLOAT, ["m", WIDTH]),
            value("row", FLOAT, [1, WIDTH]),
        ],
    )
    nodes = [
        helper.make_node(
            "Loop", ["", "true", "zero", "start", "cache"], ["count_", "last", "keys_", "rows"], body=graph
        )
    ]
    initializers = {
        "true": np.array(True),
        "zero": np.array(0, np.int64),
        "table": rng.standard_normal((MOST + 3, WIDTH)).astype(np.float32),
        "wk": rng.standard_normal((WIDTH, WIDTH)).astype(np.float32),
    }
    model = helper.make_graph(
        nodes,
        "decoder",
        [value("start", FLOAT, [1, WIDTH]), value("cache", FLOAT, [2, WIDTH])],
        [
            value("count_", INT64, []),
            value("last", FLOAT, [1, WIDTH]),
            value("keys_", FLOAT, ["k", WIDTH]),
            value("rows", FLOAT, ["r", 1, WIDTH]),
        ],
        [onnx.numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("stops_early", [False, True])
def test_decoder_with_a_growing_cache(stops_early: bool) -> None:
    """One program; lengths and values are those of onnxruntime, also for inputs that stop at other steps."""
    model, lengths = decoder(stops_early), set[int]()
    loops = [op.step_limit for op in import_model(model).module.walk() if isinstance(op, LoopOp)]
    assert loops == [MOST]
    reference = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    target = Target.load("edge-4t")
    program = npucc.compile(model, target)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        inputs = {
            "start": rng.standard_normal((1, WIDTH)).astype(np.float32),
            "cache": rng.standard_normal((2, WIDTH)).astype(np.float32),
        }
        expected = reference.run(None, inputs)
        found = npucc.simulate(program, inputs, target=target, cycles=False).outputs
        assert found["count_"] == expected[0]
        for name, want in zip(("last", "keys_", "rows"), expected[1:], strict=True):
            assert found[name].shape == want.shape
            np.testing.assert_allclose(found[name], want, rtol=1e-4, atol=1e-5)
        lengths.add(int(expected[0]))
    assert lengths == {MOST} if not stops_early else len(lengths) > 1
