"""Ops that ONNX took back, against onnxruntime, which still runs them."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(2)
X = RNG.standard_normal((2, 3, 6, 5)).astype(np.float32)


@pytest.mark.parametrize(
    "op, attributes",
    [
        ("Affine", {"alpha": 2.0, "beta": -0.5}),
        ("ImageScaler", {"scale": 0.5, "bias": [1.0, -2.0, 3.0]}),
        ("Crop", {"border": [1, 2, 1, 0]}),
        ("Crop", {"border": [1, 2, 1, 1], "scale": [3, 2]}),
        ("ParametricSoftplus", {"alpha": 0.5, "beta": 2.0}),
        ("ScaledTanh", {"alpha": 0.5, "beta": 2.0}),
    ],
)
def test_attributes(op, attributes, matches_onnxruntime):
    matches_onnxruntime(op, [X], opset=7, **attributes)


def test_scale(one_node, run):
    """onnxruntime has no kernel for it on every platform."""
    np.testing.assert_allclose(run(one_node("Scale", [X], opset=7, scale=3.0), {"x0": X})[0], X * 3, rtol=1e-6)


def test_dynamic_slice(matches_onnxruntime):
    starts, ends, axes = np.array([1, -4]), np.array([2, 100]), np.array([1, 2])
    matches_onnxruntime("DynamicSlice", [X, starts, ends, axes], opset=7, constants=[1, 2, 3])
