"""`graph-split-lines`: work on whole lines that do not fit into the SRAM becomes work on parts of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from npuisa.instructions import sort_workspace
from npuisa.target import Target
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from npucc.context import constants_of, target_of
from npucc.dialects import graph
from npucc.numpy_kernels import neutral
from npucc.numpy_order import PADDING
from npucc.passes.graph.functions import functions_of
from npucc.passes.graph.merge_sort import last_key, merge_sort
from npucc.passes.graph.rewriting import GraphRewriter, Rule
from npucc.types import BOOL, Array, dtype_of, element_of, element_type, is_float, numpy_dtype, shape_of

I32 = element_type("i32")
F32 = element_type("f32")
SHARE = 3
"""A line takes at most 1 / SHARE of the SRAM: there are two of each operand and result, one of which is on its way,
and one more of a result that element-wise ops go on with."""
SHRINK = 0.75
"""Parts of a sort must leave at most this share of the elements, or nothing is won."""


@dataclass(frozen=True)
class GraphSplitLinesPass(ModulePass):
    """Before: core ops, no groups. After: the lines of every scan, compaction and sort fit into a third of the SRAM.

    A sort of parts keeps the best of each and sorts those, or merges parts where nearly all elements are wanted; a scan
    of parts adds what came before each; a compaction of parts is looked up by how many elements came before each.
    """

    name = "graph-split-lines"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = target_of(ctx)
        rules: dict[type[graph.GraphOp], list[Rule]] = {
            graph.ArgsortOp: [lambda each, rewrite: _sort(each, rewrite, target)],
            graph.ScanOp: [lambda each, rewrite: _scan(each, rewrite, target)],
            graph.NonzeroOp: [lambda each, rewrite: _compaction(each, rewrite, target)],
            graph.CompressOp: [lambda each, rewrite: _compaction(each, rewrite, target)],
        }
        for function in functions_of(op):
            GraphRewriter(function.body.block, constants_of(ctx)).run(rules)


def _bytes(value: SSAValue) -> int:
    return dtype_of(element_of(value)).bytes


def _fitting(
    target: Target, x: SSAValue, axis: int, footprint: Callable[[int], int], *, alone: bool = False
) -> int | None:
    """Length of the parts of a line of x whose `footprint` (bytes by length) is too large; None if it is not.

    Of lines that lie side by side as many as fill a DRAM burst fit together, unless a line is to be `alone`. Parts are
    equal where a number of them near the least divides the length.
    """
    budget, length = target.sram.bytes // SHARE, shape_of(x)[axis]
    if footprint(length) <= budget:
        return None
    beside = 1 if alone else min(prod(shape_of(x)[axis + 1 :]), max(target.dram.burst_bytes // _bytes(x), 1))
    low, high = 1, length
    while low < high:  # the longest part that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if beside * footprint(middle) <= budget else (low, middle - 1)
    least = -(-length // low)
    parts = next((count for count in range(least, 2 * least) if length % count == 0), least)
    return -(-length // parts)


@dataclass
class _Parts:
    """A line axis of `length` elements seen as `count` parts of `size`, the last one filled up."""

    rewrite: GraphRewriter
    axis: int
    length: int
    size: int

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.length // self.size)

    def split(self, x: SSAValue, filler: Array) -> SSAValue:
        """[.., length, ..] as [.., count, size, ..]."""
        shape = list(shape_of(x))
        missing = self.count * self.size - self.length
        if missing:
            block = [*shape[: self.axis], missing, *shape[self.axis + 1 :]]
            rest = self.rewrite.constant(np.broadcast_to(filler, block), "filler")
            x = self.rewrite.insert(graph.ConcatOp([x, rest], self.axis))
        return self._reshaped(x, [*shape[: self.axis], self.count, self.size, *shape[self.axis + 1 :]])

    def joined(self, x: SSAValue) -> SSAValue:
        """[.., count, k, ..] as [.., count * k, ..]."""
        shape = list(shape_of(x))
        return self._reshaped(
            x, [*shape[: self.axis], shape[self.axis] * shape[self.axis + 1], *shape[self.axis + 2 :]]
        )

    def cut(self, x: SSAValue) -> SSAValue:
        """The first `length` elements of the axis."""
        shape = list(shape_of(x))
        if shape[self.axis] == self.length:
            return x
        shape[self.axis] = self.length
        return self.rewrite.insert(graph.SliceOp(x, (0,) * len(shape), (1,) * len(shape), tuple(shape)))

    def offsets(self, x: SSAValue) -> SSAValue:
        """First place of each part, to be added to places [.., count, k, ..]."""
        shape = [self.count if axis == self.axis else 1 for axis in range(len(shape_of(x)))]
        first = np.arange(self.count).reshape(shape) * self.size
        return self.rewrite.constant(first.astype(numpy_dtype(element_of(x))), "part_offsets")

    def looked_up(self, x: SSAValue, places: SSAValue, axis: int) -> SSAValue:
        """x [.., n, ..] at places [.., k, ..] along `axis`."""
        lines = [
            self._reshaped(each, [prod(shape_of(each)[:axis]), shape_of(each)[axis], prod(shape_of(each)[axis + 1 :])])
            for each in (x, places)
        ]
        return self._reshaped(self.rewrite.insert(graph.GatherOp(*lines)), list(shape_of(places)))

    def _reshaped(self, x: SSAValue, shape: list[int]) -> SSAValue:
        return x if shape_of(x) == tuple(shape) else self.rewrite.insert(graph.ReshapeOp(x, tuple(shape)))


# --- sort -------------------------------------------------------------------------------------------------


def _sort(op: graph.GraphOp, rewrite: GraphRewriter, target: Target) -> SSAValue | None:
    """The best `count` of each part, sorted again: equal elements still stand in the order of their places."""
    if not isinstance(op, graph.ArgsortOp):
        return None
    count, bits = op.count.value.data, dtype_of(element_of(op.x)).bits
    length, result = shape_of(op.x)[op.line], _bytes(op.result)

    def footprint(size: int) -> int:
        kept = min(count, size)
        return size * _bytes(op.x) + kept * result + 8 * sort_workspace(size, kept, bits)

    sizes = [_fitting(target, op.x, op.line, footprint, alone=alone) for alone in (False, True)]
    helpful = [size for size in sizes if size is not None and -(-length // size) * min(count, size) <= SHRINK * length]
    if not helpful:
        return None if sizes[0] is None else merge_sort(op, rewrite, _merged_size(op, target), _last(op))
    size = helpful[0]
    parts = _Parts(rewrite, op.line, length, size)
    descending = bool(op.descending.value.data)
    x = parts.split(op.x, _last(op))
    kept, element = min(count, size), element_of(op.result)
    best = rewrite.insert(graph.ArgsortOp(x, kept, descending, element, op.line + 1))
    values = parts.joined(parts.looked_up(x, best, op.line + 1))
    places = parts.joined(rewrite.insert(graph.AddOp(best, parts.offsets(best))))
    order = rewrite.insert(graph.ArgsortOp(values, count, descending, element, op.line))
    return parts.looked_up(places, order, op.line)


def _last(op: graph.ArgsortOp) -> Array:
    """What no element of the operand comes behind."""
    return last_key(op.x, bool(op.descending.value.data))


def _merged_size(op: graph.ArgsortOp, target: Target) -> int:
    """Length of blocks of which two can be sorted together, with places in 32 bits."""
    bits = dtype_of(element_of(op.x)).bits
    each = max(_bytes(op.x), 4) + 4 + 8 * sort_workspace(1 << 20, 1 << 20, bits) / (1 << 20)
    return max(int(target.sram.bytes / SHARE / each / 2), 1)


# --- scan -------------------------------------------------------------------------------------------------

_COMBINE = {"sum": graph.AddOp, "prod": graph.MulOp, "max": graph.MaxOp, "min": graph.MinOp}


def _scan(op: graph.GraphOp, rewrite: GraphRewriter, target: Target) -> SSAValue | None:
    """Each part by itself, and the running value of the parts before it."""
    if not isinstance(op, graph.ScanOp):
        return None
    wanted, length = element_of(op.result), shape_of(op.x)[op.line]
    size = _fitting(target, op.x, op.line, lambda part: part * (_bytes(op.x) + _bytes(op.result)))
    if size is None:
        return None
    element = F32 if is_float(wanted) and dtype_of(wanted).bits < 32 else wanted
    fn, reverse = op.fn.data, bool(op.reverse.value.data)
    parts = _Parts(rewrite, op.line, length, size)
    dtype = numpy_dtype(element_of(op.x))
    x = parts.split(op.x, np.asarray(neutral(fn, dtype)).astype(dtype))
    inside = rewrite.insert(
        graph.ScanOp(x, fn, bool(op.exclusive.value.data), reverse, element, op.line + 1)
    )
    totals = rewrite.insert(graph.ReduceOp(x, fn, [op.line + 1], element))
    before = rewrite.insert(graph.ScanOp(totals, fn, True, reverse, element, op.line))
    result = parts.cut(parts.joined(rewrite.insert(_COMBINE[fn](inside, before))))
    return result if element == wanted else rewrite.insert(graph.CastOp(result, wanted))


# --- compaction -------------------------------------------------------------------------------------------


def _compaction(op: graph.GraphOp, rewrite: GraphRewriter, target: Target) -> SSAValue | None:
    """Each part by itself; element t of the result is element t - b of the last part that b <= t hits stand before."""
    if not isinstance(op, graph.NonzeroOp | graph.CompressOp):
        return None
    mask, axis = op.mask, len(shape_of(op.mask)) - 1
    length, count = shape_of(mask)[-1], shape_of(op.result)[-1]
    width = sum(_bytes(operand) for operand in op.operands)
    size = _fitting(target, mask, axis, lambda part: part * width + min(part, count) * _bytes(op.result))
    if size is None:
        return None
    parts = _Parts(rewrite, axis, length, size)
    hits = parts.split(_as_bool(rewrite, mask), np.asarray(False))
    kept = min(size, count)
    packed = _packed(op, parts, hits, kept)
    number = rewrite.insert(graph.ReduceOp(hits, "sum", [axis + 1], I32))
    before = rewrite.insert(graph.ScanOp(number, "sum", exclusive=True, axis=axis))
    total = rewrite.insert(graph.ReduceOp(number, "sum", [axis]))
    lead = shape_of(mask)[:-1]
    places = rewrite.constant(np.arange(count, dtype=np.int32), "places")
    part = _part_of(rewrite, before, places, (*lead, count))
    first = parts.looked_up(rewrite.insert(graph.ReshapeOp(before, (*lead, parts.count))), part, axis)
    inside = rewrite.insert(graph.SubOp(places, first))
    start = rewrite.insert(graph.MulOp(part, rewrite.constant(np.asarray(kept, np.int32), "part_size")))
    found = parts.looked_up(parts.joined(packed), rewrite.insert(graph.AddOp(start, inside)), axis)
    real = rewrite.insert(graph.LessOp(places, rewrite.insert(graph.ReshapeOp(total, (*lead, 1)))))
    padding = PADDING if isinstance(op, graph.NonzeroOp) else 0
    none = rewrite.constant(np.asarray(padding).astype(numpy_dtype(element_of(op.result))), "padding")
    return rewrite.insert(graph.WhereOp(real, found, none))


def _as_bool(rewrite: GraphRewriter, mask: SSAValue) -> SSAValue:
    return mask if element_of(mask) == BOOL else rewrite.insert(graph.CastOp(mask, BOOL))


def _packed(op: graph.NonzeroOp | graph.CompressOp, parts: _Parts, hits: SSAValue, kept: int) -> SSAValue:
    """[.., count, kept]: the first elements or places that each part gives."""
    rewrite = parts.rewrite
    if isinstance(op, graph.CompressOp):
        x = parts.split(op.x, np.zeros((), numpy_dtype(element_of(op.x))))
        return rewrite.insert(graph.CompressOp(x, hits, kept))
    places = rewrite.insert(graph.NonzeroOp(hits, kept, element_of(op.result)))
    return rewrite.insert(graph.AddOp(places, parts.offsets(places)))


def _part_of(rewrite: GraphRewriter, before: SSAValue, places: SSAValue, shape: tuple[int, ...]) -> SSAValue:
    """i32: the last part that does not begin behind each place; `before` [.., parts, 1]."""
    *lead, count, _ = shape_of(before)
    begins = rewrite.insert(graph.ReshapeOp(before, (*lead, 1, count)))
    spread = rewrite.insert(graph.ReshapeOp(places, (shape[-1], 1)))
    reached = rewrite.insert(graph.LessOrEqualOp(begins, spread))
    number = rewrite.insert(graph.ReduceOp(reached, "sum", [len(lead) + 1], I32))
    last = rewrite.insert(graph.SubOp(number, rewrite.constant(np.asarray(1, np.int32), "one")))
    return rewrite.insert(graph.ReshapeOp(last, shape))

