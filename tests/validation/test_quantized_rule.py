"""The rule for quantized models: what passes, and that wrong arithmetic does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from npucc.comparison import Tolerance, compare
from npucc.quantized_rule import close_in_steps, is_quantized, judge_quantized, quantized_tensors, right_by_steps
from npucc.reference import run_reference
from onnx import helper, numpy_helper

Array = Any
RNG = np.random.default_rng(21)
LAYERS = 3


def dynamic_model(step: float = 0.0) -> onnx.ModelProto:
    """Layers of DynamicQuantizeLinear - MatMulInteger - scale; `step`: added to each product (wrong arithmetic)."""
    rng = np.random.default_rng(1)
    weights = [numpy_helper.from_array(np.float32(step), "step")]
    nodes: list[onnx.NodeProto] = []
    name = "x"
    for layer in range(LAYERS):
        w = rng.integers(-100, 100, (16, 16)).astype(np.int8)
        weights.append(numpy_helper.from_array(w, f"w{layer}"))
        weights.append(numpy_helper.from_array(np.float32(0.003), f"s{layer}"))
        nodes += [
            helper.make_node("DynamicQuantizeLinear", [name], [f"q{layer}", f"a{layer}", f"z{layer}"]),
            helper.make_node("MatMulInteger", [f"q{layer}", f"w{layer}", f"z{layer}"], [f"i{layer}"]),
            helper.make_node("Cast", [f"i{layer}"], [f"f{layer}"], to=1),
            helper.make_node("Mul", [f"a{layer}", f"s{layer}"], [f"t{layer}"]),
            helper.make_node("Mul", [f"f{layer}", f"t{layer}"], [f"m{layer}"]),
            helper.make_node("Add", [f"m{layer}", "step"], [f"y{layer}"]),
        ]
        name = f"y{layer}"
    x = helper.make_tensor_value_info("x", 1, [8, 16])
    y = helper.make_tensor_value_info(name, 1, [8, 16])
    graph = helper.make_graph(nodes, "dynamic", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def values() -> dict[str, Array]:
    return {"x": RNG.standard_normal((8, 16)).astype(np.float32)}


def stepped(step: float, inputs: Mapping[str, Array]):
    """An NPU that adds `step` to every product."""

    def run(watched: onnx.ModelProto) -> dict[str, Array]:
        copy = onnx.ModelProto()
        copy.CopyFrom(watched)
        for tensor in copy.graph.initializer:
            if tensor.name == "step":
                tensor.CopyFrom(numpy_helper.from_array(np.float32(step), "step"))
        return run_reference(copy, inputs)

    return run


def test_which_models_are_quantized():
    assert is_quantized(dynamic_model())
    plain = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> m (float[2] x) => (float[2] y) { y = Abs(x) }'
    )
    assert not is_quantized(plain)
    assert quantized_tensors(dynamic_model())[:3] == ["q0", "a0", "z0"]


def test_integers_are_close_within_a_step():
    reference = RNG.integers(0, 200, 10_000).astype(np.uint8)
    one, two = reference.copy(), reference.copy()
    one[:5000] += 1
    two[:20] += 2
    assert close_in_steps(one, reference)
    assert not close_in_steps(two, reference)
    two[10:] = reference[10:]
    assert close_in_steps(two, reference)


def test_floats_are_close_within_a_hundredth_of_full_scale():
    reference = np.array([10.0, -2.0, np.inf, np.nan, 0.0], np.float32)
    assert close_in_steps(reference + np.array([0.09, -0.09, 0, 0, 0.09], np.float32), reference)
    assert not close_in_steps(reference + np.array([0, 0, 0, 0, 0.11], np.float32), reference)
    assert not close_in_steps(np.nan_to_num(reference), reference)


@pytest.mark.parametrize(("step", "right"), [(0.0, True), (1e-6, True), (0.05, False)])
def test_steps_are_judged_one_by_one(step, right):
    """A millionth flips steps at most; a twentieth of a typical value is wrong at the first quantization."""
    inputs = values()
    run = stepped(step, inputs)
    outputs = {"y2": run(dynamic_model())["y2"]}
    assert (right_by_steps(dynamic_model(), inputs, outputs, run, Tolerance()) == {"y2"}) is right


def test_an_error_behind_the_last_step_is_seen():
    inputs = values()
    run = stepped(0.0, inputs)
    outputs = {"y2": run(dynamic_model())["y2"] * np.float32(1.1)}
    assert right_by_steps(dynamic_model(), inputs, outputs, run, Tolerance()) == set()


def test_verdicts():
    inputs = values()
    reference = run_reference(dynamic_model(), inputs)
    for factor, how in ((1.005, "close"), (1.05, None)):
        outputs = {"y2": reference["y2"] * np.float32(factor)}
        compared = [compare("y2", outputs["y2"], reference["y2"], Tolerance())]
        run = stepped(0.0, inputs)
        judge_quantized(dynamic_model(), inputs, compared, outputs, reference, run, Tolerance())
        assert (compared[0].passed, compared[0].quantized) == (how is not None, how)
