"""Products of 8-bit integers with zero points, exact in i32.

The contraction runs on the stored values; the zero points are corrected afterwards:
sum (a - za) (b - zb) = sum a b - za sum b - zb sum a + k za zb. What is known of the correction is one constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.convolutions import convolve
from npucc.frontend.layout import to_channels_last
from npucc.frontend.node import ImportNode
from npucc.frontend.windows import Window, check_channels, spatial_rank, windows
from npucc.types import element_type, shape_of

I32 = element_type("i32")


@dataclass(frozen=True)
class WholeNumber:
    """The same number as a whole float: what importers note of a zero point that the model computes."""

    value: SSAValue


def zero_point(build: GraphBuilder, value: SSAValue | None) -> SSAValue | None:
    """The zero point, or None if it is left out or known to be 0 everywhere."""
    known = None if value is None else build.known(value)
    return None if known is not None and not known.any() else value


def integer_matmul(
    build: GraphBuilder, a: SSAValue, b: SSAValue, zero_a: SSAValue | None, zero_b: SSAValue | None
) -> SSAValue:
    """i32 [.., m, n] from a [.., m, k] and b [.., k, n]; zero points broadcast to [.., m, 1] and [.., 1, n]."""
    zero_a = zero_point(build, zero_a)
    b, zero_b = _symmetric(build, b, zero_point(build, zero_b))
    terms: list[SSAValue] = []
    if zero_a is not None:
        terms.append(_product(build, -1, _sum(build, b, -2), zero_a))
    if zero_b is not None:
        terms.append(_product(build, -1, _sum(build, a, -1), zero_b))
    if zero_a is not None and zero_b is not None:
        terms.append(_product(build, shape_of(a)[-1], zero_a, zero_b))
    return _with_terms(build, build.emit(graph.MatmulOp(a, b, I32)), terms)


def integer_convolution(
    node: ImportNode,
    x: SSAValue,
    w: SSAValue,
    zero_x: SSAValue | None = None,
    zero_w: SSAValue | None = None,
    bias: SSAValue | None = None,
) -> tuple[SSAValue, int]:
    """Channels-last i32 result and the number of spatial axes; x [n, c, spatial], w [co, c / group, kernel].

    `zero_x`: one value; `zero_w`: one, or one per output channel; `bias`: i32 [co]; the window is the node's. Padding
    stands for the real value 0, so with a zero point the image is padded with that before the convolution.
    """
    build, shape, kernel, groups = node.build, shape_of(x), shape_of(w), node.integer("group", 1)
    rank = spatial_rank(node, shape)
    check_channels(kernel, rank, shape[1], groups)
    axes, image = windows(node, shape[2:], list(kernel[2:])), to_channels_last(build, x)
    zero_w = zero_point(build, zero_w)
    if zero_w is not None:
        count = math.prod(shape_of(zero_w))
        zero_w = build.reshape(zero_w, () if count == 1 else (count, *[1] * (len(kernel) - 1)))
    w, zero_w = _symmetric(build, w, zero_w)
    zero_w = None if zero_w is None else build.reshape(zero_w, shape_of(zero_w)[:1])
    zero_x = zero_point(build, zero_x)
    terms = [] if bias is None else [bias]
    if zero_x is not None:
        zero_x = build.reshape(zero_x, ())
        image = _padded(build, image, zero_x, axes)
        axes = [replace(axis, input=axis.input + axis.before + axis.after, before=0, after=0) for axis in axes]
        terms.append(_product(build, -1, _filter_sums(build, w), zero_x))
    if zero_w is not None:
        terms.append(_product(build, -1, _window_sums(build, image, w, axes, groups), zero_w))
    if zero_x is not None and zero_w is not None:
        terms.append(_product(build, math.prod(kernel[1:]), zero_x, zero_w))
    return _with_terms(build, convolve(build, image, w, axes, groups, I32), terms), rank


def _symmetric(build: GraphBuilder, w: SSAValue, zero: SSAValue | None) -> tuple[SSAValue, SSAValue | None]:
    """Weights without zero point (which broadcasts to them), where both are known and 8 bits hold the difference."""
    point, values = None if zero is None else build.known(zero), build.known(w)
    if point is None or values is None:
        return w, zero
    shifted = values.astype(np.int32) - point.astype(np.int32)
    for dtype in (np.int8, np.uint8):
        if np.iinfo(dtype).min <= shifted.min(initial=0) and shifted.max(initial=0) <= np.iinfo(dtype).max:
            return build.constant(shifted.astype(dtype), f"{build.node}.weights"), None
    return w, zero


def _product(build: GraphBuilder, factor: int, a: SSAValue, b: SSAValue) -> SSAValue:
    """factor * a * b in i32, at once if both are known."""
    known = build.known(a), build.known(b)
    if known[0] is not None and known[1] is not None:
        array = np.int32(factor) * known[0].astype(np.int32) * known[1].astype(np.int32)
        return build.constant(np.asarray(array), f"{build.node}.correction")
    return build.scaled(build.mul(_wide(build, a), _wide(build, b)), factor)


def _wide(build: GraphBuilder, x: SSAValue) -> SSAValue:
    """x in i32; from the whole number that it was rounded from, if that is known: one conversion instead of two."""
    whole = build.meanings.get(x)
    return build.cast(whole.value if isinstance(whole, WholeNumber) else x, I32)


def _with_terms(build: GraphBuilder, y: SSAValue, terms: Sequence[SSAValue]) -> SSAValue:
    """y plus all terms; the known ones are one constant."""
    known = [array for term in terms if (array := build.known(term)) is not None]
    if known:
        total = np.asarray(sum(known[1:], start=known[0]))
        y = build.add(y, build.constant(total, f"{build.node}.correction")) if total.any() else y
    for term in terms:
        y = y if build.known(term) is not None else build.add(y, term)
    return y


def _sum(build: GraphBuilder, x: SSAValue, axis: int) -> SSAValue:
    """i32 sum over one axis (kept with size 1)."""
    known = build.known(x)
    if known is not None:
        return build.constant(known.sum(axis=axis, keepdims=True, dtype=np.int32), f"{build.node}.sums")
    return build.reduce(x, "sum", [axis % len(shape_of(x))], I32)


def _filter_sums(build: GraphBuilder, w: SSAValue) -> SSAValue:
    """[co]: the sum of each filter of w [co, ...]."""
    outputs = shape_of(w)[0]
    return build.reshape(_sum(build, build.reshape(w, (outputs, math.prod(shape_of(w)[1:]))), -1), (outputs,))


def _window_sums(build: GraphBuilder, image: SSAValue, w: SSAValue, axes: list[Window], groups: int) -> SSAValue:
    """i32 sums of what each output's filter covers: [n, outputs, co]."""
    outputs = shape_of(w)[0]
    ones = np.broadcast_to(np.ones((), np.uint8), (groups, *shape_of(w)[1:]))
    sums = convolve(build, image, build.constant(ones, f"{build.node}.ones"), axes, groups, I32)
    places = shape_of(sums)[:-1]
    each = build.expand(build.reshape(sums, (*places, groups, 1)), (*places, groups, outputs // groups))
    return build.reshape(each, (*places, outputs))


def _padded(build: GraphBuilder, image: SSAValue, value: SSAValue, axes: list[Window]) -> SSAValue:
    """A channels-last image with its spatial padding filled with `value`."""
    for axis, window in enumerate(axes, 2 if len(axes) == 1 else 1):
        pieces = [image]
        for position, count in ((0, window.before), (2, window.after)):
            shape = list(shape_of(image))
            shape[axis] = count
            if count:
                pieces.insert(position, build.expand(value, shape))
        image = build.concat(pieces, axis)
    return image
