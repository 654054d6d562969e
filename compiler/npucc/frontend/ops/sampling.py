"""GridSample: values at computed positions, each a weighted sum of its neighbours.

Along each axis an output point takes a few elements (taps) with weights; the neighbours are all their combinations. A
tap outside of the input reads 0, which is zero padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from itertools import product

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder, wide_element
from npucc.frontend.interpolation import channels_last_table, rows_of, weighted_rows
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import BOOL, element_of, element_type, shape_of

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

    def taps(self, grid: SSAValue) -> list[tuple[SSAValue, SSAValue | None]]:
        """(element, weight) of each tap at positions in [-1, 1]; elements are whole numbers in the type of the grid."""
        build = self.node.build
        extent = self.size - 1 if self.align_corners else self.size
        position = build.shifted(build.scaled(grid, extent / 2), (self.size - 1) / 2)
        return [(self._padded(place), weight) for place, weight in self._taps(position)]

    def _taps(self, position: SSAValue) -> list[tuple[SSAValue, SSAValue | None]]:
        """(element, weight) of each tap before padding."""
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
    points, spatial = math.prod(places[1:-1]), shape[2:]
    flat = build.widened(build.reshape(grid, (shape[0], points, rank)))
    axes = [
        AxisSampler(node, size, mode, padding, bool(node.integer("align_corners"))).taps(
            build.slice_axis(flat, 2, rank - 1 - axis, 1)
        )
        for axis, size in enumerate(spatial)
    ]
    numbers = build.cast(x, element_type("f32")) if element_of(x) == BOOL else x
    taps = [
        (rows_of(build, [place for place, _ in corner], spatial), _weight(build, [w for _, w in corner], numbers))
        for corner in product(*axes)
    ]
    y = weighted_rows(build, channels_last_table(build, numbers), taps)
    y = build.transpose(build.cast(y, element_of(x)), (0, 2, 1))
    return build.reshape(y, (*shape[:2], *places[1:-1]))


def _weight(build: GraphBuilder, weights: list[SSAValue | None], like: SSAValue) -> SSAValue | None:
    """The product over the axes, in the type of sums of `like`; nearest elements have no weights."""
    factors = [weight for weight in weights if weight is not None]
    return build.cast(reduce(build.mul, factors), wide_element(like)) if factors else None
