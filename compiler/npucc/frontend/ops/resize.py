"""Resize and Upsample: integer nearest scaling is repetition; everything else one matrix product per axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.layout import to_channels_first, to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.frontend.selection import repeat_axes, take
from npucc.frontend.tensors import checked_elements
from npucc.types import Array, element_of, element_type, is_float, numpy_dtype, shape_of


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
        x = _apply_matrix(node, x, axis, interpolation_matrix(entry, sampling))
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


def beyond_the_input(axis: AxisResize, sampling: Sampling) -> Array:
    """Which output positions of a crop lie outside of the input."""
    source = source_coordinates(axis, sampling.coordinates)
    return ((source < 0) | (source > axis.input - 1)) & (sampling.coordinates == "tf_crop_and_resize")


def _apply_matrix(node: ImportNode, x: SSAValue, axis: int, matrix: tuple[Array, Array]) -> SSAValue:
    """y[.., o, ..] = sum_i matrix[o, i] x[.., i, ..] + offset[o], as one batched matrix product."""
    build, shape = node.build, shape_of(x)
    weights, offset = (part.astype(numpy_dtype(element_of(x))) for part in matrix)
    inner = math.prod(shape[axis + 1 :])
    flat = build.reshape(x, (math.prod(shape[:axis]), shape[axis], inner))
    y = build.matmul(build.constant(weights, f"{node.label}.interpolation{axis}"), flat)
    if offset.any():
        y = build.add(y, build.constant(offset[:, None], f"{node.label}.extrapolation{axis}"))
    return build.reshape(y, (*shape[:axis], len(weights), *shape[axis + 1 :]))


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


def interpolation_matrix(axis: AxisResize, sampling: Sampling) -> tuple[Array, Array]:
    """([output, input] weights of interpolation, [output] offset); rows outside are the extrapolation value."""
    source = source_coordinates(axis, sampling.coordinates)
    matrix = np.zeros((axis.output, axis.input))
    rows = np.arange(axis.output)
    stretch = max(1.0 / axis.scale, 1.0) if sampling.antialias else 1.0
    reach = math.ceil((1 if sampling.mode == "linear" else 2) * stretch)
    base = np.floor(source).astype(np.int64)
    taps = base[:, None] + np.arange(-reach + 1, reach + 1)[None, :]
    weights = _kernel((taps - source[:, None]) / stretch, sampling)
    if sampling.exclude_outside or sampling.antialias:
        inside = (taps >= 0) & (taps < axis.input)
        weights = np.where(inside, weights, 0.0) if sampling.exclude_outside else weights
        weights = weights / weights.sum(axis=1, keepdims=True)
    np.add.at(matrix, (rows[:, None], np.clip(taps, 0, axis.input - 1)), weights)
    offset, outside = np.zeros(axis.output), beyond_the_input(axis, sampling)
    matrix[outside] = 0.0
    offset[outside] = sampling.extrapolation
    return matrix, offset
