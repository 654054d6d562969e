"""The work that the ONNX model itself asks for: multiply-accumulates and weights of its nodes, before decomposition.

What the compiler makes of a node may be more work (a transposed convolution as a dense one with zeros, a linear
resize as products with an interpolation matrix); measured against that, wasted work would look like good use.
Counted are products with real data: window positions that fall into padding are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from xdsl.ir import Operation, SSAValue

from npucc.dialects import graph
from npucc.dialects.graph_ops.base import nodes_of
from npucc.frontend.dequantized import IntegerTotal
from npucc.frontend.node import ImportNode, Value
from npucc.frontend.ops.convolution import output_region
from npucc.frontend.windows import per_axis, windows
from npucc.types import Array, element_name, element_of, element_of_numpy, shape_of

COMPOSED = ("com.microsoft",)
"""Domains whose ops count by the contractions that they are made of (window positions in padding included)."""


@dataclass(frozen=True)
class NodeWork:
    """Multiply-accumulates of a node. `depthwise`: every output needs a single channel of the input.

    `data` and `weights`: the input numbers of its operands.
    """

    macs: int
    depthwise: bool = False
    data: int = 0
    weights: tuple[int, ...] = (1,)


Counter = Callable[[ImportNode, tuple[int, ...]], NodeWork | None]
"""Work of a node from its inputs, attributes and the shape of its first output; None: no products."""


class ModelWork:
    """Collects the work of the nodes as they are imported."""

    def __init__(self) -> None:
        self._found: list[tuple[SSAValue, str, NodeWork, list[Array]]] = []

    def note(self, node: ImportNode, outputs: Sequence[object]) -> None:
        """Count `node`, which the importer turned into `outputs`; outputs known at import cost nothing."""
        count = COUNTERS.get(node.op_type) if not node.domain else None
        first = next((value for value in outputs if isinstance(value, SSAValue)), None)
        if node.domain in COMPOSED and first is not None:
            self._note_composed(node)
        if count is None or first is None:
            return
        work, meaning = count(node, shape_of(first)), node.build.meanings.get(first)
        if work is None or not work.macs:
            return
        if isinstance(meaning, IntegerTotal):
            first, data = meaning.total, meaning.operands[0]
            known = [node.build.known(operand) for operand in meaning.operands]
        else:
            data = node.inputs[work.data]
            known = [node.known(index) for index in work.weights if node.has(index)]
        work = replace(work, macs=work.macs * node.build.executions)
        self._found.append((first, _dtype(data), work, [array for array in known if array is not None]))

    def _note_composed(self, node: ImportNode) -> None:
        """The contractions that the importer made of the node: an op of another domain is what it is made of."""
        op = node.build.block.last_op
        while isinstance(op, graph.GraphOp) and node.label in nodes_of(op):
            if isinstance(op, graph.MatmulOp | graph.ConvOp | graph.DepthwiseConvOp):
                data, weights = op.operands
                depth = shape_of(data)[-1] if isinstance(op, graph.MatmulOp) else prod(shape_of(weights)[:-1])
                macs = prod(shape_of(op.result)) * depth * node.build.executions
                known = [array for value in op.operands if (array := node.build.known(value)) is not None]
                self._found.append(
                    (op.result, _dtype(data), NodeWork(macs, isinstance(op, graph.DepthwiseConvOp)), known)
                )
            op = op.prev_op

    def metadata(self) -> dict[str, str]:
        """`macs`, `depthwise_macs`, `weights` as `type:count ...`, of the nodes whose result is still in the graph.

        Weights that several nodes share (an unrolled loop) count once.
        """
        sums: dict[str, defaultdict[str, int]] = {key: defaultdict(int) for key in ("macs", "depthwise_macs")}
        arrays: dict[int, Array] = {}
        for value, dtype, work, weights in self._found:
            if _lives(value):
                sums["depthwise_macs" if work.depthwise else "macs"][dtype] += work.macs
                arrays.update({id(array): array for array in weights})
        elements: defaultdict[str, int] = defaultdict(int)
        for array in arrays.values():
            elements[_dtype(array)] += array.size
        return {key: _text(counts) for key, counts in (*sums.items(), ("weights", elements))}


def _text(counts: dict[str, int]) -> str:
    return " ".join(f"{dtype}:{count}" for dtype, count in sorted(counts.items()))


def _lives(value: SSAValue) -> bool:
    """Whether the value is still in the graph: values that nothing uses were erased, loops perhaps unrolled."""
    owner = value.owner
    top = owner.get_toplevel_object()
    return isinstance(top, Operation) and top is not owner


def _dtype(value: Value | None) -> str:
    if isinstance(value, SSAValue):
        return element_name(element_of(value))
    return element_name(element_of_numpy(np.asarray(value).dtype))


def _taps(size: int, outputs: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    """Pairs of an output and a kernel element whose position lies inside the `size` elements of an axis."""
    positions = np.arange(outputs)[:, None] * stride + np.arange(kernel) * dilation - before
    return int(np.count_nonzero((positions >= 0) & (positions < size)))


def _convolution(weights: int) -> Counter:
    """Conv and its quantized forms: x is input 0."""

    def count(node: ImportNode, result: tuple[int, ...]) -> NodeWork:
        x, w = node.shape(0), node.shape(weights)
        taps = prod(
            _taps(a.input, a.output, a.size, a.stride, a.dilation, a.before) for a in windows(node, x[2:], list(w[2:]))
        )
        return NodeWork(x[0] * w[0] * w[1] * taps, w[1] == 1 and node.integer("group", 1) > 1, 0, (weights,))

    return count


def _conv_transpose(node: ImportNode, result: tuple[int, ...]) -> NodeWork:
    """Each input element meets each kernel element once, if the product falls into the result."""
    x, w = node.shape(0), node.shape(1)
    rank = len(x) - 2
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    dilated = [(size - 1) * step + 1 for size, step in zip(w[2:], dilations)]
    starts, sizes = output_region(node, x[2:], tuple(dilated), strides)
    taps = prod(_taps(sizes[a], x[2 + a], w[2 + a], strides[a], dilations[a], starts[a]) for a in range(rank))
    groups = node.integer("group", 1)
    return NodeWork(x[0] * w[0] * w[1] * taps, groups > 1 and groups == x[1])


def _matmul(b: int) -> Counter:
    """MatMul and its quantized forms: a is input 0."""

    def count(node: ImportNode, result: tuple[int, ...]) -> NodeWork:
        return NodeWork(prod(result) * node.shape(0)[-1], False, 0, (0, b))

    return count


def _gemm(node: ImportNode, result: tuple[int, ...]) -> NodeWork:
    depth = node.shape(0)[0 if node.integer("transA") else 1]
    return NodeWork(prod(result) * depth, False, 0, (0, 1))


def _einsum(node: ImportNode, result: tuple[int, ...]) -> NodeWork | None:
    """Two operands: the sizes of all indices but those that one operand has for itself and that are summed."""
    equation = node.text("equation").replace(" ", "")
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    if len(terms) != 2:
        return None
    letters = "".join(terms)
    kept = set(output) if arrow else {letter for letter in letters if letters.count(letter) == 1}
    both = set(terms[0]) & set(terms[1])
    if not both - kept:
        return None
    sizes = {letter: size for index, term in enumerate(terms) for letter, size in zip(term, node.shape(index))}
    return NodeWork(prod(sizes[letter] for letter in both | kept), False, 0, (0, 1))


def _recurrent(gates: int) -> Counter:
    """RNN, GRU, LSTM: x w' in every step, h r' in every step whose h is not the initial zero."""

    def count(node: ImportNode, result: tuple[int, ...]) -> NodeWork:
        length, batch, features = node.shape(0)
        if node.integer("layout"):
            length, batch = batch, length
        directions, _, hidden = node.shape(2)
        steps = length * features + (length if node.has(5) else length - 1) * hidden
        return NodeWork(directions * batch * gates * hidden * steps, False, 0, (1, 2))

    return count


COUNTERS: dict[str, Counter] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul(1),
    "MatMulInteger": _matmul(1),
    "QLinearMatMul": _matmul(3),
    "Gemm": _gemm,
    "Einsum": _einsum,
    "RNN": _recurrent(1),
    "GRU": _recurrent(3),
    "LSTM": _recurrent(4),
}
"""Work of an op of ONNX's own domain, by its type. Ops that are expanded (Attention) count by their parts."""
