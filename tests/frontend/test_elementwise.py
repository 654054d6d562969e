"""Element-wise ops against onnx.reference, with broadcasting and the attributes that changed between opsets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.frontend.ops.activation import clip_inputs
from npucc.frontend.registry import find_importer

RNG = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


UNARY = [
    "Abs",
    "Neg",
    "Exp",
    "Floor",
    "Ceil",
    "Round",
    "Sign",
    "Tanh",
    "Erf",
    "Sin",
    "Cos",
    "Tan",
    "Sinh",
    "Cosh",
    "Sigmoid",
    "Relu",
    "Softplus",
    "Softsign",
    "Selu",
    "Elu",
    "LeakyRelu",
    "HardSigmoid",
    "HardSwish",
    "Celu",
    "ThresholdedRelu",
    "Identity",
    "IsNaN",
    "Shrink",
]


@pytest.mark.parametrize("op", UNARY)
def test_unary(op, matches_reference):
    matches_reference(op, [2 * normal(3, 5)])


@pytest.mark.parametrize("op", ["Log", "Sqrt", "Reciprocal"])
def test_unary_of_positive(op, matches_reference):
    matches_reference(op, [np.abs(normal(4, 3)) + 0.1])


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("LeakyRelu", {"alpha": 0.3}),
        ("Elu", {"alpha": 1.7}),
        ("HardSigmoid", {"alpha": 0.11, "beta": 0.4}),
        ("Selu", {"alpha": 1.2, "gamma": 0.9}),
        ("Celu", {"alpha": 0.6}),
        ("ThresholdedRelu", {"alpha": 0.2}),
        ("Gelu", {"opset": 20}),
        ("Gelu", {"opset": 20, "approximate": "tanh"}),
        ("Mish", {"opset": 18}),
        ("Swish", {"opset": 24, "alpha": 0.7}),
        ("IsInf", {"detect_negative": 0}),
    ],
)
def test_activation_attributes(op, attributes, matches_reference):
    matches_reference(op, [3 * normal(2, 7)], **attributes)


@settings(max_examples=30, deadline=None)
@given(
    op=st.sampled_from(["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Less", "Greater", "Equal", "Sum"]),
    left=st.sampled_from([(), (1,), (3,), (2, 3), (2, 1), (4, 1, 3), (1, 2, 3)]),
    right=st.sampled_from([(), (1,), (3,), (2, 3), (2, 1), (4, 2, 3), (4, 1, 1)]),
)
def test_binary_broadcasts(op, left, right, matches_reference):
    a, b = (np.abs(normal(*shape)) + np.float32(0.5) for shape in (left, right))
    matches_reference(op, [np.asarray(a), np.asarray(b)])


@pytest.mark.parametrize(
    ("op", "low", "high"),
    [("Asin", -1, 1), ("Acos", -1, 1), ("Atan", -30, 30), ("Asinh", -30, 30), ("Acosh", 1, 30), ("Atanh", -0.99, 0.99)],
)
def test_inverse_functions(op, low, high, matches_reference):
    x = np.linspace(low, high, 401, dtype=np.float32)
    matches_reference(op, [x], rtol=2e-6, atol=5e-7)


@pytest.mark.parametrize(
    ("op", "low", "high"),
    [("Asin", -1, 1), ("Acos", -1, 1), ("Atan", -30, 30), ("Tan", -1.5, 1.5), ("Atanh", -0.99, 0.99)],
)
def test_inverse_functions_in_double(op, low, high, matches_reference):
    x = np.linspace(low, high, 401)
    matches_reference(op, [x], opset=22, rtol=1e-14, atol=1e-15)


def test_inverse_tangent_of_infinity(matches_reference):
    matches_reference("Atan", [np.array([np.inf, -np.inf, 0, 1e30, -1e-30], np.float32)])


def test_mean_of_three(matches_onnxruntime):
    matches_onnxruntime("Mean", [normal(2, 3), normal(3), normal(2, 1)])


@pytest.mark.parametrize("fmod", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_float_modulo_signs(fmod, dtype, matches_reference):
    a, b = np.array([-4.3, 7.2, 5.0, 4.3, -7.2, 8.0], dtype), np.array([2.1, -3.4, 8.0, -2.1, 3.4, 5.0], dtype)
    matches_reference(
        "Mod", [a, b], opset=28 if fmod == 0 else 13, fmod=fmod, rtol=5e-3 if dtype == np.float16 else 1e-4
    )


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    ("shape", "attributes"), [((3,), {"axis": 1}), ((4,), {}), ((3, 4), {"axis": 1}), ((2,), {"axis": 0})]
)
def test_opset_6_broadcast(op, shape, attributes, one_node, run):
    a, b = normal(2, 3, 4), np.abs(normal(*shape)) + 1
    model = one_node(op, [a, b], opset=6, broadcast=1, **attributes)
    axis = attributes.get("axis", 3 - len(shape))
    aligned = b.reshape((*shape, *[1] * (3 - axis - len(shape))))
    expected = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[op](a, aligned)
    np.testing.assert_allclose(run(model, {"x0": a, "x1": b})[0], expected, rtol=1e-6)


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 2.5])
def test_constant_exponents(exponent, matches_reference):
    matches_reference("Pow", [np.abs(normal(5)) + 0.1, np.array(exponent, np.float32)], constants=[1])


@pytest.mark.parametrize("fmod", [0, 1])
def test_integer_modulo_signs(fmod, matches_reference):
    a, b = np.array([-7, 7, -7, 7, 6], np.int32), np.array([3, -3, -3, 3, 3], np.int32)
    matches_reference("Mod", [a, b], fmod=fmod)


def test_integer_division_truncates(matches_onnxruntime):
    matches_onnxruntime("Div", [np.array([-7, 7, -7, 7], np.int32), np.array([3, -3, -3, 3], np.int32)])


@pytest.mark.parametrize("bounds", [(0.0, 6.0), (-1.0, None), (None, 0.5), (0.0, None), (None, None), (2.0, -2.0)])
def test_clip_bounds_by_opset(bounds, one_node, run, matches_reference):
    x = 3 * normal(4, 4)
    low, high = bounds
    arrays = [x, *(None if bound is None else np.array(bound, np.float32) for bound in bounds)]
    constants = [index for index in (1, 2) if arrays[index] is not None]
    expected = x if low is None else np.maximum(x, np.float32(low))
    expected = expected if high is None else np.minimum(expected, np.float32(high))
    new = run(one_node("Clip", arrays, opset=13, constants=constants), {"x0": x})[0]
    np.testing.assert_array_equal(new, expected)
    attributes = {name: bound for name, bound in zip(("min", "max"), bounds) if bound is not None}
    old = run(one_node("Clip", [x], opset=6, **attributes), {"x0": x})[0]
    np.testing.assert_array_equal(old, expected)


def test_clip_bounds_computed_by_the_model(matches_reference):
    matches_reference("Clip", [normal(6), np.array(-0.5, np.float32), np.array(0.5, np.float32)])


def test_importer_versions():
    assert find_importer("", "Clip", 11) is clip_inputs
    assert find_importer("", "Clip", 10) is not clip_inputs
    assert find_importer("", "NoSuchOp", 13) is None


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic(op, matches_reference):
    matches_reference(op, [RNG.random((3, 4)) > 0.5, RNG.random((4,)) > 0.5])


def test_where_broadcasts(matches_reference):
    matches_reference("Where", [RNG.random((3, 1)) > 0.5, normal(4), normal(2, 3, 4)])


@pytest.mark.parametrize("to", [1, 6, 7, 9, 10, 11])
def test_cast(to, matches_reference):
    matches_reference("Cast", [np.array([-2.7, -0.2, 0.0, 0.9, 3.5], np.float32)], to=to)


def test_dropout_is_identity_with_a_mask(matches_reference):
    matches_reference("Dropout", [normal(3, 3)], outputs=2)


def test_prelu_slopes(matches_reference):
    matches_reference("PRelu", [normal(2, 3, 4), np.abs(normal(3, 1))])
