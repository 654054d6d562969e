"""Ops about the order of elements: TopK, arg max, running sums and products, Unique."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.lookups import gather_elements
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import BOOL, element_of, element_type, shape_of

I64 = element_type("i64")


@onnx_op("TopK")
def top_k(node: ImportNode) -> list[SSAValue]:
    """The k greatest (or least) elements of each line in order, equal ones by position, NaN above all numbers."""
    build, x = node.build, node.input(0)
    k = node.integer("k") if node.has_attribute("k") else _one_integer(node, 1, "k")
    shape = shape_of(x)
    axis, largest = node.axis("axis", len(shape), -1), bool(node.integer("largest", 1))
    if not 0 <= k <= shape[axis]:
        raise Malformed("k lies within the axis", f"k = {k}, axis of {shape[axis]}")
    places = build.emit(graph.ArgsortOp(x, k, largest, axis=axis))
    return [gather_elements(build, x, places, axis), places]


def _one_integer(node: ImportNode, index: int, what: str) -> int:
    """The integer of a known input of one element."""
    values = node.constant_ints(index, what)
    if len(values) != 1:
        raise Malformed(f"`{what}` (input {index}) is one integer", f"{len(values)} elements")
    return values[0]


def arg_extreme(build: GraphBuilder, x: SSAValue, axis: int, largest: bool, last: bool = False) -> SSAValue:
    """Position (kept axis, i64) of the first (or last) greatest or least element; NaN is above all numbers."""
    size = shape_of(x)[axis]
    if element_of(x) == BOOL or not size:
        raise Unsupported("an arg max has numbers, at least one", f"{x.type}")
    if last:
        x = build.slice_axis(x, axis, size - 1, size, -1)
    place = build.emit(graph.ArgsortOp(x, 1, largest, axis=axis))
    return build.sub(build.scalar_of(size - 1, I64), place) if last else place


def _arg(node: ImportNode, largest: bool) -> SSAValue:
    x = node.input(0)
    shape = shape_of(x)
    axis = node.axis("axis", len(shape), 0)
    y = arg_extreme(node.build, x, axis, largest, bool(node.integer("select_last_index")))
    return y if node.integer("keepdims", 1) else node.build.reshape(y, (*shape[:axis], *shape[axis + 1 :]))


@onnx_op("ArgMax")
def arg_max(node: ImportNode) -> SSAValue:
    """Position of the greatest element of each line."""
    return _arg(node, True)


@onnx_op("ArgMin")
def arg_min(node: ImportNode) -> SSAValue:
    """Position of the least element of each line."""
    return _arg(node, False)


@onnx_op("Hardmax")
def hardmax(node: ImportNode) -> SSAValue:
    """1 at the first greatest element, else 0. Before opset 13 the axes from `axis` on are one."""
    build, x = node.build, node.input(0)
    shape, rank = shape_of(x), len(shape_of(x))
    axis = node.axis("axis", rank, -1 if node.opset >= 13 else 1)
    if not math.prod(shape):
        return x
    if node.opset < 13:
        x, axis = build.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:]))), 1
    best = arg_extreme(build, x, axis, True)
    places = np.arange(shape_of(x)[axis], dtype=np.int64)
    places = places.reshape([-1 if i == axis else 1 for i in range(len(shape_of(x)))])
    hit = build.emit(graph.EqualOp(build.constant(places, f"{node.label}.positions"), best))
    return build.reshape(build.cast(hit, element_of(x)), shape)


def _running(node: ImportNode, fn: str) -> SSAValue:
    build, x = node.build, node.input(0)
    axis = node.wrap_axis(_one_integer(node, 1, "axis"), len(shape_of(x)))
    exclusive, reverse = bool(node.integer("exclusive")), bool(node.integer("reverse"))
    return build.emit(graph.ScanOp(x, fn, exclusive, reverse, axis=axis))


@onnx_op("CumSum")
def cumulative_sum(node: ImportNode) -> SSAValue:
    """Running sums along an axis."""
    return _running(node, "sum")


@onnx_op("CumProd")
def cumulative_product(node: ImportNode) -> SSAValue:
    """Running products along an axis."""
    return _running(node, "prod")
