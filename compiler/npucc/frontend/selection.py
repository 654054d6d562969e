"""Selecting and repeating elements of an axis, with slices, expansion and concatenation, or by index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder
from npucc.frontend.lookups import gather
from npucc.types import shape_of


def repeat_axes(build: GraphBuilder, x: SSAValue, repeats: Sequence[int], inner: bool) -> SSAValue:
    """Repeat each axis: its elements (`inner`: a a b b) or as a whole (a b a b)."""
    shape = shape_of(x)
    if all(count == 1 for count in repeats):
        return x
    spread: list[int] = []
    target: list[int] = []
    for size, count in zip(shape, repeats):
        if count == 1:
            spread.append(size)
            target.append(size)
        else:
            spread += [size, 1] if inner else [1, size]
            target += [size, count] if inner else [count, size]
    y = build.expand(build.reshape(x, spread), target)
    return build.reshape(y, [size * count for size, count in zip(shape, repeats)])


MAX_PIECES = 16
"""Most slices that a gather with constant indices becomes; more are looked up by index."""


def take(build: GraphBuilder, x: SSAValue, axis: int, indices: Sequence[int]) -> SSAValue:
    """Elements `indices` along `axis`, as slices (one per run with a constant step) joined together, or looked up."""
    known = build.known(x)
    if known is not None:
        return build.constant(np.take(known, np.asarray(indices, np.int64), axis), "taken")
    runs = _runs(indices)
    if not runs:
        return build.slice_axis(x, axis, 0, 0)
    if len(runs) > MAX_PIECES:
        return gather(build, x, build.constant(np.asarray(indices, np.int64), f"{build.node}.positions"), axis)
    pieces: list[SSAValue] = []
    for start, step, count in runs:
        piece = build.slice_axis(x, axis, start, 1 if step == 0 else count, step or 1)
        if step == 0:
            shape = list(shape_of(x))
            shape[axis] = count
            piece = build.expand(piece, shape)
        pieces.append(piece)
    return build.concat(pieces, axis)


def pieces_of(indices: Iterable[int]) -> int:
    """How many slices `take` makes of these indices."""
    return len(_runs([int(index) for index in indices]))


def _runs(indices: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first, step, count) of maximal runs with one step."""
    runs: list[tuple[int, int, int]] = []
    position = 0
    while position < len(indices):
        end = position + 1
        step = indices[end] - indices[position] if end < len(indices) else 1
        while end < len(indices) and indices[end] - indices[end - 1] == step:
            end += 1
        # A pair is no run if its second element starts a longer one.
        if end - position == 2 and end < len(indices) and step != 1:
            end, step = position + 1, 1
        runs.append((indices[position], step if end - position > 1 else 1, end - position))
        position = end
    return runs
