"""GridSample: values at computed positions, as a product with a matrix of interpolation weights.

Along each axis an output point takes a few elements (taps) with weights; the row of the matrix is the outer product of
the axes. Taps outside the input match no element, which is zero padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.indexing import check_mask
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, shape_of

F32 = element_type("f32")
_CUBIC = -0.75
_MODES = {"bilinear": "linear", "bicubic": "cubic"}


@dataclass(frozen=True)
class AxisSampler:
    """One axis of `size` elements."""

    node: ImportNode
    size: int
    mode: str
    padding: str
    align_corners: bool

    def weights(self, grid: SSAValue) -> SSAValue:
        """[n, points, 1] positions in [-1, 1] -> [n, points, size] weights."""
        build = self.node.build
        extent = self.size - 1 if self.align_corners else self.size
        position = build.shifted(build.scaled(grid, extent / 2), (self.size - 1) / 2)
        elements = build.constant(np.arange(self.size, dtype=np.float32), f"{self.node.label}.elements")
        total: SSAValue | None = None
        for place, weight in self._taps(position):
            hit = build.cast(build.emit(graph.EqualOp(self._padded(place), elements)), F32)
            part = hit if weight is None else build.mul(hit, weight)
            total = part if total is None else build.add(total, part)
        if total is None:
            raise TypeError("every mode has a tap")
        return total

    def _taps(self, position: SSAValue) -> list[tuple[SSAValue, SSAValue | None]]:
        """(element, weight) of each tap; elements are whole numbers in f32."""
        build = self.node.build
        if self.mode == "nearest":
            return [(build.emit(graph.RoundOp(position)), None)]
        first = build.emit(graph.FloorOp(position))
        fraction = build.sub(position, first)
        if self.mode == "linear":
            rest = build.sub(build.scalar(1.0, fraction), fraction)
            return [(first, rest), (build.shifted(first, 1.0), fraction)]
        return [(build.shifted(first, float(k)), self._cubic(fraction, k)) for k in (-1, 0, 1, 2)]

    def _cubic(self, fraction: SSAValue, tap: int) -> SSAValue:
        """Keys' kernel with a = -0.75 at distance |tap - fraction|."""
        build, a = self.node.build, _CUBIC
        sign, offset = (1.0, float(-tap)) if tap < 1 else (-1.0, float(tap))
        d = build.shifted(build.scaled(fraction, sign), offset)
        outer = tap in (-1, 2)
        coefficients = (a, -5 * a, 8 * a, -4 * a) if outer else (a + 2, -(a + 3), 0.0, 1.0)
        value = build.scaled(d, coefficients[0])
        for coefficient in coefficients[1:3]:
            value = build.mul(build.shifted(value, coefficient), d)
        return build.shifted(value, coefficients[3])

    def _padded(self, place: SSAValue) -> SSAValue:
        """Where a tap outside the input reads, by the padding mode."""
        build, last = self.node.build, float(self.size - 1)
        if self.padding == "zeros":
            return place
        if self.padding == "reflection":
            place = self._reflected(place)
        return build.emit(graph.ClipOp(place, 0.0, last))

    def _reflected(self, place: SSAValue) -> SSAValue:
        """A triangle wave between the centres (align_corners) or the borders of the outermost elements."""
        build = self.node.build
        low, span = (0.0, float(self.size - 1)) if self.align_corners else (-0.5, float(self.size))
        if span == 0:
            return build.scaled(place, 0.0)
        shifted = build.shifted(place, -low)
        periods = build.emit(graph.FloorOp(build.scaled(shifted, 1 / (2 * span))))
        phase = build.sub(shifted, build.scaled(periods, 2 * span))
        distance = build.emit(graph.AbsOp(build.shifted(phase, -span)))
        return build.sub(build.scalar(span + low, distance), distance)


@onnx_op("GridSample", since=16)
def grid_sample(node: ImportNode) -> SSAValue:
    """x [n, c, spatial], grid [n, spatial of the result, axes] with the last axis first (x, y, z)."""
    build, x, grid = node.build, node.input(0), node.input(1)
    shape, places = shape_of(x), shape_of(grid)
    rank = len(shape) - 2
    if rank < 1 or len(places) != len(shape) or places[-1] != rank or places[0] != shape[0]:
        raise Malformed("the grid has one position per result element", f"{list(places)} for {list(shape)}")
    mode = _MODES.get(node.text("mode", "linear"), node.text("mode", "linear"))
    padding = node.text("padding_mode", "zeros")
    if mode not in ("linear", "nearest", "cubic") or padding not in ("zeros", "border", "reflection"):
        raise Unsupported("modes are linear, nearest, cubic; paddings zeros, border, reflection", f"{mode}, {padding}")
    points = math.prod(places[1:-1])
    check_mask(shape[0] * points * math.prod(shape[2:]))
    flat = build.cast(build.reshape(grid, (shape[0], points, rank)), F32)
    matrix: SSAValue | None = None
    for axis in range(rank):
        sampler = AxisSampler(node, shape[2 + axis], mode, padding, bool(node.integer("align_corners")))
        weights = sampler.weights(build.slice_axis(flat, 2, rank - 1 - axis, 1))
        matrix = weights if matrix is None else _outer(node, matrix, weights)
    if matrix is None:
        raise TypeError("the input has a spatial axis")
    table = build.transpose(build.reshape(x, (*shape[:2], math.prod(shape[2:]))), (0, 2, 1))
    y = build.matmul(build.cast(matrix, element_of(x)), table)
    return build.reshape(build.transpose(y, (0, 2, 1)), (*shape[:2], *places[1:-1]))


def _outer(node: ImportNode, a: SSAValue, b: SSAValue) -> SSAValue:
    """[n, p, i] x [n, p, j] -> [n, p, i * j]."""
    build = node.build
    n, points, rows = shape_of(a)
    columns = shape_of(b)[2]
    product = build.mul(build.reshape(a, (n, points, rows, 1)), build.reshape(b, (n, points, 1, columns)))
    return build.reshape(product, (n, points, rows * columns))
