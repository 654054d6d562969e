"""Determinants: Gaussian elimination with row pivoting, a loop over the columns that keeps every row in its place."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.lookups import gather_3d
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.regions import Loop, Step, Yielded, loop
from npucc.frontend.registry import onnx_op
from npucc.types import BOOL, element_of, element_type, shape_of

I64 = element_type("i64")


@onnx_op("Det")
def determinant(node: ImportNode) -> SSAValue:
    """Determinants of the matrices in the last two axes; f16 and bf16 compute in f32."""
    build, x = node.build, node.input(0)
    *batch, rows, size = shape_of(x) if len(shape_of(x)) >= 2 else (0, 1)
    if rows != size:
        raise Malformed("Det takes square matrices", f"shape {list(shape_of(x))}")
    if not size or not math.prod(batch):
        return build.constant(np.broadcast_to(build.neutral("prod", element_of(x)), batch), f"{node.label}.one")
    matrices = build.widened(build.reshape(x, (math.prod(batch), size, size)))
    value = _small(build, matrices) if size <= 2 else _eliminated(build, matrices)
    return build.reshape(build.cast(value, element_of(x)), batch)


def _small(build: GraphBuilder, a: SSAValue) -> SSAValue:
    """a, or a d - b c."""
    count, size, _ = shape_of(a)
    flat = build.reshape(a, (count, size * size))
    parts = [build.slice_axis(flat, 1, place, 1) for place in range(size * size)]
    return parts[0] if size == 1 else build.sub(build.mul(parts[0], parts[3]), build.mul(parts[1], parts[2]))


def _eliminated(build: GraphBuilder, a: SSAValue) -> SSAValue:
    """The product of the pivots, with the sign of the order in which their rows were taken.

    Step k takes, of the rows not taken yet, the one with the greatest element in column k, which always stands in
    front: the columns rotate. A row that has been taken stays as it is.
    """
    count, size, _ = shape_of(a)
    element = element_of(a)
    zero, one = build.scalar_of(0, element), build.scalar_of(1, element)
    places = build.constant(np.arange(size, dtype=np.int64).reshape(1, size, 1), f"{build.node}.rows")

    def step(state: Step) -> Yielded:
        matrix, taken, value = state.carried
        column = build.slice_axis(matrix, 2, 0, 1)
        best = _tallest(build, column, taken)
        row = gather_3d(build, matrix, best)
        pivot = build.slice_axis(row, 2, 0, 1)
        above = build.emit(graph.AndOp(taken, build.emit(graph.GreaterOp(places, best))))
        passed = build.reduce(build.cast(above, I64), "sum", [1])
        odd = build.cast(build.emit(graph.RemOp(passed, build.scalar_of(2, I64))), BOOL)
        signed = build.emit(graph.WhereOp(odd, build.emit(graph.NegOp(pivot)), pivot))
        now = build.emit(graph.OrOp(taken, build.emit(graph.EqualOp(places, best))))
        nothing = build.emit(graph.EqualOp(pivot, zero))
        factor = build.div(column, build.emit(graph.WhereOp(nothing, one, pivot)))
        factor = build.emit(graph.WhereOp(build.emit(graph.OrOp(now, nothing)), zero, factor))
        rest = build.sub(matrix, build.mul(factor, row))
        turned = build.concat([build.slice_axis(rest, 2, 1, size - 1), build.slice_axis(rest, 2, 0, 1)], 2)
        return [turned, now, build.mul(value, signed)], []

    none = build.constant(np.zeros((count, size, 1), bool), f"{build.node}.taken")
    start = build.expand(build.reshape(one, (1, 1, 1)), (count, 1, 1))
    carried, _ = loop(build, Loop([a, none, start], steps=size), step)
    return carried[2]


def _tallest(build: GraphBuilder, column: SSAValue, taken: SSAValue) -> SSAValue:
    """i64 [count, 1, 1]: of the rows not taken yet the one whose element of the column [count, rows, 1] is greatest."""
    count, size, _ = shape_of(column)
    none = build.scalar_of(-1, element_of(column))
    height = build.emit(graph.WhereOp(taken, none, build.emit(graph.AbsOp(column))))
    best = build.emit(graph.ArgsortOp(build.reshape(height, (count, size)), 1, True))
    return build.reshape(best, (count, 1, 1))
