"""Reductions: outside of the box stands what does not change the result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.ir import SSAValue

from npucc.frontend.bounded.extents import Extent, as_scalar, dynamic_axes, masked, product
from npucc.frontend.bounded.rules import BoundedNode, bounded_rule, output
from npucc.frontend.node import Output
from npucc.types import Array, element_of, is_float, shape_of

_NEUTRAL = {
    "ReduceSum": "sum", "ReduceL1": "sum", "ReduceL2": "sum", "ReduceSumSquare": "sum", "ReduceLogSum": "sum",
    "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod",
}  # fmt: skip


def _axes(node: BoundedNode) -> list[int] | None:
    """The reduced axes (none, perhaps); None where they are not known."""
    rank = len(node.sizes(0))
    if node.view.has(1) and node.view.known(1) is None:
        return None
    return node.view.axes(rank) or ([] if node.view.integer("noop_with_empty_axes") else list(range(rank)))


def _kept(node: BoundedNode, axes: Sequence[int]) -> tuple[Extent, ...]:
    keep = node.view.integer("keepdims", 1)
    sizes = node.sizes(0)
    return tuple(1 if i in axes else size for i, size in enumerate(sizes) if keep or i not in axes)


@bounded_rule(*_NEUTRAL)
def reduce(node: BoundedNode) -> Sequence[Output] | None:
    """Sums, products and extremes."""
    axes = _axes(node)
    if axes is None or node.is_bounded(1):
        return None
    x = node.view.input(0)
    filler = node.build.neutral(_NEUTRAL[node.view.op_type], element_of(x))
    y = node.values({0: masked(node.build, x, node.sizes(0), axes, filler)})[0]
    return [output(y, _kept(node, axes))]


@bounded_rule("ReduceLogSumExp")
def reduce_log_sum_exp(node: BoundedNode) -> Sequence[Output] | None:
    """exp(-inf) adds nothing."""
    axes, x = _axes(node), node.view.input(0)
    if axes is None or node.is_bounded(1) or not is_float(element_of(x)):
        return None
    y = node.values({0: masked(node.build, x, node.sizes(0), axes, -np.inf)})[0]
    return [output(y, _kept(node, axes))]


@bounded_rule("ReduceMean")
def reduce_mean(node: BoundedNode) -> Sequence[Output] | None:
    """The sum over the box, divided by the number of elements in it."""
    axes, x, build = _axes(node), node.view.input(0), node.build
    if axes is None or node.is_bounded(1) or not is_float(element_of(x)):
        return None
    wide = build.widened(masked(build, x, node.sizes(0), axes, 0.0))
    count = product(build, [node.sizes(0)[axis] for axis in axes])
    mean = build.div(build.reduce(wide, "sum", axes), build.cast(as_scalar(build, count), element_of(wide)))
    mean = build.cast(mean, element_of(x))
    if not node.view.integer("keepdims", 1):
        mean = build.reshape(mean, [size for i, size in enumerate(shape_of(mean)) if i not in axes])
    return [output(mean, _kept(node, axes))]


@bounded_rule("ArgMax", "ArgMin")
def arg_extreme(node: BoundedNode) -> Sequence[Output] | None:
    """The first extreme element; what lies behind the box never comes first."""
    x, build = node.view.input(0), node.build
    axis = node.view.axis("axis", len(node.sizes(0)), 0)
    if axis in dynamic_axes(node.sizes(0)) and node.view.integer("select_last_index"):
        return None
    filler = build.neutral("max" if node.view.op_type == "ArgMax" else "min", element_of(x))
    y = node.values({0: masked(build, x, node.sizes(0), [axis], filler)})[0]
    return [output(y, _kept(node, [axis]))]


@bounded_rule("Softmax", "LogSoftmax")
def softmax(node: BoundedNode) -> Sequence[Output] | None:
    """exp(-inf) adds nothing to the sum. Before opset 13 the axes from `axis` on are one."""
    sizes, x = node.sizes(0), node.view.input(0)
    rank = len(sizes)
    axis = node.view.axis("axis", rank, -1 if node.view.opset >= 13 else 1)
    axes = [axis] if node.view.opset >= 13 else list(range(axis, rank))
    return [output(node.values({0: masked(node.build, x, sizes, axes, -np.inf)})[0], sizes)]


@bounded_rule("CumSum")
def cumulative_sum(node: BoundedNode) -> Sequence[Output] | None:
    """What lies behind the box adds nothing, whichever direction the sum runs in."""
    axis_value: Array | None = node.view.known(1)
    if axis_value is None:
        return None
    x = node.view.input(0)
    axis = node.view.wrap_axis(int(axis_value.reshape(-1)[0]), len(node.sizes(0)))
    y: SSAValue = node.values({0: masked(node.build, x, node.sizes(0), [axis], 0)})[0]
    return [output(y, node.sizes(0))]


@bounded_rule("LayerNormalization", "RMSNormalization", "LpNormalization", "Hardmax")
def line_by_line(node: BoundedNode) -> Sequence[Output] | None:
    """Each line along static axes by itself."""
    sizes = node.sizes(0)
    first = node.view.axis("axis", len(sizes), -1)
    last = first + 1 if node.view.op_type in ("LpNormalization", "Hardmax") else len(sizes)
    if node.view.op_type == "Hardmax" and node.view.opset < 13:
        return None
    others = any(node.view.uses_output(index) for index in range(1, 3))
    if others or not node.only_first() or any(first <= axis < last for axis in dynamic_axes(sizes)):
        return None
    return [output(node.values()[0], sizes)]
