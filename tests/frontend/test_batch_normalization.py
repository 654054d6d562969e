"""Batch normalization in training, per activation, and with parameters of another type, against NumPy in f64."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(41)
MOMENTUM, EPSILON = 0.8, 1e-3


def inputs_of(shape, parameters, dtype=np.float32):
    x = RNG.standard_normal(shape).astype(np.float32)
    scale, bias, mean = (RNG.standard_normal(parameters).astype(dtype) for _ in range(3))
    return [x, scale, bias, mean, RNG.uniform(0.5, 2, parameters).astype(dtype)]


def expected(inputs, axes, trains):
    """[y, running mean, running variance, batch mean, batch variance]."""
    x, scale, bias, mean, variance = (each.astype(np.float64) for each in inputs)
    batch = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    if axes != (0,):
        scale, bias, mean, variance = (p.reshape(-1, *[1] * (x.ndim - 2)) for p in (scale, bias, mean, variance))
    used = batch if trains else (mean, variance)
    y = (x - used[0]) / np.sqrt(used[1] + EPSILON) * scale + bias
    flat = [each.reshape(inputs[3].shape) for each in batch]
    running = [old * MOMENTUM + new * (1 - MOMENTUM) for old, new in zip(inputs[3:], flat)]
    return [y, *running, *flat]


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 5)])
def test_training_gives_running_statistics(shape, one_node, run):
    inputs = inputs_of(shape, (3,))
    model = one_node("BatchNormalization", inputs, opset=15, outputs=3, training_mode=1, momentum=0.8, epsilon=1e-3)
    found = run(model, {f"x{index}": array for index, array in enumerate(inputs)})
    wanted = expected(inputs, tuple(axis for axis in range(len(shape)) if axis != 1), trains=True)
    for actual, values in zip(found, wanted[:3]):
        np.testing.assert_allclose(actual, values, rtol=1e-4, atol=1e-5)


def test_training_without_the_statistics_normalizes_by_the_batch(one_node, run):
    inputs = inputs_of((4, 3, 5), (3,))
    model = one_node("BatchNormalization", inputs, opset=14, constants=[1, 2, 3, 4], training_mode=1, epsilon=1e-3)
    np.testing.assert_allclose(
        run(model, {"x0": inputs[0]})[0], expected(inputs, (0, 2), True)[0], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("opset, options", [(6, {"is_test": 0}), (7, {}), (9, {})])
def test_before_opset_14_the_outputs_ask_for_training(opset, options, one_node, run):
    inputs = inputs_of((4, 3, 5), (3,))
    options = {"momentum": MOMENTUM, "epsilon": EPSILON, **options}
    model = one_node("BatchNormalization", inputs, opset=opset, outputs=5, **options)
    found = run(model, {f"x{index}": array for index, array in enumerate(inputs)})
    for actual, values in zip(found, expected(inputs, (0, 2), trains=True)):
        np.testing.assert_allclose(actual, values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("opset", [6, 7])
def test_per_activation(opset, known, one_node, run):
    """spatial = 0: every activation has its own statistics."""
    inputs = inputs_of((4, 3, 5), (3, 5))
    options = {"spatial": 0, "epsilon": EPSILON, **({"is_test": 1} if opset == 6 else {})}
    model = one_node("BatchNormalization", inputs, opset=opset, constants=[1, 2, 3, 4] if known else [], **options)
    feed = {"x0": inputs[0]} if known else {f"x{index}": array for index, array in enumerate(inputs)}
    np.testing.assert_allclose(run(model, feed)[0], expected(inputs, (0,), False)[0], rtol=1e-4, atol=1e-5)


def test_statistics_wider_than_the_data(one_node, run):
    """From opset 15 on f16 data may have f32 parameters."""
    inputs = inputs_of((2, 3, 4), (3,))
    inputs[0] = inputs[0].astype(np.float16)
    model = one_node("BatchNormalization", inputs, opset=15, epsilon=EPSILON)
    found = run(model, {f"x{index}": array for index, array in enumerate(inputs)})[0]
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected(inputs, (0, 2), False)[0], rtol=2e-3, atol=2e-3)
