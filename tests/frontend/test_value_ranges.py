"""Ops at the ends of their types' ranges: integers, half precision, infinities, values near 0."""

from __future__ import annotations

import numpy as np
import pytest
from npuisa.errors import NpuError
from onnx import TensorProto, helper

RNG = np.random.default_rng(5)
F32 = np.float32


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integer_means_truncate(dtype, one_node, run):
    x = np.array([[1, 2, 3, 5], [10, 20, 30, 41], [-1, -2, -3, -5]], dtype)
    y = run(one_node("ReduceMean", [x], opset=13, axes=[1], keepdims=0), {"x0": x})[0]
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, [2, 25, -2])


def test_integer_gemm_with_a_fraction_is_refused(one_node, run):
    a = np.ones((2, 2), np.int32)
    with pytest.raises(NpuError, match=r"0\.5"):
        run(one_node("Gemm", [a, a], constants=[1], alpha=0.5), {"x0": a})


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("exponent", [np.array(0.5, F32), np.array(1.5, np.float64), np.array(2, np.int64)])
def test_integer_powers_take_any_exponent(exponent, constant, matches_onnxruntime):
    x = np.array([4, 9, 16], np.int32)
    matches_onnxruntime("Pow", [x, exponent], constants=[1] if constant else [], rtol=0, atol=0)


def test_half_power_of_infinity_and_zero(one_node, run):
    x = np.array([-np.inf, -0.0, 4.0], F32)
    y = run(one_node("Pow", [x, np.array(0.5, F32)], constants=[1]), {"x0": x})[0]
    np.testing.assert_array_equal(y, [np.inf, 0.0, 2.0])
    assert not np.signbit(y).any()


@pytest.mark.parametrize("bounds", [(np.finfo(F32).min, np.finfo(F32).max), (0.0, np.finfo(F32).max), (5.0, 3.0)])
@pytest.mark.parametrize("opset", [6, 13])
def test_clip_bounds_bind_infinities(bounds, opset, one_node, run):
    x = np.array([-np.inf, np.inf, 1.0, np.nan, 4.0], F32)
    low, high = (np.asarray(bound, F32) for bound in bounds)
    if opset == 6:
        model = one_node("Clip", [x], opset=6, min=float(low), max=float(high))
    else:
        model = one_node("Clip", [x, low, high], constants=[1, 2])
    np.testing.assert_array_equal(run(model, {"x0": x})[0], np.minimum(np.maximum(x, low), high))


def test_clip_bounds_beyond_f64(matches_onnxruntime):
    x = np.array([2**60 + 7, 1, 2**53 + 5], np.int64)
    low, high = np.array(2**53 + 1), np.array(2**60 + 3)
    matches_onnxruntime("Clip", [x, low, high], constants=[1, 2], rtol=0, atol=0)


def half(scale: float, *shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * scale).astype(np.float16)


def in_f64(x: np.ndarray, axes: tuple[int, ...], epsilon: float = 1e-5) -> np.ndarray:
    wide = x.astype(np.float64)
    centered = wide - wide.mean(axes, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axes, keepdims=True) + epsilon)


def close_to_half(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == np.float16
    np.testing.assert_allclose(actual.astype(np.float64), expected, rtol=2e-3, atol=2e-3)


def test_half_precision_normalizations_do_not_overflow(one_node, run):
    x, ones, zeros = half(500, 1, 2, 16, 16), np.ones(2, np.float16), np.zeros(2, np.float16)
    feed = {"x0": x, "x1": ones, "x2": zeros}
    y = run(one_node("InstanceNormalization", [x, ones, zeros]), feed)[0]
    close_to_half(y, in_f64(x, (2, 3)))
    y = run(one_node("GroupNormalization", [x, ones, zeros], opset=21, num_groups=1), feed)[0]
    close_to_half(y, in_f64(x, (1, 2, 3)))
    y = run(one_node("MeanVarianceNormalization", [x], axes=[0, 2, 3]), feed)[0]
    close_to_half(y, in_f64(x, (0, 2, 3), 0.0))


def test_half_precision_norms_do_not_overflow(one_node, run):
    x = half(500, 1, 4, 8, 8)
    wide = x.astype(np.float64)
    y = run(one_node("LpNormalization", [x], axis=1), {"x0": x})[0]
    close_to_half(y, wide / np.sqrt((wide**2).sum(1, keepdims=True)))
    y = run(one_node("LpPool", [x], kernel_shape=[2, 2], strides=[2, 2], opset=18), {"x0": x})[0]
    blocks = (wide**2).reshape(1, 4, 4, 2, 4, 2)
    close_to_half(y, np.sqrt(blocks.sum((3, 5))))
    y = run(one_node("ReduceL2", [x], axes=[1, 2, 3], keepdims=0), {"x0": x})[0]
    close_to_half(y, np.sqrt((wide**2).sum((1, 2, 3))))
    y = run(one_node("LRN", [x], size=3, alpha=1e-4, beta=0.75, bias=1.0), {"x0": x})[0]
    padded = np.pad(wide**2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    total = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    close_to_half(y, wide / (1.0 + 1e-4 / 3 * total) ** 0.75)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "AveragePool", "ReduceMean"])
def test_half_precision_means_of_many(op, one_node, run):
    """Neither the sum (409600) nor the count (66049) is a number of f16."""
    size = 64 if op == "AveragePool" else 257
    x = np.full((1, 1, size, size), 100, np.float16)
    options = {"AveragePool": {"kernel_shape": [size, size]}, "ReduceMean": {"axes": [2, 3]}}.get(op, {})
    np.testing.assert_array_equal(run(one_node(op, [x], **options), {"x0": x})[0], np.full((1, 1, 1, 1), 100))


@pytest.mark.parametrize(
    ("shape", "options"),
    [((1, 1, 7, 7), {"kernel_shape": [7, 7]}), ((1, 1, 6, 6), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})],
)
def test_averages_are_divided(shape, options, one_node, run):
    """A window of equal elements c * n / n is c exactly, which a product with 1 / n misses."""
    x = np.full(shape, 5.0, F32)
    y = run(one_node("AveragePool", [x], **options), {"x0": x})[0]
    np.testing.assert_array_equal(y, np.full(y.shape, 5.0, F32))


TAILS = np.array([-30, -20, -15, -1e-4, -1e-6, 0, 1e-6, 1e-5, 1e-4, 1, 15, 89], F32)


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        ("Softplus", lambda x: np.logaddexp(x, 0)),
        ("Mish", lambda x: x * np.tanh(np.logaddexp(x, 0))),
        ("Sinh", np.sinh),
        ("Cosh", np.cosh),
        ("Elu", lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x)),
        ("Celu", lambda x: np.maximum(x, 0) + np.expm1(np.minimum(x, 0))),
    ],
)
@pytest.mark.parametrize("dtype", [F32, np.float64])
def test_small_results_keep_their_digits(op, reference, dtype, one_node, run):
    x = TAILS.astype(dtype)
    y = run(one_node(op, [x], opset=18), {"x0": x})[0]
    np.testing.assert_allclose(y, reference(x.astype(np.float64)), rtol=1e-6 if dtype is F32 else 1e-13)


def test_hyperbolic_functions_of_infinities(one_node, run):
    x = np.array([-np.inf, np.inf, np.nan, -200, 200], F32)
    with np.errstate(over="ignore"):
        for op, function in (("Sinh", np.sinh), ("Cosh", np.cosh)):
            np.testing.assert_array_equal(run(one_node(op, [x]), {"x0": x})[0], function(x))


def test_log_sum_exp_of_infinities(matches_onnxruntime, one_node, run):
    x = np.array([[-np.inf, -np.inf], [np.inf, 1], [1, 2], [-np.inf, 3], [np.nan, 1]], F32)
    y = run(one_node("ReduceLogSumExp", [x], opset=13, axes=[1], keepdims=0), {"x0": x})[0]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(y, np.logaddexp(x[:, 0], x[:, 1]), rtol=1e-6)


def test_lp_normalization_of_tiny_values(one_node, run):
    x = np.array([[1e-39, 1e-39], [0, 0], [3, -1]], F32)
    y = run(one_node("LpNormalization", [x], p=1), {"x0": x})[0]
    np.testing.assert_allclose(y, [[0.5, 0.5], [0, 0], [0.75, -0.25]], rtol=1e-6)


@pytest.mark.parametrize("start", [-9, -3, 2, 9])
def test_backward_slices_clamp_their_start(start, matches_onnxruntime):
    x = np.arange(3, dtype=F32)
    inputs = [x, *(np.array([value], np.int64) for value in (start, -9, 0, -1))]
    matches_onnxruntime("Slice", inputs, constants=[1, 2, 3, 4])


def test_attributes_are_f32_for_f64_tensors(one_node, run):
    x = np.array([-1.0, 1.0])
    y = run(one_node("LeakyRelu", [x], alpha=0.01), {"x0": x})[0]
    np.testing.assert_array_equal(y, [-float(F32(0.01)), 1.0])


def test_sums_of_zeros_keep_their_sign(run):
    node = helper.make_node("Add", ["x", "z"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    zero = helper.make_tensor("z", TensorProto.FLOAT, [], [0.0])
    model = helper.make_model(
        helper.make_graph([node], "zeros", values[:1], values[1:], [zero]), opset_imports=[helper.make_opsetid("", 17)]
    )
    assert not np.signbit(run(model, {"x": np.array([-0.0, 0.0], F32)})[0]).any()


@pytest.mark.parametrize(
    ("op", "function", "values"),
    [
        ("Asinh", np.arcsinh, [-1e30, -20, -1e-4, -1e-7, 0, 1e-6, 3, 1e25, np.inf]),
        ("Acosh", np.arccosh, [1, 1 + 2**-20, 1.5, 20, 1e30, np.inf, 0.5]),
        ("Atanh", np.arctanh, [-1, -0.5, -1e-6, 0, 1e-7, 0.9, 1, 2]),
    ],
)
@pytest.mark.parametrize("dtype", [F32, np.float64])
def test_inverse_hyperbolic_functions(op, function, values, dtype, one_node, run):
    x = np.array(values, dtype)
    with np.errstate(all="ignore"):
        expected = function(x.astype(np.float64))
    np.testing.assert_allclose(run(one_node(op, [x]), {"x0": x})[0], expected, rtol=1e-6 if dtype is F32 else 1e-13)


def test_backward_slices_of_constants_clamp_their_start(one_node, run):
    x = np.arange(3, dtype=F32)
    bounds = [np.array([value], np.int64) for value in (-9, -9, 0, -1)]
    model = one_node("Slice", [x, *bounds], constants=[0, 1, 2, 3, 4])
    np.testing.assert_array_equal(run(model, {})[0], [0.0])
