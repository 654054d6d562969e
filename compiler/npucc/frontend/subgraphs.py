"""Bodies of If, Loop and Scan during the import."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto
from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode, Value
from npucc.frontend.placeholders import Unknown
from npucc.frontend.problems import Malformed, Unsupported
from npucc.types import Array, element_of, numpy_dtype, shape_of

MAX_UNROLLED_STEPS = 1024
"""Most steps of one unrolled loop."""

Outputs = list[Value | Unknown]
RunBody = Callable[[GraphProto, Mapping[str, Value]], Outputs]
"""Imports a subgraph with its inputs bound to values; gives its outputs."""


def subgraph(node: ImportNode, name: str) -> GraphProto:
    """A graph attribute; Malformed without it."""
    graph = node.attribute(name)
    if not isinstance(graph, onnx.GraphProto):
        raise Malformed(f"{node.op_type} has a graph `{name}`", "no such attribute")
    return graph


def named(body: GraphProto, values: Sequence[Value]) -> dict[str, Value]:
    """The inputs of a subgraph bound to values, in order."""
    return {entry.name: value for entry, value in zip(body.input, values)}


def given_input(node: ImportNode, index: int) -> Value:
    """Input `index`: its array where that is known."""
    known = node.known(index)
    return node.input(index) if known is None else known


def in_graph(build: GraphBuilder, value: Value, name: str) -> SSAValue:
    """A value of the graph; an array becomes a constant."""
    return value if isinstance(value, SSAValue) else build.constant(value, name)


def value_shape(value: Value) -> tuple[int, ...]:
    """Shape of a value or array."""
    return shape_of(value) if isinstance(value, SSAValue) else value.shape


def check_control(value: Value, dtype: npt.DTypeLike, what: str) -> None:
    """Malformed where a condition or a trip count is not one element of its type."""
    found = numpy_dtype(element_of(value)) if isinstance(value, SSAValue) else value.dtype
    shape = value_shape(value)
    if found != np.dtype(dtype) or math.prod(shape) != 1:
        raise Malformed(f"{what} is one element of type {np.dtype(dtype)}", f"{found} of shape {shape}")


def check_steps(steps: int) -> None:
    """Unsupported where unrolling takes too many steps."""
    if steps > MAX_UNROLLED_STEPS:
        raise Unsupported(f"an unrolled loop has at most {MAX_UNROLLED_STEPS} steps", f"{steps} steps")


def known_outputs(outputs: Outputs, body: GraphProto) -> list[Value]:
    """The outputs of a subgraph; Malformed if one is not defined."""
    values = [value for value in outputs if not isinstance(value, Unknown)]
    if len(values) != len(body.output):
        raise Malformed("the body defines its outputs", f"{len(values)} of {len(body.output)}")
    return values


def truth(node: ImportNode, condition: Value) -> bool:
    """A known condition; Unsupported for one that depends on data."""
    known = node.build.known(condition) if isinstance(condition, SSAValue) else condition
    if known is None:
        rule = "the number of steps of a loop is known when the model is compiled"
        raise Unsupported(rule, "a condition computed from the model's inputs", "use a fixed number of steps")
    return bool(known.reshape(-1)[0])


def element(build: GraphBuilder, value: Value, axis: int, position: int) -> Value:
    """One element of an axis, without the axis."""
    if not isinstance(value, SSAValue):
        return value.take(position, axis)
    shape = shape_of(value)
    return build.reshape(build.slice_axis(value, axis, position, 1), (*shape[:axis], *shape[axis + 1 :]))


def stack(build: GraphBuilder, name: str, pieces: Sequence[Value], axis: int) -> Value:
    """Join values along a new axis; an array if all are known."""
    arrays: list[Array] = [piece for piece in pieces if not isinstance(piece, SSAValue)]
    if len(arrays) == len(pieces):
        return np.stack(arrays, axis)
    shape = value_shape(pieces[0])
    spread = (*shape[:axis], 1, *shape[axis:])
    values = [piece if isinstance(piece, SSAValue) else build.constant(piece, name) for piece in pieces]
    return build.concat([build.reshape(value, spread) for value in values], axis)
