"""Products and convolutions: zeros outside of the box along summed axes; independent axes pass through."""

from __future__ import annotations

from collections.abc import Sequence

from npucc.frontend.bounded.extents import Extent, broadcast, dynamic_axes, masked, same
from npucc.frontend.bounded.rules import BoundedNode, bounded_rule, output
from npucc.frontend.node import Output
from npucc.types import shape_of


@bounded_rule("MatMul")
def matmul(node: BoundedNode) -> Sequence[Output] | None:
    """Both operands are 0 outside of the box along the inner axis (0 times an undefined element may be NaN).

    A vector is a row on the left, a column on the right; the axis of size 1 vanishes from the result.
    """
    a, b = node.view.input(0), node.view.input(1)
    *batch_a, inner_a = node.sizes(0)
    *batch_b, inner_b = node.sizes(1)
    rows, columns = tuple[Extent, ...](), tuple[Extent, ...]()
    if batch_a:
        *batch_a, row = batch_a
        rows = (row,)
    if batch_b:
        (*batch_b, inner_b), columns = batch_b, (inner_b,)
    inner_place = len(batch_b)
    if not same(inner_a, inner_b) or shape_of(a)[-1] != shape_of(b)[inner_place]:
        return None
    lead_a, lead_b = shape_of(a)[: len(batch_a)], shape_of(b)[:inner_place]
    batch = broadcast([(tuple(batch_a), lead_a), (tuple(batch_b), lead_b)]) if batch_a or batch_b else ()
    if batch is None:
        return None
    a = masked(node.build, a, node.sizes(0), [len(shape_of(a)) - 1], 0)
    b = masked(node.build, b, node.sizes(1), [inner_place], 0)
    return [output(node.values({0: a, 1: b})[0], (*batch, *rows, *columns))]


@bounded_rule("Gemm")
def gemm(node: BoundedNode) -> Sequence[Output] | None:
    """As MatMul; only the rows of the first operand may depend on data."""
    rows = 1 if node.view.integer("transA") else 0
    sizes = node.sizes(0)
    if not node.only_first() or dynamic_axes(sizes) != [rows]:
        return None
    if node.view.has(2) and len(node.view.shape(2)) == 2 and node.view.shape(2)[0] != 1:
        return None
    y = node.values()[0]
    return [output(y, (sizes[rows], shape_of(y)[1]))]


@bounded_rule(
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool",
    "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN", "DepthToSpace", "SpaceToDepth",
)  # fmt: skip
def images(node: BoundedNode) -> Sequence[Output] | None:
    """Each image of a batch by itself: only the number of images may depend on data."""
    sizes = node.sizes(0)
    if not node.only_first() or dynamic_axes(sizes) != [0] or node.view.uses_output(1):
        return None
    y = node.values()[0]
    return [output(y, (sizes[0], *shape_of(y)[1:]))]
