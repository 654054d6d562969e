"""Reductions over axes, and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, is_float, shape_of

Reduction = Callable[[ImportNode, SSAValue, list[int]], SSAValue]


def _plain(fn: str) -> Reduction:
    return lambda node, x, axes: node.build.reduce(x, fn, axes)


def _mean(node: ImportNode, x: SSAValue, axes: list[int]) -> SSAValue:
    return node.build.mean(x, axes)


def _norm_1(node: ImportNode, x: SSAValue, axes: list[int]) -> SSAValue:
    return node.build.reduce(node.build.emit(graph.AbsOp(x)), "sum", axes)


def _sum_of_squares(node: ImportNode, x: SSAValue, axes: list[int]) -> SSAValue:
    return node.build.cast(_wide_sum_of_squares(node, x, axes), element_of(x))


def _norm_2(node: ImportNode, x: SSAValue, axes: list[int]) -> SSAValue:
    return node.build.cast(node.build.sqrt(_real(node, _wide_sum_of_squares(node, x, axes))), element_of(x))


def _real(node: ImportNode, x: SSAValue) -> SSAValue:
    """Integers as f64, for functions that machines have of floats; their results truncate."""
    return x if is_float(element_of(x)) else node.build.cast(x, element_type("f64"))


def _wide_sum_of_squares(node: ImportNode, x: SSAValue, axes: list[int]) -> SSAValue:
    """In f32 for narrower floats, whose squares overflow."""
    wide = node.build.widened(x)
    return node.build.reduce(node.build.mul(wide, wide), "sum", axes)


def _log_sum(node: ImportNode, x: SSAValue, axes: list[int]) -> SSAValue:
    total = _real(node, node.build.reduce(x, "sum", axes))
    return node.build.cast(node.build.emit(graph.LogOp(total)), element_of(x))


def _log_sum_exp(node: ImportNode, x: SSAValue, axes: list[int]) -> SSAValue:
    """log(sum(exp(x - max))) + max, so that exp cannot overflow; 0 for an infinite max, as inf - inf is NaN."""
    build, element, x = node.build, element_of(x), _real(node, x)
    top = build.reduce(x, "max", axes)
    finite = build.emit(graph.LessOp(build.emit(graph.AbsOp(top)), build.scalar(math.inf, top)))
    top = build.emit(graph.WhereOp(finite, top, build.scalar(0.0, top)))
    total = build.reduce(build.emit(graph.ExpOp(build.sub(x, top))), "sum", axes)
    return build.cast(build.add(build.emit(graph.LogOp(total)), top), element)


REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _plain("sum"),
    "ReduceMax": _plain("max"),
    "ReduceMin": _plain("min"),
    "ReduceProd": _plain("prod"),
    "ReduceMean": _mean,
    "ReduceL1": _norm_1,
    "ReduceL2": _norm_2,
    "ReduceSumSquare": _sum_of_squares,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}


def _register(name: str, reduction: Reduction) -> None:
    @onnx_op(name)
    def _import(node: ImportNode) -> SSAValue:
        """Axes come from the attribute, from opset 13 / 18 on from input 1; none means all, or none if so asked."""
        x = node.input(0)
        shape = shape_of(x)
        axes = node.axes(len(shape))
        if not axes:
            axes = [] if node.integer("noop_with_empty_axes") else list(range(len(shape)))
        y = reduction(node, x, axes)
        if node.integer("keepdims", 1):
            return y
        return node.build.reshape(y, [size for axis, size in enumerate(shape) if axis not in axes])


for _name, _reduction in REDUCTIONS.items():
    _register(_name, _reduction)


SoftmaxClass = Callable[[SSAValue], graph.GraphOp]


def _flat_softmax(node: ImportNode, make: SoftmaxClass) -> SSAValue:
    """Before opset 13 the axes from `axis` on are one."""
    x, build = node.input(0), node.build
    shape = shape_of(x)
    axis = node.axis("axis", len(shape), 1) if node.integer("axis", 1) != len(shape) else len(shape)
    flat = build.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:])))
    return build.reshape(build.emit(make(flat)), shape)


def _axis_softmax(node: ImportNode, make: SoftmaxClass) -> SSAValue:
    """From opset 13 on along one axis."""
    x, build = node.input(0), node.build
    rank = len(shape_of(x))
    order = list(range(rank))
    axis = node.axis("axis", rank, -1)
    order[axis], order[-1] = order[-1], order[axis]
    return build.transpose(build.emit(make(build.transpose(x, order))), order)


def _register_softmax(name: str, make: SoftmaxClass) -> None:
    onnx_op(name)(lambda node: _flat_softmax(node, make))
    onnx_op(name, since=13)(lambda node: _axis_softmax(node, make))


_register_softmax("Softmax", graph.SoftmaxOp)
_register_softmax("LogSoftmax", graph.LogSoftmaxOp)
