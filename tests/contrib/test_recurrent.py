"""DynamicQuantizeLSTM against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(51)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def weights(directions: int, rows: int, hidden: int, dtype: type, columns: bool) -> list[np.ndarray]:
    """Bytes, scale and zero point."""
    stored = RNG.integers(-100, 100, (directions, rows, 4 * hidden))
    shift = 128 if dtype == np.uint8 else 0
    shape = (directions, 4 * hidden) if columns else (directions,)
    scale = RNG.uniform(0.004, 0.006, shape).astype(np.float32)
    return [(stored + shift).astype(dtype), scale, np.full(shape, shift, dtype)]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize(("direction", "directions"), [("forward", 1), ("reverse", 1), ("bidirectional", 2)])
@pytest.mark.parametrize("full", [False, True])
def test_lstm(dtype, columns, direction, directions, full, matches_onnxruntime):
    hidden, features, batch, steps = 6, 5, 2, 4
    w, w_scale, w_zero = weights(directions, features, hidden, dtype, columns)
    r, r_scale, r_zero = weights(directions, hidden, hidden, dtype, columns)
    inputs = [normal(steps, batch, features), w, r]
    if full:
        states = [normal(directions, batch, hidden) for _ in range(2)]
        inputs += [normal(directions, 8 * hidden), None, *states, normal(directions, 3 * hidden)]
    else:
        inputs += [None] * 5
    inputs += [w_scale, w_zero, r_scale, r_zero]
    known = [index for index in (1, 2, 3, 7, 8, 9, 10, 11) if inputs[index] is not None]
    # A state that lies half-way between two steps may round the other way: one step is 1 / 127 of the state's range.
    matches_onnxruntime(
        "DynamicQuantizeLSTM", inputs, outputs=[True, True, True], constants=known, hidden_size=hidden,
        direction=direction, rtol=0, atol=0.01,
    )  # fmt: skip


def test_on_the_device(matches_onnxruntime):
    w, w_scale, w_zero = weights(1, 12, 16, np.int8, False)
    r, r_scale, r_zero = weights(1, 16, 16, np.int8, False)
    inputs = [normal(5, 1, 12), w, r, normal(1, 128), None, None, None, None, w_scale, w_zero, r_scale, r_zero]
    matches_onnxruntime(
        "DynamicQuantizeLSTM", inputs, outputs=[True, True, True], constants=[1, 2, 3, 8, 9, 10, 11], hidden_size=16,
        device=True, rtol=0, atol=0.01,
    )  # fmt: skip
