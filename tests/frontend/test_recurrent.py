"""RNN, GRU and LSTM against onnxruntime: directions, biases, initial states, options."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(13)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STEPS, BATCH, WIDTH, HIDDEN = 4, 2, 3, 5


def normal(*shape: int) -> np.ndarray:
    return (0.5 * RNG.standard_normal(shape)).astype(np.float32)


def operands(op: str, directions: int, optional: bool) -> list[np.ndarray | None]:
    """x, w, r and, if asked for, b, initial_h, (initial_c, peepholes)."""
    gates = GATES[op]
    inputs: list[np.ndarray | None] = [
        normal(STEPS, BATCH, WIDTH),
        normal(directions, gates * HIDDEN, WIDTH),
        normal(directions, gates * HIDDEN, HIDDEN),
    ]
    if optional:
        inputs += [normal(directions, 2 * gates * HIDDEN), None, normal(directions, BATCH, HIDDEN)]
        if op == "LSTM":
            inputs += [normal(directions, BATCH, HIDDEN), normal(directions, 3 * HIDDEN)]
    return inputs


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("optional", [False, True])
def test_directions_and_optional_inputs(op, direction, optional, matches_onnxruntime):
    inputs = operands(op, 2 if direction == "bidirectional" else 1, optional)
    outputs = 3 if op == "LSTM" else 2
    constants = [index for index, array in enumerate(inputs) if index in (1, 2, 3, 7) and array is not None]
    options = {"hidden_size": HIDDEN, "direction": direction, "outputs": outputs}
    matches_onnxruntime(op, inputs, constants=constants, **options)


def test_gru_linear_before_reset(matches_onnxruntime):
    inputs = operands("GRU", 1, True)
    matches_onnxruntime("GRU", inputs, outputs=2, hidden_size=HIDDEN, linear_before_reset=1)


def test_lstm_input_forget_and_clip(matches_onnxruntime):
    inputs = operands("LSTM", 1, True)[:7]
    matches_onnxruntime("LSTM", inputs, outputs=3, hidden_size=HIDDEN, clip=0.4)


def test_other_activations(matches_onnxruntime):
    options = {"activations": ["HardSigmoid", "Relu"], "activation_alpha": [0.3], "activation_beta": [0.4]}
    matches_onnxruntime("GRU", operands("GRU", 1, True), outputs=2, hidden_size=HIDDEN, **options)


def test_batch_first_layout(one_node, run):
    inputs = operands("LSTM", 1, False)
    first = run(one_node("LSTM", inputs, outputs=3, hidden_size=HIDDEN), {f"x{i}": a for i, a in enumerate(inputs)})
    inputs[0] = inputs[0].transpose(1, 0, 2)
    feed = {f"x{i}": a for i, a in enumerate(inputs)}
    second = run(one_node("LSTM", inputs, outputs=3, hidden_size=HIDDEN, layout=1), feed)
    np.testing.assert_allclose(second[0], first[0].transpose(2, 0, 1, 3), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second[1], first[1].transpose(1, 0, 2), rtol=1e-5, atol=1e-6)
