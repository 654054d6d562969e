"""Reductions, softmax and normalizations, with the forms of older opsets."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


REDUCTIONS = [f"Reduce{name}" for name in ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp"]]


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("axes", [[1], [0, -1], None])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reduce_with_axes_input(op, axes, keepdims, matches_reference):
    inputs = [normal(3, 4, 5)] + ([np.array(axes, np.int64)] if axes else [])
    constants = [1] if axes else []
    matches_reference(op, inputs, opset=18, constants=constants, keepdims=keepdims, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax"])
def test_reduce_with_axes_attribute(op, matches_reference):
    matches_reference(op, [normal(3, 4, 5)], opset=11, axes=[2, 0], keepdims=0, atol=1e-5)


def test_reduce_without_axes_may_do_nothing(matches_reference):
    matches_reference("ReduceSum", [normal(3, 4)], opset=18, noop_with_empty_axes=1)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("opset", [9, 11, 13])
def test_softmax_by_opset(op, axis, opset, matches_onnxruntime):
    matches_onnxruntime(op, [3 * normal(2, 3, 4)], opset=opset, axis=axis)


def test_softmax_of_an_image_before_opset_13_spans_all_axes(one_node, run):
    y = run(one_node("Softmax", [normal(1, 8, 2, 3)], opset=9), {"x0": normal(1, 8, 2, 3)})[0]
    np.testing.assert_allclose(y.sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 2, 2)])
def test_batch_normalization(shape, matches_onnxruntime):
    statistics = [normal(3), normal(3), normal(3), np.abs(normal(3)) + 0.1]
    matches_onnxruntime("BatchNormalization", [normal(*shape), *statistics], constants=[1, 2, 3, 4], epsilon=1e-3)


def test_batch_normalization_of_computed_statistics(matches_onnxruntime):
    statistics = [normal(3), normal(3), normal(3), np.abs(normal(3)) + 0.1]
    matches_onnxruntime("BatchNormalization", [normal(2, 3, 4, 4), *statistics])


@pytest.mark.parametrize("size", [1, 3, 4, 5])
@pytest.mark.parametrize("shape", [(1, 7, 3, 2), (2, 5, 4)])
def test_local_response(size, shape, one_node, run):
    x = normal(*shape)
    y = run(one_node("LRN", [x], size=size, alpha=0.3, beta=0.6, bias=1.3), {"x0": x})[0]
    squares, total = x.astype(np.float64) ** 2, np.zeros(shape)
    for channel in range(shape[1]):
        first, last = max(channel - (size - 1) // 2, 0), channel + size // 2
        total[:, channel] = squares[:, first : last + 1].sum(axis=1)
    np.testing.assert_allclose(y, x / (1.3 + 0.3 / size * total) ** 0.6, rtol=1e-4)


def test_instance_normalization(matches_onnxruntime):
    matches_onnxruntime("InstanceNormalization", [normal(2, 3, 4, 5), normal(3), normal(3)], epsilon=1e-3)


@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_normalization(axis, matches_onnxruntime):
    shape = (2, 3, 4)[axis:]
    inputs = [normal(2, 3, 4), normal(*shape), normal(*shape)]
    matches_onnxruntime("LayerNormalization", inputs, axis=axis)


def test_layer_normalization_outputs(matches_reference):
    matches_reference("LayerNormalization", [normal(2, 5), normal(5)], outputs=3, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalization(opset, one_node, run):
    x, parameters = normal(2, 6, 3), 2 if opset == 18 else 6
    scale, bias = normal(parameters), normal(parameters)
    model = one_node("GroupNormalization", [x, scale, bias], opset=opset, num_groups=2)
    y = run(model, {"x0": x, "x1": scale, "x2": bias})
    groups = x.astype(np.float64).reshape(2, 2, -1)
    standard = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
    factor, shift = (np.repeat(part, 6 // parameters)[None, :, None] for part in (scale, bias))
    np.testing.assert_allclose(y[0], standard.reshape(2, 6, 3) * factor + shift, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_lp_normalization(p, matches_onnxruntime):
    matches_onnxruntime("LpNormalization", [normal(3, 4)], axis=1, p=p)


def test_mean_variance_normalization(matches_onnxruntime):
    matches_onnxruntime("MeanVarianceNormalization", [normal(2, 3, 4, 5)], opset=13)


def test_rms_normalization(matches_reference):
    matches_reference("RMSNormalization", [normal(2, 3, 8), normal(8)], opset=23, rtol=1e-4, atol=1e-5)
