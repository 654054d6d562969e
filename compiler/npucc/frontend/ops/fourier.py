"""Fourier transforms, of whole signals and of frames, and the weights of mel spectrograms.

Complex numbers are pairs along the last axis. Few points are transformed by one product with a real matrix, pairs and
all. A transform of n = n1 n2 points is one of n1 points, a rotation of each result and one of n2 points (Cooley and
Tukey).
"""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode, Value
from npucc.frontend.ops.elementary import element_of_onnx
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import Array, element_of, numpy_dtype, shape_of

MAX_DIRECT = 32
"""Most points that are transformed by one matrix although their number is no prime."""
MAX_PRIME = 4096
"""Largest prime factor of a number of points: its matrix has the square as elements."""


@onnx_op("DFT")
def fourier_transform(node: ImportNode) -> SSAValue:
    """x [.., n, .., 1 or 2 (real, imaginary)] along `axis` (an attribute before opset 20)."""
    build, x, shape = node.build, node.input(0), node.shape(0)
    rank = len(shape)
    if node.opset < 20:
        axis = node.integer("axis", 1)
    else:
        axis = node.constant_ints(2, "axis")[0] if node.has(2) else -2
    axis = node.wrap_axis(axis, rank)
    if shape[-1] not in (1, 2) or axis == rank - 1:
        raise Malformed("x ends with 1 or 2 parts, behind the transformed axis", f"{list(shape)}, axis {axis}")
    others = [each for each in range(rank - 1) if each != axis]
    perm = [*others, axis, rank - 1]
    rows = build.transpose(x, perm)
    y = _of_rows(node, build.reshape(rows, (math.prod(shape_of(rows)[:-2]), *shape_of(rows)[-2:])), shape[axis])
    y = build.reshape(y, (*shape_of(rows)[:-2], *shape_of(y)[1:]))
    return build.transpose(y, [perm.index(each) for each in range(rank)])


def _of_rows(node: ImportNode, x: SSAValue, size: int) -> SSAValue:
    """[rows, size, parts] -> [rows, results, parts] by the node's length, direction and sides."""
    build, parts = node.build, shape_of(x)[2]
    inverse, onesided = bool(node.integer("inverse")), bool(node.integer("onesided"))
    default = 2 * (size - 1) if inverse and onesided else size
    length = node.constant_ints(1, "dft_length")[0] if node.has(1) else default
    if length < 1:
        raise Malformed("`dft_length` is at least 1", f"{length}")
    if onesided and inverse and parts != 2:
        raise Malformed("the one-sided spectrum of a real signal is complex", "one part")
    if not inverse:
        return _transform(node, _of_length(build, x, length), -1, length // 2 + 1 if onesided else length)
    x = _mirrored(build, x, length) if onesided else _of_length(build, x, length)
    y = build.scaled(_transform(node, x, 1, length), 1.0 / length)
    return build.slice_axis(y, 2, 0, 1) if onesided else y


def _of_length(build: GraphBuilder, x: SSAValue, length: int) -> SSAValue:
    """[rows, n, parts] -> [rows, length, parts]: cut off, or continued by zeros."""
    rows, points, parts = shape_of(x)
    x = build.slice_axis(x, 1, 0, min(length, points))
    zeros = build.expand(build.scalar(0, x), (rows, max(length - points, 0), parts))
    return build.concat([x, zeros], 1)


def _mirrored(build: GraphBuilder, x: SSAValue, length: int) -> SSAValue:
    """The whole spectrum of a real signal from its first half: point n - k is the conjugate of point k.

    The imaginary parts of points 0 and n / 2 count for nothing.
    """
    half = _of_length(build, x, length // 2 + 1)
    rows, points, _ = shape_of(half)
    count = length - points
    real, imaginary = (build.slice_axis(half, 2, part, 1) for part in (0, 1))
    zero = build.expand(build.scalar(0, x), (rows, 1, 1))
    inner = build.slice_axis(imaginary, 1, 1, count)
    middle = [zero] if 1 + 2 * count < length else []
    tail = build.slice(inner, (0, max(count - 1, 0), 0), (1, -1, 1), (rows, count, 1))
    ends = build.slice(real, (0, count, 0), (1, -1, 1), (rows, count, 1))
    imaginary = build.concat([zero, inner, *middle, build.scaled(tail, -1)], 1)
    return build.concat([build.concat([real, ends], 1), imaginary], 2)


def _transform(node: ImportNode, x: SSAValue, sign: int, results: int) -> SSAValue:
    """[rows, n, parts] -> [rows, results, 2]: sum_j exp(sign 2 pi i j k / n) x_j for the first k, without a factor."""
    build, (rows, points, parts) = node.build, shape_of(x)
    first = _split(points, parts)
    if first == points:
        matrix = _pairs(_angles(points, results, points, sign), parts)
        return build.reshape(_product(node, x, matrix), (rows, results, 2))
    second = points // first
    columns = build.transpose(build.reshape(x, (rows, first, second, parts)), (0, 2, 1, 3))
    flat = build.reshape(columns, (rows * second, first, parts))
    turned = build.reshape(_turned(node, flat, first, second, sign), (rows, second, first, 2))
    inner = build.reshape(build.transpose(turned, (0, 2, 1, 3)), (rows * first, second, 2))
    y = build.reshape(_transform(node, inner, sign, second), (rows, first, second, 2))
    y = build.reshape(build.transpose(y, (0, 2, 1, 3)), (rows, points, 2))
    return build.slice_axis(y, 1, 0, results)


def _split(points: int, parts: int) -> int:
    """How many of the points the next matrix transforms: the largest factor up to the root, or all.

    Complex signals of a length that is no power of two are split as NumPy does, so that results that vanish agree.
    """
    if points <= MAX_DIRECT and (parts == 1 or points & (points - 1) == 0):
        return points
    factor = max(n for n in range(1, math.isqrt(points) + 1) if points % n == 0)
    if factor == 1 and points > MAX_PRIME:
        raise Unsupported(f"lengths have prime factors of at most {MAX_PRIME}", f"{points}", "use a power of two")
    return factor if factor > 1 else points


def _angles(rows: int, columns: int, circle: int, sign: int) -> Array:
    """j * k turns of 2 pi / circle, [rows, columns]."""
    return np.outer(np.arange(rows), np.arange(columns)) % circle * (sign * 2 * math.pi / circle)


def _pairs(angles: Array, parts: int) -> Array:
    """[j, k] -> [j * parts, k * 2]: the matrix that turns the pair j (or the real number j) and adds it to pair k."""
    cosines, sines = np.cos(angles), np.sin(angles)
    matrix = np.stack([np.stack([cosines, sines], -1), np.stack([-sines, cosines], -1)], 1)[:, :parts]
    return matrix.reshape(len(angles) * parts, -1)


def _product(node: ImportNode, x: SSAValue, matrix: Array) -> SSAValue:
    """The pairs of each row times a matrix: [rows, matrix columns]."""
    build, (rows, points, parts) = node.build, shape_of(x)
    return build.matmul(build.reshape(x, (rows, points * parts)), _constant(node, matrix, x))


def _turned(node: ImportNode, x: SSAValue, first: int, second: int, sign: int) -> SSAValue:
    """[rows * second, first, parts] -> the transforms of the rows, result k1 of row j2 turned by j2 k1 of n: [.., 2].

    One product gives the results and i times them: the sum of both, weighted, is the rotation.
    """
    build, matrix = node.build, _pairs(_angles(first, first, first, sign), shape_of(x)[2])
    pairs = matrix.reshape(len(matrix), first, 2)
    rotated = np.stack([-pairs[..., 1], pairs[..., 0]], -1).reshape(matrix.shape)
    rows = shape_of(x)[0] // second
    both = build.reshape(_product(node, x, np.concatenate([matrix, rotated], 1)), (rows, second, 2, first * 2))
    angles = np.repeat(_angles(second, first, first * second, sign), 2, axis=1)
    halves = [build.reshape(build.slice_axis(both, 2, half, 1), (rows, second, first * 2)) for half in (0, 1)]
    terms = [build.mul(half, _constant(node, f(angles), x)) for half, f in zip(halves, (np.cos, np.sin))]
    return build.add(terms[0], terms[1])


def _constant(node: ImportNode, array: Array, like: SSAValue) -> SSAValue:
    return node.build.constant(array.astype(numpy_dtype(element_of(like))), f"{node.label}.turns")


@onnx_op("STFT")
def short_time_fourier_transform(node: ImportNode) -> SSAValue:
    """signal [b, length] or [b, length, 1 or 2] -> [b, frames, points, 2]; a frame begins all `frame_step` samples."""
    build, signal, shape = node.build, node.input(0), node.shape(0)
    if len(shape) == 2:  # real signals, as onnxruntime takes them too
        shape = (*shape, 1)
        signal = build.reshape(signal, shape)
    if len(shape) != 3 or shape[2] not in (1, 2):
        raise Malformed("the signal is [batch, length, 1 or 2]", f"{list(shape)}")
    batch, samples, parts = shape
    step, onesided = node.constant_ints(1, "frame_step")[0], bool(node.integer("onesided", 1))
    window = node.optional(2)
    default = samples if window is None else shape_of(window)[0]
    length = node.constant_ints(3, "frame_length")[0] if node.has(3) else default
    if step < 1 or not 0 < length <= samples or (window is not None and shape_of(window) != (length,)):
        found = f"step {step}, frames of {length}, {samples} samples"
        raise Malformed("steps are positive, frames lie within the signal, the window is as long as a frame", found)
    if onesided and parts == 2:
        raise Malformed("the transform of a complex signal is two-sided", "onesided = 1")
    frames, results = (samples - length) // step + 1, length // 2 + 1 if onesided else length
    framed = _framed(build, signal, frames, step, length)
    if window is not None:
        framed = build.mul(framed, build.reshape(window, (length, 1)))
    y = _transform(node, build.reshape(framed, (batch * frames, length, parts)), -1, results)
    return build.reshape(y, (batch, frames, results, 2))


def _framed(build: GraphBuilder, signal: SSAValue, frames: int, step: int, length: int) -> SSAValue:
    """[b, samples, parts] -> [b, frames, length, parts]: pieces of `step` samples, each frame some consecutive ones."""
    batch, samples, parts = shape_of(signal)
    pieces: list[SSAValue] = []
    for start in range(0, length, step):
        size = min(step, length - start)
        rows = _rows(build, signal, start, frames, step) if start + frames * step <= samples else None
        if rows is None:  # the last frame ends in the middle of a step
            ends = start + (frames - 1) * step
            tail = build.reshape(build.slice_axis(signal, 1, ends, size), (batch, 1, size, parts))
            head = _rows(build, signal, start, frames - 1, step) if frames > 1 else None
            rows = tail if head is None else build.concat([build.slice_axis(head, 2, 0, size), tail], 1)
        pieces.append(build.slice_axis(rows, 2, 0, size))
    return build.concat(pieces, 2)


def _rows(build: GraphBuilder, signal: SSAValue, start: int, count: int, step: int) -> SSAValue:
    """[b, count, step, parts] from sample `start` on."""
    batch, _, parts = shape_of(signal)
    return build.reshape(build.slice_axis(signal, 1, start, count * step), (batch, count, step, parts))


@onnx_op("MelWeightMatrix")
def mel_weight_matrix(node: ImportNode) -> Value:
    """[dft_length / 2 + 1, num_mel_bins]: triangles on the mel scale, mel(f) = 2595 log10(1 + f / 700)."""
    names = ("num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz")
    values = [node.constant(index, name).reshape(-1)[0].item() for index, name in enumerate(names)]
    bins, length, rate, low, high = values
    mel = 2595 / np.log(10) * np.log1p(np.array([low, high]) / 700)
    centres = mel[0] + np.arange(bins + 2) * (mel[1] - mel[0]) / (bins + 2)
    hertz = 700 * np.expm1(centres / 2595 * np.log(10))
    edges = ((length + 1) * hertz // rate).astype(int)
    points = np.arange(length // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    if bins < 1 or edges.min() < 0 or edges.max() > length // 2:
        raise Malformed("the mel bins lie within the spectrum", f"points {edges.min()} to {edges.max()}")
    rise = np.where(centre > left, (points - left) / np.maximum(centre - left, 1), points == centre)
    fall = np.where(right > centre, (right - points) / np.maximum(right - centre, 1), 0)
    rising, falling = (points >= left) & (points <= centre), (points >= centre) & (points < right)
    weights = np.where(falling, fall, np.where(rising, rise, 0))
    return weights.astype(numpy_dtype(element_of_onnx(node.integer("output_datatype", 1))))
