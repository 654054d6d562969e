"""A sort of lines of which the SRAM holds parts only: a bitonic network whose elements are sorted blocks."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.passes.graph.rewriting import GraphRewriter
from npucc.types import Array, element_of, element_type, numpy_dtype, shape_of

I32 = element_type("i32")


@dataclass
class BlockSort:
    """Lines [lines, n] in `blocks` (a power of two) of `size` elements, of which two fit into the SRAM.

    In a network that sorts, each comparison of two elements may be the merge of two sorted blocks, the smaller half of
    which takes the place of the smaller element (Baudet and Stevenson 1978). Networks are not stable: places decide
    between equal keys, by a sort that goes first.
    """

    rewrite: GraphRewriter
    blocks: int
    size: int
    descending: bool

    def positions(self, x: SSAValue, filler: Array) -> SSAValue:
        """i32 [lines, n]: where the elements of x stand in order. `filler` comes behind every element."""
        lines, length = shape_of(x)
        total = self.blocks * self.size
        if total > length:
            rest = self.rewrite.constant(np.broadcast_to(filler, (lines, total - length)), "filler")
            x = self.rewrite.insert(graph.ConcatOp([x, rest], 1))
        places = np.broadcast_to(np.arange(total, dtype=np.int32), (lines, total))
        keys = self._shaped(x, lines, self.blocks, self.size)
        where = self._shaped(self.rewrite.constant(places, "places"), lines, self.blocks, self.size)
        keys, where = self._sorted(keys, where)
        run = 2
        while run <= self.blocks:
            distance = run // 2
            while distance:
                keys, where = self._stage(keys, where, run, distance)
                distance //= 2
            run *= 2
        flat = self._shaped(where, lines, total)
        return self.rewrite.insert(graph.SliceOp(flat, (0, 0), (1, 1), (lines, length)))

    def _stage(self, keys: SSAValue, where: SSAValue, run: int, distance: int) -> tuple[SSAValue, SSAValue]:
        """Merge each block with the one `distance` behind it; in every other run of blocks the greater half first."""
        lines = shape_of(keys)[0]
        groups = self.blocks // (2 * distance)
        pairs = [self._pairs(value, groups, distance) for value in (keys, where)]
        by_place = self._argsort(pairs[1], False)
        merged = self._sorted(*(self._taken(pair, by_place) for pair in pairs))
        rising = (np.arange(groups) * 2 * distance & run) == 0
        mask = self.rewrite.constant(rising.reshape(1, groups, 1, 1), "rising")
        made: list[SSAValue] = []
        for value in merged:
            low, high = (self._half(value, part) for part in (0, 1))
            first = self.rewrite.insert(graph.WhereOp(mask, low, high))
            second = self.rewrite.insert(graph.WhereOp(mask, high, low))
            both = [self._shaped(half, lines, groups, 1, distance * self.size) for half in (first, second)]
            made.append(self._shaped(self.rewrite.insert(graph.ConcatOp(both, 2)), lines, self.blocks, self.size))
        return made[0], made[1]

    def _pairs(self, value: SSAValue, groups: int, distance: int) -> SSAValue:
        """[lines, groups, distance, 2 size]: each block with its partner behind it."""
        lines = shape_of(value)[0]
        split = self._shaped(value, lines, groups, 2, distance * self.size)
        halves: list[SSAValue] = []
        for part in (0, 1):
            starts, sizes = (0, 0, part, 0), (lines, groups, 1, distance * self.size)
            half = self.rewrite.insert(graph.SliceOp(split, starts, (1,) * 4, sizes))
            halves.append(self._shaped(half, lines, groups, distance, self.size))
        return self.rewrite.insert(graph.ConcatOp(halves, 3))

    def _half(self, value: SSAValue, part: int) -> SSAValue:
        shape = shape_of(value)
        return self.rewrite.insert(
            graph.SliceOp(value, (0, 0, 0, part * self.size), (1,) * 4, (*shape[:3], self.size))
        )

    def _sorted(self, keys: SSAValue, where: SSAValue) -> tuple[SSAValue, SSAValue]:
        order = self._argsort(keys, self.descending)
        return self._taken(keys, order), self._taken(where, order)

    def _argsort(self, keys: SSAValue, descending: bool) -> SSAValue:
        return self.rewrite.insert(graph.ArgsortOp(keys, shape_of(keys)[-1], descending, I32))

    def _taken(self, value: SSAValue, order: SSAValue) -> SSAValue:
        shape = shape_of(value)
        lines = [self._shaped(each, prod(shape[:-1]), shape[-1], 1) for each in (value, order)]
        return self._shaped(self.rewrite.insert(graph.GatherOp(*lines)), *shape)

    def _shaped(self, value: SSAValue, *shape: int) -> SSAValue:
        return value if shape_of(value) == shape else self.rewrite.insert(graph.ReshapeOp(value, shape))


def merge_sort(
    op: graph.ArgsortOp, rewrite: GraphRewriter, size: int, filler: Array
) -> SSAValue:
    """The positions that `op` gives, by blocks of `size` elements."""
    shape, axis = shape_of(op.x), op.line
    rank, length = len(shape), shape[axis]
    order = [*(i for i in range(rank) if i != axis), axis]
    x = op.x if axis == rank - 1 else rewrite.insert(graph.TransposeOp(op.x, tuple(order)))
    lead = shape_of(x)[:-1]
    flat = rewrite.insert(graph.ReshapeOp(x, (prod(lead), length)))
    blocks = 1 << (-(-length // size) - 1).bit_length()
    even = -(-length // blocks)
    found = BlockSort(rewrite, blocks, even, bool(op.descending.value.data)).positions(flat, filler)
    count = op.count.value.data
    if count < length:
        found = rewrite.insert(graph.SliceOp(found, (0, 0), (1, 1), (prod(lead), count)))
    result = rewrite.insert(graph.ReshapeOp(found, (*lead, count)))
    if axis != rank - 1:
        result = rewrite.insert(graph.TransposeOp(result, tuple(order.index(i) for i in range(rank))))
    wanted = element_of(op.result)
    return result if wanted == I32 else rewrite.insert(graph.CastOp(result, wanted))


def last_key(value: SSAValue, descending: bool) -> Array:
    """What no element comes behind."""
    dtype = numpy_dtype(element_of(value))
    if dtype.kind in "fV":
        return np.asarray(-np.inf if descending else np.nan).astype(dtype)
    if dtype == np.bool_:
        return np.asarray(not descending)
    limits = np.iinfo(dtype)
    return np.asarray(limits.min if descending else limits.max, dtype)
