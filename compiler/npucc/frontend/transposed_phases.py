"""A transposed convolution as ordinary ones: one per phase of the output positions modulo the stride.

Along one axis, kernel element k adds x[i] to position i * stride + k * dilation. Of the positions q * stride + p those
of phase p receive the elements k with (k * dilation - p) divisible by the stride; k of them come from x[q - t] with
t = (k * dilation - p) / stride, an arithmetic progression. No zeros stand for the others: 0 * inf is not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd

from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder, wide_element
from npucc.frontend.convolutions import padded
from npucc.types import element_of, shape_of


@dataclass(frozen=True)
class Phase:
    """Kernel elements `elements` act on x[q - t] for t = first, first + step, ..."""

    first: int
    step: int
    elements: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """What phases of one convolution have in common."""
        return self.first, self.step, len(self.elements)

    def pads(self, size: int, positions: int) -> tuple[int, int]:
        """Padding of `size` elements so that there are at least `positions` results."""
        before = self.first + (len(self.elements) - 1) * self.step
        return before, max(positions - size - self.first, 0)


def phases_of(kernel: int, stride: int, dilation: int) -> list[Phase]:
    """The phases of one axis."""
    result: list[Phase] = []
    for phase in range(stride):
        elements = tuple(k for k in range(kernel) if k * dilation % stride == phase)
        first = (elements[0] * dilation - phase) // stride if elements else 0
        result.append(Phase(first, dilation // gcd(dilation, stride), elements))
    return result


def transposed_convolution(
    build: GraphBuilder,
    image: SSAValue,
    w: SSAValue,
    strides: Sequence[int],
    dilations: Sequence[int],
    positions: Sequence[int],
    groups: int,
    element: Attribute | None = None,
) -> SSAValue:
    """[n, spatial ..., ci] with weights [ci, co / groups, kernel] -> [n, positions * strides, co], from position 0 on.

    `positions` per axis: results per phase. `element`: type of the result, by default that of the image. Two axes:
    phases with windows of one shape are one convolution; more axes: the first one is unrolled.
    """
    if len(strides) > 2:
        return _over_planes(build, image, w, strides, dilations, positions, groups, element)
    kernel = shape_of(w)
    rows, columns = (phases_of(kernel[2 + axis], strides[axis], dilations[axis]) for axis in (0, 1))
    pairs = list(product(rows, columns))
    outputs, channels = kernel[1], groups * kernel[1]
    n = shape_of(image)[0]
    if len({(a.shape, b.shape) for a, b in pairs}) == 1 and pairs[0][0].elements and pairs[0][1].elements:
        y = _convolve(build, image, w, pairs, positions, groups, element)
        y = build.reshape(y, (n, *positions, groups, *strides, outputs))
        y = build.transpose(y, (0, 1, 4, 2, 5, 3, 6))
    else:
        parts = [_convolve(build, image, w, [pair], positions, groups, element) for pair in pairs]
        parts = [build.reshape(part, (n, *positions, 1, channels)) for part in parts]
        y = build.reshape(build.concat(parts, 3), (n, *positions, *strides, channels))
        y = build.transpose(y, (0, 1, 3, 2, 4, 5))
    return build.reshape(y, (n, positions[0] * strides[0], positions[1] * strides[1], channels))


def _convolve(
    build: GraphBuilder,
    image: SSAValue,
    w: SSAValue,
    pairs: Sequence[tuple[Phase, Phase]],
    positions: Sequence[int],
    groups: int,
    element: Attribute | None,
) -> SSAValue:
    """[n, positions, groups * phases * co / groups]: the phases `pairs`, whose windows have one shape."""
    n, height, width, _ = shape_of(image)
    rows, columns = pairs[0]
    if not rows.elements or not columns.elements:  # a kernel smaller than the stride leaves gaps
        zero = build.scalar_of(0, element or element_of(image))
        return build.expand(zero, (n, *positions, groups * shape_of(w)[1] * len(pairs)))
    filters = _filters(build, w, pairs, groups)
    (top, bottom), (left, right) = rows.pads(height, positions[0]), columns.pads(width, positions[1])
    dilations, pads = (rows.step, columns.step), (top, left, bottom, right)
    y = build.emit(graph.ConvOp(image, filters, (1, 1), dilations, pads, groups, element))
    return build.slice(y, (0, 0, 0, 0), (1, 1, 1, 1), (n, *positions, shape_of(y)[3]))


def _filters(build: GraphBuilder, w: SSAValue, pairs: Sequence[tuple[Phase, Phase]], groups: int) -> SSAValue:
    """[ci, co / g, kh, kw] -> HWIO [taps, taps, ci / g, g * phases * co / g], the taps reversed."""
    inputs, outputs, *_ = shape_of(w)
    chosen = [_reversed(build, _reversed(build, w, 2, a.elements), 3, b.elements) for a, b in pairs]
    taps = shape_of(chosen[0])[2:]
    split = [build.reshape(each, (1, groups, inputs // groups, outputs, *taps)) for each in chosen]
    ordered = build.transpose(build.concat(split, 0), (4, 5, 2, 1, 0, 3))
    return build.reshape(ordered, (*taps, inputs // groups, groups * len(pairs) * outputs))


def _reversed(build: GraphBuilder, w: SSAValue, axis: int, elements: Sequence[int]) -> SSAValue:
    """The chosen elements of an axis, an arithmetic progression, from the last to the first."""
    step = elements[1] - elements[0] if len(elements) > 1 else 1
    return build.slice_axis(w, axis, elements[-1], len(elements), -step)


def _over_planes(
    build: GraphBuilder,
    volume: SSAValue,
    w: SSAValue,
    strides: Sequence[int],
    dilations: Sequence[int],
    positions: Sequence[int],
    groups: int,
    element: Attribute | None,
) -> SSAValue:
    """Each kernel plane makes planes of the result; those of a phase are shifted and added, in f32 for f16 and bf16."""
    n, depth, *plane = shape_of(volume)
    kernel, count = shape_of(w), positions[0]
    planes = build.reshape(volume, (n * depth, *plane))
    wide = element or (wide_element(volume) if wide_element(volume) != element_of(volume) else None)
    parts: list[SSAValue] = []
    rest = [size * stride for size, stride in zip(positions[1:], strides[1:])]
    for phase in phases_of(kernel[2], strides[0], dilations[0]):
        total = build.expand(build.scalar_of(0, wide or element_of(volume)), (n, count, *rest, groups * kernel[1]))
        for index, tap in enumerate(phase.elements):
            shift = phase.first + index * phase.step
            if shift >= count:
                continue
            filters = build.reshape(build.slice_axis(w, 2, tap, 1), (*kernel[:2], *kernel[3:]))
            y = transposed_convolution(build, planes, filters, strides[1:], dilations[1:], positions[1:], groups, wide)
            y = build.reshape(y, (n, depth, *shape_of(y)[1:]))
            y = padded(
                build, build.slice_axis(y, 1, 0, min(depth, count - shift)), 1, shift, max(count - depth - shift, 0)
            )
            total = y if index == 0 else build.add(total, y)
        parts.append(build.reshape(total, (n, count, 1, *shape_of(total)[2:])))
    joined = build.concat(parts, 2)
    result = build.reshape(joined, (n, count * strides[0], *shape_of(joined)[3:]))
    return build.cast(result, element or element_of(volume))
