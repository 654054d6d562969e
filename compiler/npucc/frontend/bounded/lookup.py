"""Lookups and selections: positions outside of the box are read from somewhere and do not count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.bounded.extents import I64, as_scalar, dynamic_axes, inside, masked
from npucc.frontend.bounded.rules import BoundedNode, bounded_rule, output
from npucc.frontend.lookups import gather as take
from npucc.frontend.node import Bounded, Output
from npucc.types import element_of, integer_limits, is_float, shape_of


@bounded_rule("Gather")
def gather(node: BoundedNode) -> Sequence[Output] | None:
    """Negative indices count from the end of the box. Undefined indices read a slice that does not count."""
    sizes, places, build = node.sizes(0), node.sizes(1), node.build
    axis = node.view.axis("axis", len(sizes), 0)
    indices = build.cast(node.view.input(1), I64)
    if isinstance(sizes[axis], SSAValue):
        shifted = build.add(indices, as_scalar(build, sizes[axis]))
        negative = build.emit(graph.LessOp(indices, build.scalar_of(0, I64)))
        indices = build.emit(graph.WhereOp(negative, shifted, indices))
    y = take(build, node.view.input(0), indices, axis)
    return [output(y, (*sizes[:axis], *places, *sizes[axis + 1 :]))]


@bounded_rule("GatherND")
def gather_nd(node: BoundedNode) -> Sequence[Output] | None:
    """Index tuples into a tensor of static shape."""
    places = node.sizes(1)
    if node.is_bounded(0) or node.view.integer("batch_dims") or isinstance(places[-1], SSAValue):
        return None
    y = node.values()[0]
    lead = places[:-1]
    return [output(y, (*lead, *shape_of(y)[len(lead) :]))]


@bounded_rule("GatherElements")
def gather_elements(node: BoundedNode) -> Sequence[Output] | None:
    """The result has the sizes of the indices; the tensor's own axis is static (negative indices)."""
    sizes = node.sizes(0)
    axis = node.view.axis("axis", len(sizes), 0)
    if isinstance(sizes[axis], SSAValue):
        return None
    return [output(node.values()[0], node.sizes(1))]


@bounded_rule("OneHot")
def one_hot(node: BoundedNode) -> Sequence[Output] | None:
    """One more axis, of static size."""
    if node.is_bounded(1) or node.is_bounded(2):
        return None
    y, sizes = node.values()[0], node.sizes(0)
    axis = node.view.axis("axis", len(sizes) + 1, -1)
    return [output(y, (*sizes[:axis], shape_of(y)[axis], *sizes[axis:]))]


@bounded_rule("TopK")
def top_k(node: BoundedNode) -> Sequence[Output] | None:
    """What lies outside of the box is worse than all; the stable order keeps it behind equal elements."""
    sizes, x = node.sizes(0), node.view.input(0)
    if node.is_bounded(1) or (node.view.has(1) and node.view.known(1) is None):
        return None
    axis = node.view.axis("axis", len(sizes), -1)
    element, largest = element_of(x), bool(node.view.integer("largest", 1))
    if is_float(element):
        worst: float = -np.inf if largest else np.inf
    else:
        low, high = integer_limits(element)
        worst = low if largest else high
    results = node.values({0: masked(node.build, x, sizes, [axis], worst)})
    return [output(y, (*sizes[:axis], shape_of(y)[axis], *sizes[axis + 1 :])) for y in results]


@bounded_rule("NonZero")
def non_zero(node: BoundedNode) -> Sequence[Output] | None:
    """Nothing is found outside of the box; the order of the positions in the buffer is that in the box."""
    sizes = node.sizes(0)
    return _rerun(node, {0: masked(node.build, node.view.input(0), sizes, dynamic_axes(sizes), 0)})


@bounded_rule("Compress")
def compress(node: BoundedNode) -> Sequence[Output] | None:
    """Nothing is chosen outside of the box of the condition, nor of the axis."""
    sizes, build = node.sizes(0), node.build
    if not node.view.has_attribute("axis") and dynamic_axes(sizes):
        return None
    axis = node.view.axis("axis", len(sizes), 0)
    if any(other != axis for other in dynamic_axes(sizes)):
        return None
    condition = masked(build, node.view.input(1), node.sizes(1), [0], 0)
    if isinstance(sizes[axis], SSAValue) and shape_of(condition)[0] <= node.view.shape(0)[axis]:
        limit = inside(build, shape_of(condition), (sizes[axis],), [0])
        condition = condition if limit is None else build.emit(graph.AndOp(condition, limit))
    return _rerun(node, {1: condition})


def _rerun(node: BoundedNode, replaced: dict[int, SSAValue]) -> Sequence[Output]:
    """The op itself on masked buffers; its own result may be bounded."""
    inputs = list(node.view.inputs)
    for index, value in replaced.items():
        inputs[index] = value
    view = type(node.view)(node.view.proto, node.view.label, node.view.domain, node.view.opset, inputs, node.build)
    results = node.run(view)
    return [r if isinstance(r, Bounded | SSAValue) else node.build.constant(np.asarray(r), "known") for r in results]
