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

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.types import Array, element_of, numpy_dtype, shape_of


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
    w: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    positions: Sequence[int],
    groups: int,
    label: str,
) -> SSAValue:
    """[n, h, w, ci] with weights [ci, co / groups, kh, kw] -> [n, positions * strides, co], from output position 0 on.

    `positions` per axis: results per phase. Phases with windows of one shape are one convolution.
    """
    rows, columns = (phases_of(w.shape[2 + axis], strides[axis], dilations[axis]) for axis in (0, 1))
    pairs = list(product(rows, columns))
    outputs, channels = w.shape[1], groups * w.shape[1]
    n = shape_of(image)[0]
    if len({(a.shape, b.shape) for a, b in pairs}) == 1 and pairs[0][0].elements and pairs[0][1].elements:
        y = _convolve(build, image, w, pairs, positions, groups, label)
        y = build.reshape(y, (n, *positions, groups, *strides, outputs))
        y = build.transpose(y, (0, 1, 4, 2, 5, 3, 6))
    else:
        parts = [_convolve(build, image, w, [pair], positions, groups, label) for pair in pairs]
        parts = [build.reshape(part, (n, *positions, 1, channels)) for part in parts]
        y = build.reshape(build.concat(parts, 3), (n, *positions, *strides, channels))
        y = build.transpose(y, (0, 1, 3, 2, 4, 5))
    return build.reshape(y, (n, positions[0] * strides[0], positions[1] * strides[1], channels))


def _convolve(
    build: GraphBuilder,
    image: SSAValue,
    w: Array,
    pairs: Sequence[tuple[Phase, Phase]],
    positions: Sequence[int],
    groups: int,
    label: str,
) -> SSAValue:
    """[n, positions, groups * phases * co / groups]: the phases `pairs`, whose windows have one shape."""
    n, height, width, _ = shape_of(image)
    rows, columns = pairs[0]
    if not rows.elements or not columns.elements:  # a kernel smaller than the stride leaves gaps
        zero = build.constant(np.zeros((), numpy_dtype(element_of(image))), f"{label}.gap")
        return build.expand(zero, (n, *positions, groups * w.shape[1] * len(pairs)))
    filters = build.constant(_weights(w, pairs, groups), f"{label}.phases")
    (top, bottom), (left, right) = rows.pads(height, positions[0]), columns.pads(width, positions[1])
    dilations, pads = (rows.step, columns.step), (top, left, bottom, right)
    y = build.emit(graph.ConvOp(image, filters, (1, 1), dilations, pads, groups))
    return build.slice(y, (0, 0, 0, 0), (1, 1, 1, 1), (n, *positions, shape_of(y)[3]))


def _weights(w: Array, pairs: Sequence[tuple[Phase, Phase]], groups: int) -> Array:
    """[ci, co / g, kh, kw] -> HWIO [taps, taps, ci / g, g * phases * co / g], the taps reversed."""
    inputs, outputs = w.shape[:2]
    chosen = [w[:, :, list(a.elements)[::-1]][:, :, :, list(b.elements)[::-1]] for a, b in pairs]
    split = np.stack(chosen).reshape(len(pairs), groups, inputs // groups, outputs, *chosen[0].shape[2:])
    ordered = split.transpose(4, 5, 2, 1, 0, 3)
    return ordered.reshape(*chosen[0].shape[2:], inputs // groups, -1)
