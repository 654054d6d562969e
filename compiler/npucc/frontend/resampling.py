"""Where the elements of a resized axis come from: coordinates, nearest elements, weights of interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from npucc.frontend.problems import Unsupported
from npucc.types import Array


@dataclass(frozen=True)
class AxisResize:
    """One axis: sizes, the scale that the coordinate transformation uses, and the region of interest."""

    input: int
    output: int
    scale: float
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class Sampling:
    """How output positions map to input positions, and how values there are interpolated."""

    mode: str
    coordinates: str
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    extrapolation: float = 0.0
    antialias: bool = False


def beyond_the_input(axis: AxisResize, sampling: Sampling) -> Array:
    """Which output positions of a crop lie outside of the input."""
    source = source_coordinates(axis, sampling.coordinates)
    return ((source < 0) | (source > axis.input - 1)) & (sampling.coordinates == "tf_crop_and_resize")


def source_coordinates(axis: AxisResize, coordinates: str) -> Array:
    """Input position of each output position; in f32 as in onnxruntime and the ONNX reference (ties depend on it)."""
    out, scale = np.arange(axis.output, dtype=np.float32), np.float32(axis.scale)
    match coordinates:
        case "asymmetric":
            return out / scale
        case "half_pixel":
            return (out + np.float32(0.5)) / scale - np.float32(0.5)
        case "pytorch_half_pixel":
            half = np.float32(0.5)
            return (out + half) / scale - half if axis.output > 1 else np.zeros_like(out)
        case "half_pixel_symmetric":
            adjustment = axis.output / (axis.scale * axis.input)
            center = axis.input / 2
            return np.float32(center * (1 - adjustment)) + (out + np.float32(0.5)) / scale - np.float32(0.5)
        case "align_corners":
            # The resized length is input * scale, not rounded, as in the ONNX reference.
            steps = axis.input * axis.scale - 1
            return out * (axis.input - 1) / steps if axis.output > 1 else np.zeros_like(out)
        case "tf_half_pixel_for_nn":
            return (out + np.float32(0.5)) / scale
        case "tf_crop_and_resize":
            last = axis.input - 1
            if axis.output == 1:
                return np.full_like(out, 0.5 * (axis.start + axis.end) * last)
            return axis.start * last + out * (axis.end - axis.start) * last / (axis.output - 1)
        case _:
            raise Unsupported("a coordinate transformation of ONNX", f"`{coordinates}`")


def nearest_positions(axis: AxisResize, sampling: Sampling) -> Array:
    """Input element of each output element in nearest mode."""
    source = source_coordinates(axis, sampling.coordinates)
    match sampling.nearest:
        case "floor":
            chosen = np.floor(source)
        case "ceil":
            chosen = np.ceil(source)
        case "round_prefer_floor":
            chosen = np.ceil(source - 0.5)
        case "round_prefer_ceil":
            chosen = np.floor(source + 0.5)
        case _:
            raise Unsupported("a rounding of ONNX's nearest mode", f"`{sampling.nearest}`")
    return np.clip(chosen, 0, axis.input - 1).astype(np.int64)


def _kernel(distance: Array, sampling: Sampling) -> Array:
    """Interpolation weight at a distance: a triangle, or Keys' cubic."""
    d = np.abs(distance)
    if sampling.mode == "linear":
        return np.clip(1.0 - d, 0.0, None)
    a = sampling.cubic
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def interpolation_taps(axis: AxisResize, sampling: Sampling) -> tuple[Array, Array]:
    """[output, taps] positions within the input and their weights.

    Taps that fall on one element (beyond the border it is the last one) share their weights equally, so that none
    of them is 0 unless all are: 0 * inf is not 0. Taps that count nowhere are left out.
    """
    source = source_coordinates(axis, sampling.coordinates)
    stretch = max(1.0 / axis.scale, 1.0) if sampling.antialias else 1.0
    reach = math.ceil((1 if sampling.mode == "linear" else 2) * stretch)
    taps = np.floor(source).astype(np.int64)[:, None] + np.arange(-reach + 1, reach + 1)
    weights = _kernel((taps - source[:, None]) / stretch, sampling)
    if sampling.exclude_outside or sampling.antialias:
        inside = (taps >= 0) & (taps < axis.input)
        weights = np.where(inside, weights, 0.0) if sampling.exclude_outside else weights
        weights = weights / weights.sum(axis=1, keepdims=True)
    positions = np.clip(taps, 0, axis.input - 1)
    equal = positions[:, :, None] == positions[:, None, :]
    shared = (equal * weights[:, None, :]).sum(2) / equal.sum(2)
    used = shared.any(axis=0)
    return positions[:, used], shared[:, used]


def interpolation_matrix(axis: AxisResize, sampling: Sampling) -> Array:
    """[output, input] weights."""
    positions, weights = interpolation_taps(axis, sampling)
    matrix = np.zeros((axis.output, axis.input))
    np.add.at(matrix, (np.arange(axis.output)[:, None], positions), weights)
    return matrix
