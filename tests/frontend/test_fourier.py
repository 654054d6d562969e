"""Fourier transforms against NumPy's in f64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(5)
LENGTHS = [1, 2, 3, 10, 31, 32, 45, 64, 97, 128]


def pairs(values: np.ndarray) -> np.ndarray:
    return np.stack([values.real, values.imag], -1)


def given_at(inputs) -> list[int]:
    """Positions behind the first that are not left out."""
    return [index for index, value in enumerate(inputs) if index and value is not None]


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(expected).max(initial=0)))


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from(LENGTHS),
    change=st.sampled_from([None, -1, 3]),
    axis=st.sampled_from([1, 2, -2]),
    inverse=st.booleans(),
    real=st.booleans(),
    opset=st.sampled_from([17, 20]),
)
def test_two_sided(size, change, axis, inverse, real, opset, one_node, run):
    shape = (2, size, 3) if axis == 1 else (2, 3, size)
    x = RNG.standard_normal((*shape, 1 if real else 2)).astype(np.float32)
    length = size if change is None else max(size + change, 1)
    inputs = [x, None if change is None else np.array(length)]
    inputs += [np.array(axis)] if opset == 20 else []
    options = {} if opset == 20 else {"axis": axis}
    model = one_node("DFT", inputs, opset=opset, constants=given_at(inputs), inverse=int(inverse), **options)
    signal = x[..., 0].astype(np.float64) + (0 if real else 1j * x[..., 1])
    transform = np.fft.ifft if inverse else np.fft.fft
    close(run(model, {"x0": x})[0], pairs(transform(signal, length, axis=1 if axis == 1 else 2)))


@pytest.mark.parametrize("size", LENGTHS[1:])
@pytest.mark.parametrize("change", [None, -1, 3])
def test_one_sided_of_real_signals(size, change, one_node, run):
    x = RNG.standard_normal((2, size, 1)).astype(np.float32)
    length = size if change is None else size + change
    inputs = [x, None if change is None else np.array(length)]
    model = one_node("DFT", inputs, constants=given_at(inputs), axis=1, onesided=1)
    close(run(model, {"x0": x})[0], pairs(np.fft.rfft(x[..., 0].astype(np.float64), length)))


@pytest.mark.parametrize("half", [2, 3, 6, 17, 33, 64])
@pytest.mark.parametrize("length", [None, 1, 2, 5, 10, 11, 70])
def test_inverse_one_sided(half, length, one_node, run):
    """The imaginary parts of the first and the middle point count for nothing, whatever they are."""
    x = RNG.standard_normal((2, half, 2)).astype(np.float32)
    inputs = [x, None if length is None else np.array(length), np.array(1)]
    model = one_node("DFT", inputs, opset=20, constants=given_at(inputs), inverse=1, onesided=1)
    expected = np.fft.irfft(x[..., 0].astype(np.float64) + 1j * x[..., 1], length)
    close(run(model, {"x0": x})[0], expected[..., None])


@pytest.mark.parametrize("length", [16, 30, 45])
@pytest.mark.parametrize("step", [1, 7, 16, 40])
@pytest.mark.parametrize("parts, onesided", [(1, 1), (1, 0), (2, 0)])
def test_frames(length, step, parts, onesided, one_node, run):
    samples = 93
    x = RNG.standard_normal((2, samples, parts)).astype(np.float32)
    window = np.hanning(length).astype(np.float32)
    model = one_node("STFT", [x, np.array(step), window], opset=17, constants=[1], onesided=onesided)
    signal = x[..., 0].astype(np.float64) + (1j * x[..., 1] if parts == 2 else 0)
    frames = np.stack([signal[:, i : i + length] for i in range(0, samples - length + 1, step)], 1) * window
    spectrum = np.fft.fft(frames)[..., : length // 2 + 1 if onesided else length]
    close(run(model, {"x0": x, "x2": window})[0], pairs(spectrum))


def test_frames_of_signals_without_a_part_axis(one_node, run):
    """[batch, length], as exporters write it and onnxruntime takes it."""
    x = RNG.standard_normal((2, 50)).astype(np.float32)
    model = one_node("STFT", [x, np.array(10), np.hanning(20).astype(np.float32)], opset=17, constants=[1, 2])
    frames = np.stack([x[:, i : i + 20] for i in range(0, 31, 10)], 1).astype(np.float64) * np.hanning(20)
    close(run(model, {"x0": x})[0], pairs(np.fft.rfft(frames)))


@pytest.mark.parametrize("bins, length, rate, edges", [(8, 16, 8192, (0, 4096)), (40, 512, 16000, (20, 7600))])
def test_mel_weights(bins, length, rate, edges, matches_reference):
    low, high = (np.array(edge, np.float32) for edge in edges)
    inputs = [np.array(bins), np.array(length), np.array(rate), low, high]
    matches_reference("MelWeightMatrix", inputs, constants=range(5))
