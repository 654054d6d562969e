"""Where each window of a maximum pooling has its greatest element, as ONNX's output `Indices` numbers it."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.windows import Window
from npucc.types import Array, element_of, element_type, numpy_dtype, shape_of

_LARGEST_I32 = (1 << 31) - 1


def greatest_positions(node: ImportNode, y: SSAValue, axes: list[Window]) -> SSAValue:
    """i64 numbers, in the flattened input, of the first element of each window that equals its maximum `y`.

    The kernel's elements are compared one after the other: strided slices of the padded input.
    """
    build, x = node.build, node.input(0)
    shape, spatial = shape_of(x), shape_of(x)[2:]
    index = element_type("i32" if math.prod(shape) < _LARGEST_I32 else "i64")
    padded = _padded(node, x, axes)
    last = build.scalar_of(math.prod(spatial) - 1, index)
    best: SSAValue | None = None
    for tap in np.ndindex(*(window.size for window in axes)):
        starts = [0, 0, *(place * window.dilation for place, window in zip(tap, axes))]
        steps = [1, 1, *(window.stride for window in axes)]
        element = build.slice(padded, starts, steps, (*shape[:2], *(window.output for window in axes)))
        places = build.constant(_places(tap, axes, spatial).astype(numpy_dtype(index)), f"{node.label}.places")
        hit = build.emit(graph.EqualOp(element, y))
        found = build.emit(graph.WhereOp(hit, places, last))
        best = found if best is None else build.emit(graph.MinOp(best, found))
    if best is None:
        raise Malformed("a window has an element", f"{[window.size for window in axes]}")
    if node.integer("storage_order"):
        best = _column_major(node, best, spatial)
    planes = np.arange(math.prod(shape[:2]), dtype=np.int64) * math.prod(spatial)
    planes = build.constant(planes.reshape(*shape[:2], *[1] * len(axes)), f"{node.label}.planes")
    return build.add(build.cast(best, element_type("i64")), planes)


def _padded(node: ImportNode, x: SSAValue, axes: list[Window]) -> SSAValue:
    """x with the least value around, so that every window lies inside."""
    build, least = node.build, node.build.neutral("max", element_of(x))
    for axis, window in enumerate(axes, 2):
        shape, parts = shape_of(x), [x]
        for count, at in ((window.before, 0), (window.after, 1)):
            if count:
                side = np.broadcast_to(least, (*shape[:axis], count, *shape[axis + 1 :]))
                parts.insert(at * len(parts), build.constant(side, f"{node.label}.padding"))
        x = build.concat(parts, axis)
    return x


def _places(tap: tuple[int, ...], axes: list[Window], spatial: tuple[int, ...]) -> Array:
    """Number within a plane of element `tap` of every window; the greatest number in the padding."""
    positions = [
        np.arange(window.output) * window.stride - window.before + place * window.dilation
        for place, window in zip(tap, axes)
    ]
    grid = np.meshgrid(*positions, indexing="ij")
    inside = np.all([(g >= 0) & (g < size) for g, size in zip(grid, spatial)], axis=0)
    flat = sum((g * math.prod(spatial[axis + 1 :]) for axis, g in enumerate(grid)), np.zeros_like(grid[0]))
    return np.where(inside, flat, math.prod(spatial) - 1)


def _column_major(node: ImportNode, numbers: SSAValue, spatial: tuple[int, ...]) -> SSAValue:
    """Row-major numbers within a plane as column-major ones (`storage_order` 1)."""
    build, element = node.build, element_of(numbers)
    total: SSAValue | None = None
    rest = numbers
    for axis in reversed(range(len(spatial))):
        size = build.scalar_of(spatial[axis], element)
        place = build.emit(graph.RemOp(rest, size))
        part = build.mul(place, build.scalar_of(math.prod(spatial[:axis]), element))
        total = part if total is None else build.add(total, part)
        rest = build.div(rest, size)
    return numbers if total is None else total
