"""Values that give shapes are computed by the device, in a program before the one that needs them."""

from __future__ import annotations

from typing import cast

import npucc
import numpy as np
import onnx
import pytest
from npucc.execution import Execution
from npuisa.errors import NpuError
from onnx.reference import ReferenceEvaluator
from segment_models import agree, model_of

RNG = np.random.default_rng(5)

CHAIN = """
chain (float[n, 4] x, int64[2] shape) => (float[a, b] y) {
  reshaped = Reshape(x, shape)
  most = ReduceMax<keepdims = 0>(x)
  count = Cast<to = 7>(most)
  one = Constant<value = int64[1] {1}>()
  k = Reshape(count, one)
  top, index = TopK(reshaped, k)
  y = Mul(top, top)
}
"""


def chain_inputs(rows: int, most: float, shape: list[int]) -> dict[str, np.ndarray]:
    x = RNG.uniform(-5, most, (rows, 4)).astype(np.float32)
    x[0, 0] = most
    return {"x": x, "shape": np.array(shape)}


def test_a_computed_operand_divides_the_model_into_two_programs():
    result = agree(
        model_of(CHAIN), chain_inputs(2, 2.5, [4, 2]), chain_inputs(2, 1.5, [2, 4]), chain_inputs(3, 3.0, [3, 4])
    )
    assert [segment.where for segment in result.segments] == ["npu", "npu"]
    assert result.host_nodes == []
    assert result.placement["TopK_5"] == "npu" and result.placement["Constant_3"] == "compile time"
    assert result.cycles == sum(segment.cycles for segment in result.segments)


def test_programs_are_kept():
    """The same shapes and values run the same programs; another value of k makes one more."""
    execution = Execution(model_of(CHAIN))
    first, again = (execution.run(chain_inputs(2, 2.5, [4, 2])) for _ in range(2))
    assert [run.program for run in first.runs] == [run.program for run in again.runs]
    other = execution.run(chain_inputs(2, 1.5, [4, 2]))
    assert other.runs[0].program is first.runs[0].program
    assert other.runs[1].program is not first.runs[1].program


def test_a_model_without_such_values_is_the_program_that_compile_makes():
    model = model_of(
        "plain (float[2, 3] x, float[5] unused) => (float[2, 3] y, float[2, 3] x2) { y = Relu(x)  x2 = Identity(x) }"
    )
    values = {"x": RNG.standard_normal((2, 3)).astype(np.float32), "unused": np.zeros(5, np.float32)}
    result = agree(model, values)
    program = npucc.compile(model)
    assert [run.program.instructions for run in result.runs] == [program.instructions]
    assert [port.name for port in result.runs[0].program.inputs] == ["x", "unused"]
    assert result.cycles == npucc.simulate(program).cycles


def test_shapes_that_come_from_integer_inputs_leave_one_program():
    model = model_of("""
      sized (float[n] x, int32[1] rows) => (float[a, b] y) {
        wide = Cast<to = 7>(rows)  rest = Constant<value = int64[1] {-1}>()
        shape = Concat<axis = 0>(wide, rest)  y = Reshape(x, shape)
      }
    """)
    x = RNG.standard_normal(12).astype(np.float32)
    result = agree(model, {"x": x, "rows": np.array([3], np.int32)}, {"x": x, "rows": np.array([4], np.int32)})
    assert len(result.segments) == 1


NON_ZERO = """
found (float[4, 5] x, float[4, 5] table) => (int64[r, n] index, float[a] values, int64[1] size, float[m] flat) {
  index = NonZero(x)
  pairs = Transpose(index)
  values = GatherND(table, pairs)
  size = Shape(values)
  two = Constant<value = int64[1] {2}>()
  doubled = Mul(size, two)
  again = Concat<axis = 0>(values, values)
  flat = Reshape(again, doubled)
}
"""


@pytest.mark.parametrize("count", [0, 1, 7, 20])
def test_outputs_whose_shape_depends_on_data(count: int):
    x = np.zeros(20, np.float32)
    x[RNG.permutation(20)[:count]] = 1.5
    result = agree(model_of(NON_ZERO), {"x": x.reshape(4, 5), "table": RNG.standard_normal((4, 5)).astype(np.float32)})
    assert result.host_nodes == []
    assert result.outputs["index"].shape == (2, count)


def test_a_bounded_output_is_cropped_by_every_run_of_the_program():
    """One program: its file knows which outputs are cropped to which extents."""
    program = npucc.compile(model_of("alone (float[3, 4] x) => (int64[2, n] index) { index = NonZero(x) }"))
    for density in (0.0, 0.3, 1.0):
        x = (RNG.random((3, 4)) < density).astype(np.float32)
        outputs = npucc.simulate(program, {"x": x}).outputs
        assert list(outputs) == ["index"]
        np.testing.assert_array_equal(outputs["index"], np.array(np.nonzero(x)))


def test_a_function_that_needs_a_computed_value_runs_part_by_part():
    function = """
      <opset_import: ["" : 21], domain: "local">
      trimmed (v) => (w) {
        most = ReduceMax<keepdims = 0>(v)
        count = Cast<to = 7>(most)
        one = Constant<value = int64[1] {1}>()
        k = Reshape(count, one)
        w, i = TopK(v, k)
      }
    """
    model = model_of(
        "calls (float[6] x) => (float[a] y) { t = local.trimmed(x)  u = Sqrt(t)  y = local.trimmed(u) }", function
    )
    values = {"x": np.array([3, 1.5, 1.7, 0.5, -1, 0], np.float32)}
    execution = Execution(model)
    expected = cast("list[np.ndarray]", ReferenceEvaluator(model).run(None, values))[0]
    result = execution.run(values)
    np.testing.assert_allclose(result.outputs["y"], expected)
    assert {"trimmed_0", "trimmed_0/TopK_4", "trimmed_2/TopK_4"} <= result.placement.keys()


def test_recursive_functions_end():
    function = """
      <opset_import: ["" : 21, "local" : 1], domain: "local">
      again (v) => (w) {
        s = SequenceConstruct(v)  zero = Constant<value = int64 {0}>()  u = SequenceAt(s, zero)  w = local.again(u)
      }
    """
    model = model_of("calls (float[6] x) => (float[a] y) { y = local.again(x) }", function)
    with pytest.raises(NpuError, match="nest at most"):
        Execution(model).run({"x": np.zeros(6, np.float32)})


def test_weights_are_constants_of_every_program_and_are_not_copied():
    """A product behind a computed shape reads its weights where the first program's import found them."""
    weights = RNG.standard_normal((4, 64)).astype(np.float32)
    model = model_of("""
      late (float[n, 4] x) => (float[m, 64] y) {
        most = ReduceMax<keepdims = 0>(x)  k0 = Cast<to = 7>(most)
        one = Constant<value = int64[1] {1}>()  k = Reshape(k0, one)
        zero = Constant<value = int64[1] {0}>()
        rows = Slice(x, zero, k, zero)
        y = MatMul(rows, w)
      }
    """)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    execution = Execution(model)
    programs = []
    for rows in (2, 3):
        x = np.clip(RNG.standard_normal((4, 4)), -1, rows).astype(np.float32)
        x[0, 0] = rows
        result = execution.run({"x": x})
        np.testing.assert_allclose(result.outputs["y"], x[:rows] @ weights, rtol=1e-4, atol=1e-5)
        programs.append(result.runs[-1].program)
    stored = [
        next(data for data in program.constants.values() if data.nbytes == weights.nbytes) for program in programs
    ]
    assert np.shares_memory(*stored)


def test_compile_names_the_nodes_that_wait():
    with pytest.raises(NpuError) as caught:
        npucc.compile(model_of(CHAIN), shapes={"x": (2, 4)})
    error = caught.value
    assert error.entry.code == "NPU-E0512" and "npucc run" in error.remedy and "`shape`" in error.remedy
    assert [problem.where for problem in error.problems] == ["node `Reshape_0`", "node `TopK_5`", "node `Mul_6`"]


def test_inputs_are_checked():
    execution = Execution(model_of(CHAIN))
    good = chain_inputs(2, 2.0, [4, 2])
    with pytest.raises(NpuError, match="E0011"):
        execution.run({"x": good["x"]})
    with pytest.raises(NpuError, match="E0011"):
        execution.run({**good, "x": good["x"].astype(np.float64)})
    with pytest.raises(NpuError, match="E0507"):
        execution.run({**good, "x": good["x"][:, :3]})


def test_bytes_without_a_name_are_of_the_declared_type():
    """NumPy stores 8-bit floats as anonymous bytes."""
    import ml_dtypes

    model = model_of("cast (float8e4m3fn[3] x) => (float[3] y) { y = Cast<to = 1>(x) }")
    x = np.array([0.5, -2, 3], ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(Execution(model).run({"x": x.view("V1")}).outputs["y"], x.astype(np.float32))
