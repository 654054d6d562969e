"""NumPy semantics of the tile computations, written independently of the simulator.

Functions take and return arrays in the compute type; the interpreter stores the result into the destination.
Floating point accumulates in f32 (f64 if the accumulator is f64), integers in the accumulator's type.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.ir.affine import AffineDimExpr, AffineMap

from npucc.types import Array

Geometry = tuple[tuple[int, int, int], tuple[int, int, int]]
"""(stride, dilation, leading pad) of the two window axes."""


def matmul(a: Array, b: Array, accumulator: np.dtype[np.generic]) -> Array:
    """Batched matrix product, summed in the accumulator's type (integers exactly, then wrapped)."""
    if accumulator.kind == "f":
        return np.matmul(a.astype(accumulator, copy=False), b.astype(accumulator, copy=False))
    exact = a.dtype.itemsize <= 2 and b.dtype.itemsize <= 2 and a.shape[-1] < 1 << 20
    working = np.float64 if exact else np.int64
    # 16-bit products are below 2^32, so that f64 (53 bits) sums 2^20 of them exactly, and fast.
    return np.matmul(a.astype(working), b.astype(working)).astype(np.int64).astype(accumulator)


def aligned(array: Array, map_: AffineMap, order: Sequence[int]) -> Array:
    """`array`, whose axes are the dims that `map_` gives, with axes `order` (extent 1 if unused)."""
    axis_of = {
        expr.position: axis for axis, expr in enumerate(map_.results) if isinstance(expr, AffineDimExpr)
    }
    used = [axis_of[dim] for dim in order if dim in axis_of]
    rest = [axis for axis in range(array.ndim) if axis not in used]
    extents = [array.shape[axis_of[dim]] if dim in axis_of else 1 for dim in order]
    return array.transpose(*rest, *used).reshape(extents)


def gemm(a: Array, b: Array, maps: tuple[AffineMap, AffineMap], accumulator: np.dtype[np.generic]) -> Array:
    """dst[batch.., m, n] of `tile.gemm`."""
    rank = maps[0].num_dims - 1
    batch, m, n, k = range(rank - 2), rank - 2, rank - 1, rank
    return matmul(aligned(a, maps[0], (*batch, m, k)), aligned(b, maps[1], (*batch, k, n)), accumulator)


def padded(x: Array, axes: Sequence[int], geometry: Geometry, sizes: Sequence[int], out: Sequence[int],
           value: float | int) -> Array:  # fmt: skip
    """`x` with `value` around it, so that every window of the two `axes` lies inside."""
    widths = [(0, 0)] * x.ndim
    for axis, (stride, dilation, pad), size, extent in zip(axes, geometry, sizes, out):
        end = (extent - 1) * stride + (size - 1) * dilation + 1 - pad
        widths[axis] = (pad, max(0, end - x.shape[axis]))
    return np.pad(x, widths, constant_values=value)


def taps(x: Array, axes: Sequence[int], geometry: Geometry, sizes: Sequence[int], out: Sequence[int]):
    """For each window position (p, q): p, q and the view of padded `x` that it meets, with extents `out`."""
    (stride_a, dilation_a, _), (stride_b, dilation_b, _) = geometry
    a, b = axes
    for p in range(sizes[0]):
        for q in range(sizes[1]):
            index = [slice(None)] * x.ndim
            index[a] = slice(p * dilation_a, p * dilation_a + (out[0] - 1) * stride_a + 1, stride_a)
            index[b] = slice(q * dilation_b, q * dilation_b + (out[1] - 1) * stride_b + 1, stride_b)
            yield p, q, x[tuple(index)]


def conv(x: Array, w: Array, out: Sequence[int], geometry: Geometry, groups: int,
         accumulator: np.dtype[np.generic]) -> Array:  # fmt: skip
    """`tile.conv`: x [n, h, w, ci], w [kh, kw, ci / groups, co] -> [n, oh, ow, co], `out` = (oh, ow)."""
    kh, kw, depth, outputs = w.shape
    source = padded(x, (1, 2), geometry, (kh, kw), out, 0)
    pixels = x.shape[0] * out[0] * out[1]
    result = np.zeros((groups, pixels, outputs // groups), accumulator)
    for p, q, view in taps(source, (1, 2), geometry, (kh, kw), out):
        left = np.moveaxis(view.reshape(pixels, groups, depth), 1, 0)
        right = np.moveaxis(w[p, q].reshape(depth, groups, outputs // groups), 1, 0)
        result += matmul(left, right, accumulator)
    return np.moveaxis(result, 0, 1).reshape(x.shape[0], *out, outputs)


def depthwise(x: Array, w: Array, out: Sequence[int], geometry: Geometry) -> Array:
    """`tile.dwconv`: x [n, h, w, c], w [kh, kw, c] -> [n, oh, ow, c] in the accumulation type."""
    working = accumulation_type(x.dtype)
    source = padded(x, (1, 2), geometry, w.shape[:2], out, 0).astype(working)
    result = np.zeros((x.shape[0], *out, x.shape[3]), working)
    for p, q, view in taps(source, (1, 2), geometry, w.shape[:2], out):
        result += view * w[p, q].astype(working)
    return result


def accumulation_type(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """f64 for f64, f32 for other floats, i32 for integers up to 32 bits, i64 for wider ones."""
    if is_floating(dtype):
        return np.dtype(np.float64 if dtype == np.float64 else np.float32)
    return np.dtype(np.int64 if dtype.itemsize == 8 or dtype == np.uint32 else np.int32)


def is_floating(dtype: np.dtype[np.generic]) -> bool:
    """Whether NumPy or ml_dtypes (bf16, of kind 'V') holds floating point numbers."""
    return dtype.kind in "fV"


def neutral(fn: str, dtype: np.dtype[np.generic]) -> float | int:
    """The neutral element of a reduction function in a type."""
    if fn in ("sum", "prod"):
        return 0 if fn == "sum" else 1
    if is_floating(dtype):
        return -np.inf if fn == "max" else np.inf
    if dtype == np.bool_:
        return 0 if fn == "max" else 1
    limits = np.iinfo(dtype.name)
    return int(limits.min if fn == "max" else limits.max)


_REDUCTIONS = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}


def reduction_type(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Type in which `tile.reduce` and `tile.window` compute: floats in f32 / f64, integers in their own."""
    return accumulation_type(dtype) if is_floating(dtype) else dtype


def reduce(x: Array, fn: str, axes: tuple[int, ...], previous: Array | None) -> Array:
    """`tile.reduce` with reduced axes kept as 1; `previous` takes part if given."""
    working = reduction_type(x.dtype)
    function = _REDUCTIONS[fn]
    result = function.reduce(x.astype(working), axis=axes, keepdims=True, dtype=working)
    return result if previous is None else function(previous.astype(working), result)


def window(x: Array, fn: str, axes: Sequence[int], sizes: Sequence[int], out: Sequence[int],
           geometry: Geometry) -> Array:  # fmt: skip
    """`tile.window`: positions outside x do not take part."""
    working = reduction_type(x.dtype)
    source = padded(x.astype(working), axes, geometry, sizes, out, neutral(fn, working))
    result: Array | None = None
    for _, _, view in taps(source, axes, geometry, sizes, out):
        result = view.copy() if result is None else _REDUCTIONS[fn](result, view)
    assert result is not None
    return result


def norm(x: Array, fn: str) -> Array:
    """Softmax or its logarithm over the last axis, in f32 (f64 for f64)."""
    shifted = x.astype(accumulation_type(x.dtype))
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    return shifted - np.log(total) if fn == "log_softmax" else exponentials / total


def strided(buffer: Array, offset: int, dims: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """A view of a flat buffer, strides in elements; the caller has checked that it lies inside."""
    width = buffer.itemsize
    steps = tuple(stride * width for stride in strides)
    return np.ndarray(dims, buffer.dtype, buffer.view(np.uint8), offset * width, steps)
