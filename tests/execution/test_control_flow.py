"""Branches and loops whose shapes change from step to step: the driver runs their bodies, whose parts are programs."""

from __future__ import annotations

import numpy as np
import pytest
from npucc.execution import Execution
from npuisa.errors import NpuError
from segment_models import agree, model_of

RNG = np.random.default_rng(6)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_branches_of_different_shapes():
    model = model_of("""
      branches (float[3, 4] x) => (float y) {
        total = ReduceSum<keepdims = 0>(x)
        zero = Constant<value = float {0.0}>()
        positive = Greater(total, zero)
        chosen = If(positive) <
          then_branch = wide () => (float[3, 8] a) { a = Concat<axis = 1>(x, x) },
          else_branch = narrow () => (float[4] b) {
            axes = Constant<value = int64[1] {0}>()  b = ReduceMax<keepdims = 0>(x, axes)
          }
        >
        y = Exp(chosen)
      }
    """)
    x = np.abs(floats(3, 4))
    result = agree(model, {"x": x}, {"x": -x})
    assert result.host_nodes == [] and result.placement["If_3"] == "npu"


def test_a_branch_that_does_not_fit_the_shapes_is_not_asked():
    """Exporters write both: squeeze the axis if its size is 1, else leave it."""
    model = model_of("""
      squeezed (float[n, 4] x) => (float y) {
        shape = Shape(x)  first = Constant<value = int64 {0}>()  rows = Gather(shape, first)
        one = Constant<value = int64 {1}>()  single = Equal(rows, one)
        y = If(single) <
          then_branch = yes () => (float[4] a) { axis = Constant<value = int64[1] {0}>()  a = Squeeze(x, axis) },
          else_branch = no () => (float[n, 4] b) { b = Identity(x) }
        >
      }
    """)
    agree(model, {"x": floats(1, 4)}, {"x": floats(3, 4)})


GROWING = """
growing (int64 steps, float[1, 3] x, float[3, 3] w) => (float[n, 3] all, float[k, 3] lasts) {
  go = Constant<value = int32 {1}>()
  cond = Cast<to = 9>(go)
  all, lasts = Loop(steps, cond, x) <
    body = step (int64 i, bool c, float[m, 3] past) => (bool c2, float[p, 3] now, float[3] last) {
      minus = Constant<value = int64 {-1}>()
      row = Gather<axis = 0>(past, minus)
      last0 = MatMul(row, w)
      last = Tanh(last0)
      axes = Constant<value = int64[1] {0}>()
      entry = Unsqueeze(last, axes)
      now = Concat<axis = 0>(past, entry)
      c2 = Identity(c)
    }
  >
}
"""


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_carried_tensor_grows(steps: int):
    result = agree(model_of(GROWING), {"steps": np.array(steps), "x": floats(1, 3), "w": floats(3, 3)})
    assert result.host_nodes == []


def test_the_condition_of_a_growing_loop_is_computed():
    """Collatz's sequence: the number of steps is known at the end only, and the tensor holds all numbers so far."""
    model = model_of("""
      collatz (int64[1] start) => (int64[n] numbers) {
        limit = Constant<value = int64 {1000}>()
        one = Constant<value = int64[1] {1}>()  two = Constant<value = int64[1] {2}>()
        three = Constant<value = int64[1] {3}>()
        go1 = Cast<to = 9>(one)  scalar = Constant<value = int64[0] {}>()  go = Reshape(go1, scalar)
        flat = Constant<value = int64[1] {-1}>()
        numbers = Loop(limit, go, start) <
          body = step (int64 i, bool c, int64[m] past) => (bool more, int64[p] now) {
            last = Gather(past, flat)
            rest = Mod(last, two)
            odd0 = Mul(last, three)  odd = Add(odd0, one)  even = Div(last, two)
            is_odd = Cast<to = 9>(rest)
            next = Where(is_odd, odd, even)
            now = Concat<axis = 0>(past, next)
            done0 = Equal(next, one)  open = Not(done0)
            more = Reshape(open, scalar)
          }
        >
      }
    """)
    result = agree(model, {"start": np.array([6])}, {"start": np.array([7])})
    assert result.outputs["numbers"][-1] == 1 and len(result.outputs["numbers"]) == 17
    assert result.host_nodes == []


def test_programs_of_a_body_are_compiled_once_per_shape():
    """A body that waits for a value in each step, but whose shapes stay, has few programs and many runs."""
    model = model_of("""
      waiting (int64 steps, float[4] x) => (float[4] y) {
        yes = Constant<value = int32 {1}>()  go = Cast<to = 9>(yes)
        y = Loop(steps, go, x) <
          body = step (int64 i, bool c, float[4] v) => (bool c2, float[4] w) {
            four = Constant<value = int64[1] {4}>()  zero = Constant<value = int64[1] {0}>()
            half = Constant<value = float {0.5}>()
            kept = NonZero(v)  shape = Shape(kept)  pick = Constant<value = int64[1] {1}>()
            count = Gather(shape, pick)
            top, where = TopK(v, count)
            rest0 = Sub(four, count)  pads = Concat<axis = 0>(zero, rest0)
            filled = Pad(top, pads)  w = Mul(filled, half)
            c2 = Identity(c)
          }
        >
      }
    """)
    result = agree(model, {"steps": np.array(6), "x": np.array([3, 0, -2, 5], np.float32)})
    assert result.host_nodes == []
    assert len(result.segments) <= 3 and max(segment.runs for segment in result.segments) >= 1


def test_loops_nest_and_see_outer_values():
    model = model_of("""
      nested (int64 outer, float[2] x, float[2] bias) => (float[n] y) {
        yes = Constant<value = int32 {1}>()  go = Cast<to = 9>(yes)
        y = Loop(outer, go, x) <
          body = rows (int64 i, bool c, float[m] past) => (bool c2, float[p] now) {
            one = Constant<value = int64 {1}>()  inner = Add(i, one)  base = Add(x, bias)
            part = Loop(inner, go, base) <
              body = columns (int64 j, bool d, float[q] before) => (bool d2, float[r] after) {
                scaled = Mul(base, bias)  after = Concat<axis = 0>(before, scaled)  d2 = Identity(d)
              }
            >
            now = Concat<axis = 0>(past, part)
            c2 = Identity(c)
          }
        >
      }
    """)
    result = agree(model, {"outer": np.array(3), "x": floats(2), "bias": floats(2)})
    assert result.outputs["y"].shape == (2 + (2 + 2) + (2 + 4) + (2 + 6),)


def test_a_loop_without_steps_gives_empty_scan_outputs():
    """onnx.reference has no empty scan outputs; onnxruntime gives them the shape that the body declares."""
    model = model_of(GROWING)
    values = {"steps": np.array(0), "x": floats(1, 3), "w": floats(3, 3)}
    outputs = Execution(model).run(values).outputs
    np.testing.assert_array_equal(outputs["all"], values["x"])
    assert outputs["lasts"].shape == (0, 3) and outputs["lasts"].dtype == np.float32


def test_unknown_ops_in_bodies_are_named_before_anything_runs():
    """Also in the branch that would not be taken, as long as the condition is not known."""
    model = model_of("""
      branches (float[2] x) => (float y) {
        total = ReduceSum<keepdims = 0>(x)
        positive = Cast<to = 9>(total)
        y = If(positive) <
          then_branch = a () => (float[2] p) { p = local.Missing(x) },
          else_branch = b () => (float[2] q) { q = Neg(x) }
        >
      }
    """)
    with pytest.raises(NpuError, match=r"local\.Missing") as caught:
        Execution(model).run({"x": np.zeros(2, np.float32)})
    assert caught.value.entry.code == "NPU-E0510"


@pytest.mark.parametrize("start", ["false", "input"])
def test_a_growing_loop_that_does_not_start_keeps_its_initial_value(start: str):
    given = "bool going" if start == "input" else "bool unused"
    going = "go = Identity(going)" if start == "input" else "off = Constant<value_int = 0>()  go = Cast<to = 9>(off)"
    for grown in ("wide = Concat<axis = 0>(a, x)", "b = Concat<axis = 0>(a, a)  wide = Concat<axis = 1>(b, b)"):
        model = model_of(f"""
          loop ({given}, float[2, 2] x) => (float[n, m] y, float[k] sums) {{
            {going}
            trips = Constant<value_int = 3>()
            y, sums = Loop(trips, go, x) <body = step (int64 i, bool c, float[p, q] a) =>
                (bool d, float[r, s] wide, float t) {{
              d = Identity(c)  {grown}  t = ReduceSum<keepdims = 0>(a)
            }}>
          }}
        """)
        flag = model.graph.input[0].name
        result = Execution(model).run({flag: np.array(False), "x": np.eye(2, dtype=np.float32)})
        np.testing.assert_array_equal(result.outputs["y"], np.eye(2))
        assert np.shape(result.outputs["sums"]) == (0,)


ONE_STEP = "body = step (int64 i, bool c, float[1] p) => (bool d, float[1] q) { d = Identity(c) q = Neg(p) }"
ROW = "num_scan_inputs = 1, body = row (float p) => (float q) { q = Neg(p) }"


@pytest.mark.parametrize(
    "nodes",
    [
        """y = If(x) <then_branch = a () => (float[1] p) { p = Abs(x) },
                     else_branch = b () => (float[1] q) { q = Neg(x) }>""",
        f"y = Loop(x, , x) <{ONE_STEP}>",
        f"y = Loop(, x, x) <{ONE_STEP}>",
        f"y = Scan(x) <scan_input_axes = [3], {ROW}>",
        f"y = Scan(x) <scan_output_axes = [3], {ROW}>",
        f"y = Scan(x) <scan_input_directions = [5], {ROW}>",
        f"y, z = Scan(x) <{ROW}>",
        f"trips = Constant<value_int = 2>()  y, z = Loop(trips, , x) <{ONE_STEP}>",
    ],
)
def test_control_that_breaks_the_specification_is_named(nodes: str):
    model = model_of(f"broken (float[1] x) => (float y) {{ {nodes} }}")
    with pytest.raises(NpuError, match="NPU-E0508"):
        Execution(model).run({"x": np.ones(1, np.float32)})


def test_a_growing_loop_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch):
    """A value grows along two axes, and the condition stays true whatever the data: no limit is known before."""
    monkeypatch.setattr("npucc.execution.control.MOST_STEPS", 3)
    model = model_of("""
      endless (float[1, 1] x) => (float[n, m] y) {
        true = Constant<value = bool {1}>()
        y = Loop("", true, x) <body = grow (int64 i, bool c, float[a, b] p) => (bool going, float[d, e] q) {
          wide = Concat<axis = 1>(p, p)
          q = Concat<axis = 0>(wide, wide)
          total = ReduceSum<keepdims = 0>(q)
          squared = Mul(total, total)
          zero = Constant<value = float {0.0}>()
          going = GreaterOrEqual(squared, zero)
        }>
      }
    """)
    with pytest.raises(NpuError, match="NPU-E1022"):
        Execution(model).run({"x": np.ones((1, 1), np.float32)})
