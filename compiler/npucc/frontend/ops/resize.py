"""Resize and Upsample, axis by axis: repetitions, lookups, sums of few weighted taps, products with a matrix."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.layout import to_channels_first, to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.resampling import (
    AxisResize,
    Sampling,
    beyond_the_input,
    interpolation_matrix,
    interpolation_taps,
    nearest_positions,
)
from npucc.frontend.selection import pieces_of, repeat_axes, take
from npucc.frontend.tensors import checked_elements
from npucc.types import Array, element_of, element_type, is_float, numpy_dtype, shape_of

MAX_TAPS = 4
"""Most input elements of an output element that are weighted one by one: linear has two, cubic four."""
MAX_PHASES = 8
"""Most phases of the output positions that are computed apart."""
LEAST_ROW = 128
"""Fewest elements behind the axis for which phases pay: joining them moves pieces of that many."""
MAX_EDGES = 4
"""Most slices of one tap of a phase: the inner positions, and those at the borders."""


@onnx_op("Upsample")
def upsample_attribute(node: ImportNode) -> SSAValue:
    """Opset 7: scales are an attribute; opset 1: one attribute for each of the last two axes of four."""
    if node.opset >= 7:
        return _upsample(node, node.numbers("scales"))
    return _upsample(node, [1.0, 1.0, node.number("height_scale", 1.0), node.number("width_scale", 1.0)])


@onnx_op("Upsample", since=9)
def upsample_input(node: ImportNode) -> SSAValue:
    """Opset 9: scales are an input."""
    return _upsample(node, [float(scale) for scale in node.constant(1, "scales").reshape(-1)])


@onnx_op("Resize", since=10)
def resize_scales(node: ImportNode) -> SSAValue:
    """Opset 10: like Upsample."""
    return _upsample(node, [float(scale) for scale in node.constant(1, "scales").reshape(-1)])


def _upsample(node: ImportNode, scales: list[float]) -> SSAValue:
    mode = {"bilinear": "linear"}.get(node.text("mode", "nearest"), node.text("mode", "nearest"))
    axes = _scaled_axes(node, node.shape(0), scales)
    return _resize(node, axes, Sampling(mode, "asymmetric", "floor"))


@onnx_op("Resize", since=11)
def resize(node: ImportNode) -> SSAValue:
    """Inputs X, roi, scales, sizes; opset 18 adds `axes` and `keep_aspect_ratio_policy`."""
    shape = node.shape(0)
    chosen = [node.wrap_axis(axis, len(shape)) for axis in node.integers("axes")] or list(range(len(shape)))
    scales = [float(s) for s in node.constant(2, "scales").reshape(-1)] if node.has(2) else []
    if scales:
        if len(scales) != len(chosen):
            raise Malformed("`scales` has one scale per axis", f"{scales} for {len(chosen)} axes")
        full = [1.0] * len(shape)
        for axis, scale in zip(chosen, scales):
            full[axis] = scale
        axes = _scaled_axes(node, shape, full)
    elif node.has(3):
        axes = _sized_axes(node, shape, chosen, node.constant_ints(3, "sizes"))
    else:
        raise Malformed("Resize has `scales` or `sizes`", "neither")
    sampling = Sampling(
        node.text("mode", "nearest"),
        node.text("coordinate_transformation_mode", "half_pixel"),
        node.text("nearest_mode", "round_prefer_floor"),
        node.number("cubic_coeff_a", -0.75),
        bool(node.integer("exclude_outside")),
        node.number("extrapolation_value"),
        bool(node.integer("antialias")),
    )
    if sampling.coordinates == "tf_crop_and_resize":
        axes = _with_regions(node, axes, chosen)
    return _resize(node, axes, sampling)


def _scaled_axes(node: ImportNode, shape: tuple[int, ...], scales: list[float]) -> list[AxisResize]:
    if len(scales) != len(shape) or not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise Malformed("`scales` has one finite scale > 0 per axis", f"{scales} for shape {list(shape)}")
    sizes = tuple(math.floor(size * scale) for size, scale in zip(shape, scales))
    checked_elements(sizes, f"node `{node.label}` ({node.op_type})")
    return [AxisResize(size, new, scale) for size, new, scale in zip(shape, sizes, scales)]


def _sized_axes(node: ImportNode, shape: tuple[int, ...], chosen: list[int], sizes: list[int]) -> list[AxisResize]:
    """`keep_aspect_ratio_policy` makes all scales the least or greatest of those asked for."""
    if len(sizes) != len(chosen) or min(sizes, default=1) < 0:
        raise Malformed("`sizes` has one size >= 0 per axis", f"{sizes} for {len(chosen)} axes")
    scales = [size / shape[axis] if shape[axis] else 1.0 for axis, size in zip(chosen, sizes)]
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        common = min(scales) if policy == "not_larger" else max(scales)
        scales = [common] * len(scales)
        sizes = [math.floor(common * shape[axis] + 0.5) for axis in chosen]
    result = [AxisResize(size, size, 1.0) for size in shape]
    for axis, size, scale in zip(chosen, sizes, scales):
        result[axis] = AxisResize(shape[axis], size, scale)
    checked_elements(tuple(axis.output for axis in result), f"node `{node.label}` (Resize)")
    return result


def _with_regions(node: ImportNode, axes: list[AxisResize], chosen: list[int]) -> list[AxisResize]:
    """The region of interest of each axis, in fractions of the input."""
    roi = [float(item) for item in node.constant(1, "roi").reshape(-1)] if node.has(1) else []
    if len(roi) != 2 * len(chosen):
        raise Malformed("`roi` has a start and an end per axis", f"{roi}")
    result = list(axes)
    for position, axis in enumerate(chosen):
        entry = axes[axis]
        region = (roi[position], roi[len(chosen) + position])
        result[axis] = AxisResize(entry.input, entry.output, entry.scale, *region)
    return result


def _resize(node: ImportNode, axes: list[AxisResize], sampling: Sampling) -> SSAValue:
    """Resize the axes that change; images channels last, so that channels stay contiguous."""
    x, build = node.input(0), node.build
    whole = sampling.coordinates == "tf_crop_and_resize"
    changed = [axis for axis, entry in enumerate(axes) if whole or entry.input != entry.output or entry.scale != 1]
    if not changed:
        return x
    if sampling.mode not in ("nearest", "linear", "cubic"):
        raise Unsupported("the mode is nearest, linear or cubic", f"`{sampling.mode}`")
    image = len(axes) in (3, 4) and min(changed) >= 2
    if image:
        x = to_channels_last(build, x)
        # Axes of the channels-last image: 3 axes [n, c, l] became [n, 1, l, c].
        moved = {axis: axis - 1 if len(axes) == 4 else axis for axis in changed}
        y = _resize_axes(node, x, {moved[axis]: axes[axis] for axis in changed}, sampling)
        return to_channels_first(build, y, len(axes) - 2)
    return _resize_axes(node, x, {axis: axes[axis] for axis in changed}, sampling)


def _resize_axes(node: ImportNode, x: SSAValue, axes: dict[int, AxisResize], sampling: Sampling) -> SSAValue:
    if sampling.mode == "nearest":
        return _nearest(node, x, axes, sampling)
    element = element_of(x)
    if not is_float(element):
        if sampling.mode != "linear":
            raise Unsupported("integers are not resized by cubics", str(element), "cast to float before Resize")
        x = node.build.cast(x, element_type("f32"))
    for axis, entry in axes.items():
        x = _interpolated(node, x, axis, entry, sampling)
    return node.build.cast(x, element)  # truncates, as onnxruntime does


def _nearest(node: ImportNode, x: SSAValue, axes: dict[int, AxisResize], sampling: Sampling) -> SSAValue:
    """Axes that repeat each element k times together; others by gathering slices."""
    build = node.build
    repeats = [1] * len(shape_of(x))
    others: dict[int, Array] = {}
    for axis, entry in axes.items():
        positions = nearest_positions(entry, sampling)
        factor = entry.output // entry.input if entry.input and entry.output % entry.input == 0 else 0
        if factor and np.array_equal(positions, np.arange(entry.output) // factor):
            repeats[axis] = factor
        else:
            others[axis] = positions
    x = repeat_axes(build, x, repeats, inner=True)
    for axis, positions in others.items():
        x = take(build, x, axis, [int(position) for position in positions])
    for axis, entry in axes.items():
        x = _extrapolated(node, x, axis, entry, sampling)
    return x


def _extrapolated(node: ImportNode, x: SSAValue, axis: int, entry: AxisResize, sampling: Sampling) -> SSAValue:
    """The extrapolation value where a crop reaches beyond the input."""
    outside = beyond_the_input(entry, sampling)
    if not outside.any():
        return x
    build, shape = node.build, [1] * len(shape_of(x))
    shape[axis] = -1
    mask = build.constant(outside.reshape(shape), f"{node.label}.outside{axis}")
    value = np.asarray(sampling.extrapolation).astype(numpy_dtype(element_of(x)))
    return build.emit(graph.WhereOp(mask, build.constant(value, f"{node.label}.extrapolation"), x))


def _interpolated(node: ImportNode, x: SSAValue, axis: int, entry: AxisResize, sampling: Sampling) -> SSAValue:
    """The weighted sum of few taps, phase by phase where these are slices; of many by a matrix."""
    positions, weights = interpolation_taps(entry, sampling)
    if positions.shape[1] > MAX_TAPS:
        return _extrapolated(
            node, _by_matrix(node, x, axis, interpolation_matrix(entry, sampling)), axis, entry, sampling
        )
    build, row = node.build, math.prod(shape_of(x)[axis + 1 :])
    phases = _phases(entry, positions) if row >= LEAST_ROW else 1
    parts = [_sum_of_taps(node, x, axis, positions[p::phases], weights[p::phases]) for p in range(phases)]
    shape = shape_of(parts[0])
    apart = [build.reshape(part, (*shape[: axis + 1], 1, *shape[axis + 1 :])) for part in parts]
    y = build.reshape(build.concat(apart, axis + 1), (*shape[:axis], entry.output, *shape[axis + 1 :]))
    return _extrapolated(node, y, axis, entry, sampling)


def _phases(entry: AxisResize, positions: Array) -> int:
    """Every how many outputs the taps of all phases are regular: by so few slices that no lookup is needed."""
    count = entry.output // math.gcd(entry.output, entry.input)
    if count > MAX_PHASES:
        return 1
    pieces = [pieces_of(tap) for phase in range(count) for tap in positions[phase::count].T]
    return count if max(pieces) <= MAX_EDGES else 1


def _sum_of_taps(node: ImportNode, x: SSAValue, axis: int, positions: Array, weights: Array) -> SSAValue:
    """y[.., o, ..] = sum_t weights[o, t] x[.., positions[o, t], ..]."""
    build, dtype = node.build, numpy_dtype(element_of(x))
    behind = (1,) * (len(shape_of(x)) - axis - 1)
    total: SSAValue | None = None
    for index, factors in zip(positions.T, weights.T):
        taken = take(build, x, axis, [int(position) for position in index])
        factors = factors.astype(dtype)
        vector = factors[:1].reshape(()) if (factors == factors[0]).all() else factors.reshape(-1, *behind)
        part = build.mul(taken, build.constant(vector, f"{node.label}.weights{axis}"))
        total = part if total is None else build.add(total, part)
    if total is None:
        raise Malformed("a resized axis has elements", "none")
    return total


def _by_matrix(node: ImportNode, x: SSAValue, axis: int, matrix: Array) -> SSAValue:
    """y[.., o, ..] = sum_i matrix[o, i] x[.., i, ..], as one batched matrix product."""
    build, shape = node.build, shape_of(x)
    weights = matrix.astype(numpy_dtype(element_of(x)))
    flat = build.reshape(x, (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])))
    y = build.matmul(build.constant(weights, f"{node.label}.interpolation{axis}"), flat)
    return build.reshape(y, (*shape[:axis], len(weights), *shape[axis + 1 :]))
