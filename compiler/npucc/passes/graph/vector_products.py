"""`graph-vector-products`: contractions of f64 and wide integers become products and sums of the vector engine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from npuisa.target import Target
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from npucc.context import constants_of, target_of
from npucc.dialects import graph
from npucc.passes.graph.functions import functions_of
from npucc.passes.graph.rewriting import GraphRewriter, Rule
from npucc.types import element_name, element_of, element_type, is_float, numpy_dtype, shape_of

MOST_PRODUCTS = 1 << 22
"""Elements of the tensor of products that exists at a time; a longer sum is cut into parts."""
MOST_PARTS = 256
"""Most parts of a sum: beyond, the contraction stays, and the precision pass refuses it."""


@dataclass(frozen=True)
class GraphVectorProductsPass(ModulePass):
    """Before: core ops, no groups. After: no contraction of moderate size multiplies f64, or integers that the target's
    matrix engine does not take; each is a tensor of products, summed over its axis, a convolution one such per tap.

    Floats that are narrower are left alone: for those a target without a rate is a mistake that the user should know.
    """

    name = "graph-vector-products"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = target_of(ctx)
        rules: dict[type[graph.GraphOp], list[Rule]] = {
            graph.MatmulOp: [lambda each, rewrite: _matmul(each, rewrite, target)],
            graph.ConvOp: [lambda each, rewrite: _convolution(each, rewrite, target)],
            graph.DepthwiseConvOp: [lambda each, rewrite: _convolution(each, rewrite, target)],
        }
        for function in functions_of(op):
            GraphRewriter(function.body.block, constants_of(ctx)).run(rules)


def _is_for_vectors(op: graph.GraphOp, target: Target) -> bool:
    """Whether an operand has a type of the vector engine alone."""
    elements = [element_of(operand) for operand in op.operands]
    wide = [not is_float(each) or each == element_type("f64") for each in elements]
    return all(wide) and any(target.matrix.rates.get(element_name(each), 0) <= 0 for each in elements)


def _matmul(op: graph.GraphOp, rewrite: GraphRewriter, target: Target) -> SSAValue | None:
    """a [.., m, k] @ b [.., k, n] in parts of k."""
    if not isinstance(op, graph.MatmulOp) or not _is_for_vectors(op, target):
        return None
    inner, products = shape_of(op.a)[-1], max(prod(shape_of(op.result)), 1)
    if not inner:
        zero = np.zeros((), numpy_dtype(element_of(op.result)))
        return rewrite.constant(np.broadcast_to(zero, shape_of(op.result)), "empty_sum")
    part = max(MOST_PRODUCTS // products, 1)
    if products > MOST_PRODUCTS or -(-inner // part) > MOST_PARTS:
        return None
    a, b = (_cast(rewrite, operand, element_of(op.result)) for operand in (op.a, op.b))
    total: SSAValue | None = None
    for start in range(0, inner, part):
        size = min(part, inner - start)
        pieces = (_sliced(rewrite, a, -1, start, size), _sliced(rewrite, b, -2, start, size))
        total = _sum(rewrite, total, _products(rewrite, *pieces))
    return total


def _products(rewrite: GraphRewriter, a: SSAValue, b: SSAValue) -> SSAValue:
    """[.., m, k] @ [.., k, n] as one tensor of products; its last axis is n, or k where n is 1."""
    (*batch_a, m, k), (*batch_b, _, n) = shape_of(a), shape_of(b)
    shapes = ((*batch_a, m, k, 1), (*batch_b, 1, k, n)) if n > 1 else ((*batch_a, m, k), (*batch_b, 1, k))
    factors = [_reshaped(rewrite, value, shape) for value, shape in zip((a, b), shapes)]
    products = rewrite.insert(graph.MulOp(*factors))
    rank = len(shape_of(products))
    axis = rank - 2 if n > 1 else rank - 1
    sums = products if k == 1 else rewrite.insert(graph.ReduceOp(products, "sum", (axis,)))
    *batch, _, _ = shape_of(sums)[: -1 if n > 1 else None]
    return _reshaped(rewrite, sums, (*batch, m, n))


def _convolution(op: graph.GraphOp, rewrite: GraphRewriter, target: Target) -> SSAValue | None:
    """The sum over the kernel's taps of the pixels they meet times their weights."""
    if not isinstance(op, graph.ConvOp | graph.DepthwiseConvOp) or not _is_for_vectors(op, target):
        return None
    n, height, width, outputs = shape_of(op.result)
    kernel = shape_of(op.w)[:2]
    groups = op.group_count if isinstance(op, graph.ConvOp) else 0
    if prod(kernel) > MOST_PARTS or prod(shape_of(op.result)) > MOST_PRODUCTS:
        return None
    x, w = (_cast(rewrite, operand, element_of(op.result)) for operand in (op.x, op.w))
    x = _padded(rewrite, x, op.pad_widths)
    total: SSAValue | None = None
    for taps in product(*(range(size) for size in kernel)):
        pixels = x
        for axis, (tap, stride, dilation) in enumerate(zip(taps, op.stride_pair, op.dilation_pair), 1):
            pixels = _sliced(rewrite, pixels, axis, tap * dilation, (height, width)[axis - 1], stride)
        weights = w
        for axis, tap in enumerate(taps):
            weights = _sliced(rewrite, weights, axis, tap, 1)
        weights = _reshaped(rewrite, weights, shape_of(w)[2:])
        part = rewrite.insert(graph.MulOp(pixels, weights)) if groups == 0 else _tap(rewrite, pixels, weights, groups)
        total = _sum(rewrite, total, _reshaped(rewrite, part, (n, height, width, outputs)))
    return total


def _tap(rewrite: GraphRewriter, pixels: SSAValue, weights: SSAValue, groups: int) -> SSAValue:
    """[n, h, w, ci] times [ci / groups, co]: a matrix product per group, which the rules meet again."""
    inputs, outputs = shape_of(weights)
    count = prod(shape_of(pixels)[:3])
    if groups == 1:
        return rewrite.insert(graph.MatmulOp(_reshaped(rewrite, pixels, (count, inputs)), weights))
    grouped = _reshaped(rewrite, pixels, (count, groups, 1, inputs))
    split = _reshaped(rewrite, weights, (inputs, groups, outputs // groups))
    return rewrite.insert(graph.MatmulOp(grouped, rewrite.insert(graph.TransposeOp(split, (1, 0, 2)))))


def _padded(rewrite: GraphRewriter, x: SSAValue, pads: tuple[int, int, int, int]) -> SSAValue:
    """x [n, h, w, c] with zeros around it."""
    dtype = numpy_dtype(element_of(x))
    for axis, counts in ((1, (pads[0], pads[2])), (2, (pads[1], pads[3]))):
        pieces = [x]
        for position, count in zip((0, 2), counts):
            if count:
                shape = (*shape_of(x)[:axis], count, *shape_of(x)[axis + 1 :])
                zeros = np.broadcast_to(np.zeros((), dtype), shape)
                pieces.insert(position, rewrite.constant(zeros, "padding"))
        x = pieces[0] if len(pieces) == 1 else rewrite.insert(graph.ConcatOp(pieces, axis))
    return x


def _sum(rewrite: GraphRewriter, total: SSAValue | None, part: SSAValue) -> SSAValue:
    return part if total is None else rewrite.insert(graph.AddOp(total, part))


def _cast(rewrite: GraphRewriter, x: SSAValue, element: Attribute) -> SSAValue:
    return x if element_of(x) == element else rewrite.insert(graph.CastOp(x, element))


def _reshaped(rewrite: GraphRewriter, x: SSAValue, shape: tuple[int, ...]) -> SSAValue:
    return x if shape_of(x) == tuple(shape) else rewrite.insert(graph.ReshapeOp(x, shape))


def _sliced(rewrite: GraphRewriter, x: SSAValue, axis: int, start: int, size: int, step: int = 1) -> SSAValue:
    """`size` elements of one axis."""
    shape = list(shape_of(x))
    if (start, size, step) == (0, shape[axis], 1):
        return x
    starts, steps = [0] * len(shape), [1] * len(shape)
    starts[axis], steps[axis], shape[axis] = start, step, size
    return rewrite.insert(graph.SliceOp(x, starts, steps, shape))
