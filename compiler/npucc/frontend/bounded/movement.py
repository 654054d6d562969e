"""Movement: where each axis goes its size goes; a box must stay a leading box."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.bounded.extents import I64, Extent, Extents, as_scalar, dynamic_axes, product, same, scaled
from npucc.frontend.bounded.rules import BoundedNode, bounded_rule, output
from npucc.frontend.lookups import gather
from npucc.frontend.node import Output
from npucc.types import shape_of


@bounded_rule("Shape")
def shape(node: BoundedNode) -> Sequence[Output] | None:
    """The sizes as the device knows them."""
    sizes = node.sizes(0)
    rank = len(sizes)
    start, end = node.view.integer("start"), node.view.integer("end", rank)
    chosen = sizes[slice(*slice(start, end).indices(rank))]
    build = node.build
    if not any(isinstance(size, SSAValue) for size in chosen):
        return [np.asarray(chosen, np.int64)]
    return [build.concat([build.reshape(as_scalar(build, size), (1,)) for size in chosen], 0)]


@bounded_rule("Size")
def size(node: BoundedNode) -> Sequence[Output] | None:
    """The number of elements of the box."""
    return [as_scalar(node.build, product(node.build, node.sizes(0)))]


@bounded_rule("Transpose")
def transpose(node: BoundedNode) -> Sequence[Output] | None:
    """Axes change places."""
    sizes = node.sizes(0)
    order = node.view.integers("perm") or list(range(len(sizes)))[::-1]
    return [output(node.values()[0], tuple(sizes[axis] for axis in order))]


@bounded_rule("Unsqueeze")
def unsqueeze(node: BoundedNode) -> Sequence[Output] | None:
    """New axes of size 1."""
    if node.is_bounded(1) or (node.view.has(1) and node.view.known(1) is None):
        return None
    y = node.values()[0]
    rank = len(shape_of(y))
    axes = node.view.axes(rank) or []
    rest = iter(node.sizes(0))
    return [output(y, tuple(1 if axis in axes else next(rest) for axis in range(rank)))]


@bounded_rule("Squeeze")
def squeeze(node: BoundedNode) -> Sequence[Output] | None:
    """Static axes of size 1 vanish. Without `axes`, a size that turns out as 1 would vanish too: not known."""
    sizes = node.sizes(0)
    if node.is_bounded(1) or (node.view.has(1) and node.view.known(1) is None):
        return None
    axes = node.view.axes(len(sizes))
    if axes is None or any(sizes[axis] != 1 for axis in axes):
        return None
    return [output(node.values()[0], tuple(extent for axis, extent in enumerate(sizes) if axis not in axes))]


@bounded_rule("Flatten")
def flatten(node: BoundedNode) -> Sequence[Output] | None:
    """Two axes; the box stays one while only its outermost axis depends on data."""
    sizes, shape = node.sizes(0), node.view.shape(0)
    axis = node.view.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return _regrouped(node, sizes, (math.prod(shape[:axis]), math.prod(shape[axis:])))


@bounded_rule("Reshape")
def reshape(node: BoundedNode) -> Sequence[Output] | None:
    """A known target whose -1 (or a copied 0) takes the size that depends on data."""
    known = None if node.is_bounded(1) else (node.view.known(1) if node.view.has(1) else None)
    target = node.view.integers("shape") if not node.view.has(1) else None if known is None else known.tolist()
    sizes, shape = node.sizes(0), node.view.shape(0)
    axes = dynamic_axes(sizes)
    if target is None or len(axes) != 1 or node.view.integer("allowzero"):
        return None
    (axis,) = axes
    copied = {i for i, wanted in enumerate(target) if wanted == 0}
    if any(i >= len(shape) for i in copied):
        return None
    wanted = [shape[i] if i in copied else int(extent) for i, extent in enumerate(target)]
    free = target.index(-1) if -1 in target else None
    if axis not in copied and free is None:
        return None  # a static target: the model says that the size is a constant
    if free is not None:
        rest = math.prod(extent for i, extent in enumerate(wanted) if i != free)
        if rest == 0 or math.prod(shape) % rest:
            return None
        wanted[free] = math.prod(shape) // rest
    return _regrouped(node, sizes, tuple(wanted), axis if axis in copied else free)


def _regrouped(
    node: BoundedNode, sizes: Extents, wanted: tuple[int, ...], place: int | None = None
) -> Sequence[Output] | None:
    """The buffer as `wanted`: one axis depends on data; as many elements stand outside of it before and after."""
    shape, axes = node.view.shape(0), dynamic_axes(sizes)
    if len(axes) != 1 or math.prod(shape) == 0:
        return None
    (axis,) = axes
    before, behind = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    places = [i for i in range(len(wanted)) if math.prod(wanted[:i]) == before and wanted[i] > 1]
    place = place if place is not None else next(iter(places), None)
    if place is None or math.prod(wanted[:place]) != before:
        return None
    inner = math.prod(wanted[place + 1 :])
    if behind % inner and inner % behind:
        return None
    # The rows must end where the box ends: what lies before the axis must not be cut by the new grouping.
    if before != 1 and inner != behind:
        return None
    extents: list[Extent] = list(wanted)
    extents[place] = scaled(node.build, sizes[axis], behind, inner)
    return [output(node.build.reshape(node.view.input(0), wanted), tuple(extents))]


@bounded_rule("Concat")
def concat(node: BoundedNode) -> Sequence[Output] | None:
    """Along an axis of static sizes: as it is. Else the valid parts are gathered one behind the other."""
    rank = len(node.sizes(0))
    axis, build = node.view.axis("axis", rank, 1), node.build
    count = len(node.extents)
    sizes = [node.sizes(index) for index in range(count)]
    if any(not same(s[other], sizes[0][other]) for s in sizes for other in range(rank) if other != axis):
        return None
    buffers = [node.view.input(index) for index in range(count)]
    bounds = [shape_of(buffer)[axis] for buffer in buffers]
    if any(shape_of(b)[i] != shape_of(buffers[0])[i] for b in buffers for i in range(rank) if i != axis):
        return None
    joined = build.concat(buffers, axis)
    lengths = [s[axis] for s in sizes]
    if all(isinstance(length, int) for length in lengths):
        return [output(joined, (*sizes[0][:axis], sum(bounds), *sizes[0][axis + 1 :]))]
    total = sum(bounds)
    places = build.constant(np.arange(total, dtype=np.int64), "places")
    source, begin, offset = places, build.scalar_of(0, I64), 0
    for length, bound in zip(lengths, bounds):
        # From `begin` on the elements of this piece follow, which lie from `offset` on in `joined`.
        here = build.add(build.sub(places, begin), build.scalar_of(offset, I64))
        reached = build.emit(graph.GreaterOrEqualOp(places, begin))
        source = build.emit(graph.WhereOp(reached, here, source))
        begin, offset = build.add(begin, as_scalar(build, length)), offset + bound
    inside = build.emit(graph.MinOp(source, build.scalar_of(max(total - 1, 0), I64)))
    return [output(gather(build, joined, inside, axis), (*sizes[0][:axis], begin, *sizes[0][axis + 1 :]))]


@bounded_rule("Slice")
def slice_(node: BoundedNode) -> Sequence[Output] | None:
    """Known limits. Along an axis that depends on data: from a start that is not negative, to an end that is not."""
    view, sizes = node.view, node.sizes(0)
    if view.opset >= 10:
        known = [view.known(index) if view.has(index) and not node.is_bounded(index) else None for index in range(1, 5)]
        if any(view.has(index) and known[index - 1] is None for index in range(1, 5)):
            return None
        starts, ends, axes, steps = ([int(v) for v in k.reshape(-1)] if k is not None else None for k in known)
    else:
        starts, ends = view.integers("starts"), view.integers("ends")
        axes, steps = view.integers("axes") or None, None
    if starts is None or ends is None:
        return None
    axes = [view.wrap_axis(axis, len(sizes)) for axis in axes or range(len(starts))]
    y = node.values()[0]
    extents: list[Extent] = [size if isinstance(size, SSAValue) else extent for size, extent in zip(sizes, shape_of(y))]
    build, zero = node.build, node.build.scalar_of(0, I64)
    for axis, start, end, step in zip(axes, starts, ends, steps or [1] * len(starts)):
        if not isinstance(sizes[axis], SSAValue):
            continue
        if start < 0 or end < 0 or step != 1:
            return None
        last = build.emit(graph.MinOp(as_scalar(build, sizes[axis]), build.scalar_of(end, I64)))
        extents[axis] = build.emit(graph.MaxOp(build.sub(last, build.scalar_of(start, I64)), zero))
    return [output(y, tuple(extents))]


@bounded_rule("Split")
def split(node: BoundedNode) -> Sequence[Output] | None:
    """Along an axis of static size."""
    sizes = node.sizes(0)
    axis = node.view.axis("axis", len(sizes), 0)
    if isinstance(sizes[axis], SSAValue) or node.is_bounded(1):
        return None
    return [output(y, (*sizes[:axis], shape_of(y)[axis], *sizes[axis + 1 :])) for y in node.values()]
