"""Strings, sequences, optionals and random numbers: host nodes by name, and the NPU for what lies between them."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from npucc import backend
from npucc.execution import Execution
from npucc.frontend import check_model
from npuisa.errors import NpuError
from segment_models import agree, model_of

RNG = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


SPLIT = """
split (float[7, 3] x, float[3, 2] w) => (float[7, 2] y, seq(float[n, 2]) parts, int64 count) {
  p = MatMul(x, w)
  pieces = SplitToSequence<axis = 0>(p, three)
  parts = SequenceMap(pieces) <body = act (float[n, 2] e) => (float[n, 2] f) { g = Exp(e)  f = Add(g, g) }>
  count = SequenceLength(parts)
  y0 = ConcatFromSequence<axis = 0>(parts)
  y = Tanh(y0)
}
"""


def split_model() -> onnx.ModelProto:
    model = model_of(SPLIT)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(3), "three"))
    return model


def test_sequences_and_the_arithmetic_around_them():
    result = agree(split_model(), {"x": floats(7, 3), "w": floats(3, 2)}, with_onnxruntime=False)
    host = {node.op for node in result.nodes if node.where == "host"}
    assert host <= {
        "SplitToSequence",
        "SequenceLength",
        "ConcatFromSequence",
        "SequenceAt",
        "SequenceEmpty",
        "SequenceInsert",
    }
    computed = {name for segment in result.segments if segment.where == "npu" for name in segment.nodes}
    assert {"MatMul_0", "Tanh_5"} <= computed and any(
        name.endswith(("Exp_0", "Exp")) or "Exp" in name for name in computed
    )


def test_strings_select_what_is_computed():
    model = model_of("""
      words (string[n] w, float[n, 2] x) => (float[m, 2] y, string[n] upper, string[1] greeting) {
        greeting = Constant<value_strings = ["hello"]>()
        is_stop = Equal(w, stop)
        keep = Not(is_stop)
        y0 = Compress<axis = 0>(x, keep)
        y = Exp(y0)
        upper = StringNormalizer<case_change_action = "UPPER">(w)
      }
    """)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(["a"], object), "stop"))
    result = agree(model, {"w": np.array(["a", "bc", "a", "é"], object), "x": floats(4, 2)}, with_onnxruntime=False)
    assert result.placement["Equal_1"] == "host" and result.placement["Not_2"] == "npu"
    assert result.placement["StringNormalizer_5"] == "host" and result.placement["Exp_4"] == "npu"


@pytest.mark.parametrize("given", [True, False])
def test_optionals(given: bool):
    model = model_of("""
      maybe (optional(float[2]) o, float[2] x) => (float[2] y) {
        has = OptionalHasElement(o)
        y = If(has) <
          then_branch = some () => (float[2] a) { v = OptionalGetElement(o)  a = Add(v, x) },
          else_branch = none () => (float[2] b) { b = Neg(x) }
        >
      }
    """)
    result = agree(model, {"o": floats(2) if given else None, "x": floats(2)}, with_onnxruntime=False)
    assert "OptionalHasElement_0" in result.host_nodes and result.placement["If_1"] == "npu"


def test_random_numbers_come_from_the_host_and_the_rest_does_not():
    model = model_of(
        "noise (float[64, 64] x) => (float[64, 64] y) { r = RandomNormalLike<seed = 1.0>(x)  y = Add(x, r) }"
    )
    x = floats(64, 64)
    result = Execution(model).run({"x": x})
    assert result.host_nodes == ["RandomNormalLike_0"] and result.placement["Add_1"] == "npu"
    assert abs(float((result.outputs["y"] - x).mean())) < 0.1


def test_a_model_without_a_program():
    """All nodes on the host: no cycles, and the report says so."""
    model = model_of("""
      texts (string[2] a, string[2] b) => (string[2] c) { c = StringConcat(a, b) }
    """)
    result = agree(model, {"a": np.array(["x", "y"], object), "b": np.array(["1", "2"], object)})
    assert result.cycles == 0 and [segment.where for segment in result.segments] == ["host"]


def test_check_says_where_and_why():
    reports = {report.name: report for report in check_model(split_model())}
    names = ("MatMul_0", "SplitToSequence_1", "SequenceMap_2", "ConcatFromSequence_4", "Tanh_5")
    assert [reports[name].where for name in names] == ["npu", "host", "npu", "host", "npu"]
    assert "sequence" in reports["SplitToSequence_1"].rule and reports["Tanh_5"].found


def test_a_host_node_that_fails_is_named():
    model = model_of("""
      bad (float[2] x) => (float[2] y) {
        s = SequenceConstruct(x)  five = Constant<value = int64 {5}>()  y = SequenceAt(s, five)
      }
    """)
    with pytest.raises(NpuError) as caught:
        Execution(model).run({"x": floats(2)})
    assert caught.value.entry.code == "NPU-E1020" and "SequenceAt_2" in caught.value.where


def test_strings_where_onnx_has_numbers():
    with pytest.raises(NpuError, match="E0510"):
        Execution(model_of("bad (string[2] s) => (float[2] y) { y = Relu(s) }")).run(
            {"s": np.array(["a", "b"], object)}
        )


def test_backend_interface():
    model = split_model()
    assert (
        backend.supports_device("NPU")
        and not backend.supports_device("GPU")
        and not backend.supports_device("NPU:none")
    )
    assert backend.is_compatible(model)
    unknown = model_of("bad (float[2] x) => (float[2] y) { y = local.Missing(x) }")
    assert not backend.is_compatible(unknown)
    prepared = backend.prepare(model)
    outputs = prepared.run([floats(7, 3), floats(3, 2)])
    assert isinstance(outputs[1], list) and prepared.placement["MatMul_0"] == "npu"
    assert "SplitToSequence_1" in prepared.host_nodes and len(prepared.history) == 1
    node = onnx.helper.make_node("Add", ["a", "b"], ["c"])
    assert backend.run_node(node, [np.float32(1), np.ones(2, np.float32)])[0].tolist() == [2.0, 2.0]


def test_ops_that_the_reference_lacks():
    """Against onnxruntime."""
    model = model_of("""
      classes (float[2, 3] x, string[4] names) => (int64[4] numbers, seq(map(int64, float)) scored) {
        numbers = ai.onnx.ml.CategoryMapper<cats_strings = ["a", "b"], cats_int64s = [3, 5]>(names)
        y = Exp(x)
        scored = ai.onnx.ml.ZipMap<classlabels_int64s = [7, 8, 9]>(y)
      }
    """)
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 1))
    values = {"x": floats(2, 3), "names": np.array(["b", "a", "z", "b"], object)}
    result = Execution(model).run(values)
    expected = ort.InferenceSession(model.SerializeToString()).run(None, values)
    np.testing.assert_array_equal(result.outputs["numbers"], expected[0])
    wanted = cast("list[dict[int, float]]", expected[1])
    for row, other in zip(result.outputs["scored"], wanted, strict=True):
        assert row == pytest.approx(other, rel=1e-5)
    assert result.placement["Exp_1"] == "npu"


def test_multinomial_draws_by_probability():
    model = model_of("""
      draw (float[2, 3] x) => (int32[2, 4000] y) { y = Multinomial<sample_size = 4000, seed = 2.0>(x) }
    """)
    shares = np.array([[0.2, 0.3, 0.5], [0.9, 0.1, 0.0]])
    with np.errstate(divide="ignore"):
        drawn = Execution(model).run({"x": np.log(shares).astype(np.float32)}).outputs["y"]
    found = [[float((row == index).mean()) for index in range(3)] for row in drawn]
    np.testing.assert_allclose(found, shares, atol=0.03)
    assert drawn.dtype == np.int32
