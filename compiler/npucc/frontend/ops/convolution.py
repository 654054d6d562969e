"""Conv and ConvTranspose, as channels-last convolutions between transposes (a pass cancels the transposes)."""

from __future__ import annotations

from xdsl.ir import SSAValue

from npucc.frontend.convolutions import convolve
from npucc.frontend.dequantized import dequantized_convolution
from npucc.frontend.layout import to_channels_first, to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.frontend.transposed_phases import transposed_convolution
from npucc.frontend.windows import check_channels, explicit_pads, per_axis, same_pads, spatial_rank, windows
from npucc.types import shape_of


@onnx_op("Conv")
def conv(node: ImportNode) -> SSAValue:
    """x [n, ci, spatial], w [co, ci / group, kernel], bias [co]."""
    x, w, build = node.input(0), node.input(1), node.build
    shape, kernel = shape_of(x), shape_of(w)
    rank, groups = spatial_rank(node, shape), node.integer("group", 1)
    check_channels(kernel, rank, shape[1], groups)
    axes = windows(node, shape[2:], list(kernel[2:]))
    if node.integers("kernel_shape") not in ([], list(kernel[2:])):
        raise Malformed("`kernel_shape` is the shape of the weights", f"{node.integers('kernel_shape')}, {kernel[2:]}")
    integers = dequantized_convolution(node)
    if integers is not None:
        return integers
    y, bias = convolve(build, to_channels_last(build, x), w, axes, groups), node.optional(2)
    return to_channels_first(build, y if bias is None else build.add(y, bias), rank)


@onnx_op("ConvTranspose")
def conv_transpose(node: ImportNode) -> SSAValue:
    """x [n, ci, spatial], w [ci, co / group, kernel]: ordinary convolutions, one per phase modulo the stride."""
    x, w, build = node.input(0), node.input(1), node.build
    shape, kernel, groups = shape_of(x), shape_of(w), node.integer("group", 1)
    rank = spatial_rank(node, shape)
    if len(kernel) != rank + 2 or kernel[0] != shape[1] or groups < 1 or shape[1] % groups:
        found = f"{list(kernel)} for {shape[1]} channels, group {groups}"
        raise Malformed("weights are [ci, co / group, kernel]", found)
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    extents = tuple((size - 1) * dilation + 1 for size, dilation in zip(kernel[2:], dilations))
    starts, sizes = output_region(node, shape[2:], extents, strides)
    if rank == 1:
        w, strides, dilations = build.reshape(w, (*kernel[:2], 1, kernel[2])), [1, *strides], [1, *dilations]
        starts, sizes = [0, *starts], [1, *sizes]
    positions = [-(-(start + size) // stride) for start, size, stride in zip(starts, sizes, strides)]
    y = transposed_convolution(build, to_channels_last(build, x), w, strides, dilations, positions, groups)
    result = (shape[0], *sizes, groups * kernel[1])
    y = build.slice(y, (0, *starts, 0), (1,) * len(result), result)
    bias = node.optional(2)
    return to_channels_first(build, y if bias is None else build.add(y, bias), rank)


def output_region(
    node: ImportNode, spatial: tuple[int, ...], kernel: tuple[int, ...], strides: list[int]
) -> tuple[list[int], list[int]]:
    """Where the result lies in the unpadded output, and its size, per axis."""
    rank = len(spatial)
    extra = node.integers("output_padding") or [0] * rank
    full = [(size - 1) * s + k + e for size, s, k, e in zip(spatial, strides, kernel, extra)]
    mode, shape = node.text("auto_pad", "NOTSET"), node.integers("output_shape")[-rank:]
    if not shape and mode.startswith("SAME"):
        shape = [size * s for size, s in zip(spatial, strides)]
    if shape:
        starts = [same_pads(max(f - s, 0), mode == "SAME_UPPER")[0] for f, s in zip(full, shape)]
        return starts, shape
    before, after = ([0] * rank, [0] * rank) if mode == "VALID" else explicit_pads(node, rank)
    sizes = [f - low - high for f, low, high in zip(full, before, after)]
    if min(sizes) < 1:
        raise Malformed("the result has at least one element per axis", f"sizes {sizes}")
    return before, sizes
