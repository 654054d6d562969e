"""Sizes at run time: arithmetic on them, their broadcasting, and masks of the valid box."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from xdsl.ir import Block, SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.types import Array, element_of, element_type, numpy_dtype, shape_of

I64 = element_type("i64")
Extent = SSAValue | int
"""Size of an axis: static, or an i64 scalar that the device computes."""
Extents = tuple[Extent, ...]


def as_scalar(build: GraphBuilder, extent: Extent) -> SSAValue:
    """The size as an i64 tensor of shape ()."""
    if isinstance(extent, int):
        return build.scalar_of(extent, I64)
    return build.reshape(build.cast(extent, I64), ())


def dynamic_axes(extents: Extents) -> list[int]:
    """Axes whose size depends on data."""
    return [axis for axis, extent in enumerate(extents) if isinstance(extent, SSAValue)]


_SAME_DEPTH = 16


def same(a: Extent, b: Extent, depth: int = _SAME_DEPTH) -> bool:
    """Whether two sizes are certainly equal: one value, or made by the same operations."""
    if isinstance(a, int) or isinstance(b, int):
        return a is b or (isinstance(a, int) and a == b)
    if a is b:
        return True
    one, other = a.owner, b.owner
    if not depth or isinstance(one, Block) or isinstance(other, Block) or one.name != other.name:
        return False
    if one.regions or one.properties != other.properties or len(one.operands) != len(other.operands):
        return False
    return bool(one.operands) and all(same(x, y, depth - 1) for x, y in zip(one.operands, other.operands))


def scaled(build: GraphBuilder, extent: Extent, factor: int, divisor: int = 1) -> Extent:
    """extent * factor / divisor, which is exact."""
    if isinstance(extent, int):
        return extent * factor // divisor
    common = math.gcd(factor, divisor)
    factor, divisor = factor // common, divisor // common
    product = build.scaled(as_scalar(build, extent), factor)
    return build.div(product, build.scalar_of(divisor, I64)) if divisor > 1 else product


def product(build: GraphBuilder, extents: Sequence[Extent]) -> Extent:
    """Product of sizes."""
    static = math.prod(extent for extent in extents if isinstance(extent, int))
    found: Extent = static
    for extent in extents:
        if isinstance(extent, SSAValue):
            scalar = as_scalar(build, extent)
            found = build.scaled(scalar, static) if isinstance(found, int) else build.mul(found, scalar)
    return found


def broadcast(shapes: Sequence[tuple[Extents, tuple[int, ...]]]) -> Extents | None:
    """Extents of the broadcast of values given by extents and buffer shape; None where it cannot be known to fit.

    A size that depends on data meets itself or a static 1: against another size it might turn out to be 1.
    """
    rank = max(len(extents) for extents, _ in shapes)
    found: list[Extent] = []
    for axis in range(-rank, 0):
        entries = [(extents[axis], shape[axis]) for extents, shape in shapes if len(extents) >= -axis]
        dynamic = [(extent, bound) for extent, bound in entries if isinstance(extent, SSAValue)]
        static = [extent for extent, _ in entries if isinstance(extent, int) and extent != 1]
        if not dynamic:
            found.append(static[0] if static else 1)
            continue
        first, limit = dynamic[0]
        if static or any(not same(first, extent) or bound != limit for extent, bound in dynamic[1:]):
            return None
        found.append(first)
    return tuple(found)


def inside(build: GraphBuilder, shape: Sequence[int], extents: Extents, axes: Sequence[int]) -> SSAValue | None:
    """Mask (bool, broadcastable to `shape`) of the positions within the box along `axes`; None if all are."""
    mask: SSAValue | None = None
    for axis in axes:
        extent = extents[axis]
        if isinstance(extent, int):
            continue
        spread = [shape[axis] if i == axis else 1 for i in range(len(shape))]
        positions = build.constant(np.arange(shape[axis], dtype=np.int64).reshape(spread), "positions")
        part = build.emit(graph.LessOp(positions, as_scalar(build, extent)))
        mask = part if mask is None else build.emit(graph.AndOp(mask, part))
    return mask


def masked(build: GraphBuilder, x: SSAValue, extents: Extents, axes: Sequence[int], filler: float | Array) -> SSAValue:
    """x with `filler` outside of the box along `axes`."""
    mask = inside(build, shape_of(x), extents, axes)
    if mask is None:
        return x
    array = np.asarray(filler).astype(numpy_dtype(element_of(x)))
    return build.emit(graph.WhereOp(mask, x, build.constant(array, "filler")))
