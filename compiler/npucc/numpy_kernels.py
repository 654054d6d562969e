"""NumPy semantics of convolutions and windows on strided views (no im2col copy of more than one tap)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from npucc.types import Array

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def window_count(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Positions of a window along an axis: floor((size + pads - extent) / stride) + 1, at least 0."""
    extent = dilation * (kernel - 1) + 1
    return max((size + before + after - extent) // stride + 1, 0)


def pad_axes(x: Array, axes: Pair, pads: Pads, value: float | int | bool) -> Array:
    """`x` with `pads` = (lo of axis 0, lo of axis 1, hi, hi) positions of `value` added on two axes."""
    if not any(pads):
        return x
    widths = [(0, 0)] * x.ndim
    widths[axes[0]], widths[axes[1]] = (pads[0], pads[2]), (pads[1], pads[3])
    return np.pad(x, widths, constant_values=value)


def taps(x: Array, axes: Pair, kernel: Pair, counts: Pair, strides: Pair, dilations: Pair) -> list[Array]:
    """For each kernel position (row-major) the view of the padded `x` that meets the `counts` windows there."""
    views: list[Array] = []
    for position in product(range(kernel[0]), range(kernel[1])):
        box = [slice(None)] * x.ndim
        for axis, at, count, stride, dilation in zip(axes, position, counts, strides, dilations):
            start = at * dilation
            box[axis] = slice(start, start + (count - 1) * stride + 1 if count else start, stride)
        views.append(x[tuple(box)])
    return views


def conv(x: Array, w: Array, strides: Pair, dilations: Pair, pads: Pads, groups: int) -> Array:
    """x [n,h,w,ci] with w [kh,kw,ci/groups,co] -> [n,oh,ow,co], accumulated in the type of the operands."""
    kernel, counts = _window(x, w, strides, dilations, pads)
    views = taps(pad_axes(x, (1, 2), pads, 0), (1, 2), kernel, counts, strides, dilations)
    per_input, outputs = w.shape[2], w.shape[3]
    per_output = outputs // groups
    weights = w.reshape(-1, per_input, outputs)
    result = np.zeros((x.shape[0], *counts, outputs), dtype=x.dtype)
    for g in range(groups):
        columns = slice(g * per_output, (g + 1) * per_output)
        for view, tap in zip(views, weights):
            channels = view[..., g * per_input : (g + 1) * per_input]
            result[..., columns] += channels @ tap[:, columns]
    return result


def depthwise_conv(x: Array, w: Array, strides: Pair, dilations: Pair, pads: Pads) -> Array:
    """x [n,h,w,c] with w [kh,kw,c] -> [n,oh,ow,c]."""
    kernel, counts = _window(x, w, strides, dilations, pads)
    views = taps(pad_axes(x, (1, 2), pads, 0), (1, 2), kernel, counts, strides, dilations)
    result = np.zeros((x.shape[0], *counts, x.shape[3]), dtype=x.dtype)
    for view, tap in zip(views, w.reshape(-1, w.shape[2])):
        result += view * tap
    return result


def _window(x: Array, w: Array, strides: Pair, dilations: Pair, pads: Pads) -> tuple[Pair, Pair]:
    kernel = (w.shape[0], w.shape[1])
    counts = (
        window_count(x.shape[1], kernel[0], strides[0], dilations[0], pads[0], pads[2]),
        window_count(x.shape[2], kernel[1], strides[1], dilations[1], pads[1], pads[3]),
    )
    return kernel, counts


def neutral(fn: str, dtype: np.dtype) -> float | int | bool:
    """The element that does not change a sum, prod, max or min."""
    if fn in ("sum", "prod"):
        return 0 if fn == "sum" else 1
    if dtype.kind == "b":
        return fn == "min"
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return int(limits.min if fn == "max" else limits.max)
    return -np.inf if fn == "max" else np.inf


_COMBINE = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


def window_reduce(
    x: Array, fn: str, axes: Pair, sizes: Pair, strides: Pair, dilations: Pair, pads: Pads
) -> Array:
    """Reduce windows over two axes; positions in the padding hold the neutral element of `fn`."""
    counts = (
        window_count(x.shape[axes[0]], sizes[0], strides[0], dilations[0], pads[0], pads[2]),
        window_count(x.shape[axes[1]], sizes[1], strides[1], dilations[1], pads[1], pads[3]),
    )
    padded = pad_axes(x, axes, pads, neutral(fn, x.dtype))
    views = taps(padded, axes, sizes, counts, strides, dilations)
    result = views[0].copy()
    for view in views[1:]:
        _COMBINE[fn](result, view, out=result)
    return result


def reduce(x: Array, fn: str, axes: Sequence[int]) -> Array:
    """Reduce over `axes`, which stay with extent 1."""
    return _COMBINE[fn].reduce(x, axis=tuple(axes), keepdims=True, dtype=x.dtype, initial=neutral(fn, x.dtype))
