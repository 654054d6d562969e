"""Gathers and scatters: elements or rows moved by index.

An index array that is broadcast along the innermost axis selects rows; NumPy then moves whole rows per index. Updates
that meet in one element are applied in order of the indices: NumPy's assignment keeps the last, `ufunc.at` combines
one after the other in the element type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from npuisa.instructions import DmaScatter, ScatterFn, VScatter

from npusim.semantics.plan import Context, Prepared, nothing
from npusim.sequence import StaticInstruction
from npusim.views import Array

_RAW = {width: np.dtype(f"u{width}") for width in (1, 2, 4, 8)}
_COMBINE: dict[ScatterFn, np.ufunc] = {
    ScatterFn.ADD: np.add,
    ScatterFn.MUL: np.multiply,
    ScatterFn.MIN: np.minimum,
    ScatterFn.MAX: np.maximum,
}
Places = tuple[Any, ...]
"""An index into [b, s, r]: an array per axis, or for rows all of r."""


@dataclass(frozen=True, slots=True)
class _Selection:
    """Where the elements [b, n, r] of a transfer lie in a table of `size` places along axis 1.

    With `rows`, one index (and one entry of `inside`) per row: shapes [b, n] instead of [b, n, r].
    """

    places: Array
    inside: Array | None
    """None: all are."""
    rows: bool

    @staticmethod
    def of(indices: Array, dims: tuple[int, ...], size: int) -> _Selection:
        """Wrap negative indices; `indices` has extent 1 on axes that it is shared along."""
        rows = indices.shape[2] == 1
        shape = dims[:2] if rows else dims
        wide = indices.astype(np.int64)
        if indices.dtype == np.uint64:
            wide[wide < 0] = size  # from 2^63 on: outside, not negative
        wide[wide < 0] += size
        if rows:
            wide = wide[:, :, 0]
        outside = (wide < 0) | (wide >= size)
        if not outside.any():
            return _Selection(np.broadcast_to(wide, shape), None, rows)
        wide[outside] = 0
        return _Selection(np.broadcast_to(wide, shape), np.broadcast_to(~outside, shape), rows)

    def at(self) -> Places:
        """The index of all elements."""
        axes = [np.arange(size) for size in self.places.shape]
        if self.rows:
            return axes[0][:, None], self.places, slice(None)
        return axes[0][:, None, None], self.places, axes[2]


def prepare_gather(static: StaticInstruction, context: Context) -> Prepared:
    """dst[b, i, r] = src[b, indices[b, i, r], r]; bytes move unchanged, 0 where an index is outside."""
    dst, src, indices = (context.view(static, name) for name in ("dst", "src", "indices"))
    if dst.elements == 0:
        return Prepared((), nothing)
    raw = _RAW[dst.dtype.itemsize]

    def run(accumulate: bool, out: Array, table: Array, index: Array) -> None:
        selection = _Selection.of(index, out.shape, table.shape[1])
        out[...] = table[selection.at()]
        if selection.inside is not None:
            out[~selection.inside] = 0

    return Prepared((dst.as_type(raw), src.as_type(raw), indices.narrowed()), run)


def prepare_scatter(static: StaticInstruction, context: Context) -> Prepared:
    """dst[b, indices[b, i, r], r] (fn)= src[b, i, r] in order of i; an index outside changes nothing."""
    instruction = static.instruction
    assert isinstance(instruction, DmaScatter | VScatter)
    dst, src, indices = (context.view(static, name) for name in ("dst", "src", "indices"))
    if src.elements == 0:
        return Prepared((), nothing)
    if instruction.fn is ScatterFn.NONE:
        raw = _RAW[dst.dtype.itemsize]
        dst, src = dst.as_type(raw), src.as_type(raw)
    combine = _COMBINE.get(instruction.fn)

    def run(accumulate: bool, table: Array, updates: Array, index: Array) -> None:
        selection = _Selection.of(index, updates.shape, table.shape[1])
        if combine is None:
            at, values = _kept(selection, updates)
            table[at] = values
        elif selection.rows and updates.shape[1] < updates[:, 0].size:
            _combine_rows(combine, table, updates, selection)
        else:
            at, values = _kept(_per_element(selection, updates.shape), updates)
            combine.at(table, at, values)

    return Prepared((dst, src, indices.narrowed()), run)


def _kept(selection: _Selection, updates: Array) -> tuple[Any, Array]:
    """Index and values of the updates that are not dropped, in order of i for every element."""
    at, inside = selection.at(), selection.inside
    if inside is None:
        return at, updates
    kept = tuple(np.broadcast_to(axis, inside.shape)[inside] for axis in at if not isinstance(axis, slice))
    return kept, updates[inside]


def _per_element(selection: _Selection, shape: tuple[int, ...]) -> _Selection:
    """The same with an index per element: `ufunc.at` is slow on slices."""
    if not selection.rows:
        return selection
    inside = selection.inside
    spread = None if inside is None else np.broadcast_to(inside[:, :, None], shape)
    return _Selection(np.broadcast_to(selection.places[:, :, None], shape), spread, False)


def _combine_rows(combine: np.ufunc, table: Array, updates: Array, selection: _Selection) -> None:
    """Few long rows: one after the other, all batches at once."""
    batches = np.arange(updates.shape[0])
    for i in range(updates.shape[1]):
        places, inside = selection.places[:, i], None if selection.inside is None else selection.inside[:, i]
        if inside is None:
            table[batches, places] = combine(table[batches, places], updates[:, i])
        elif inside.any():
            at = (batches[inside], places[inside])
            table[at] = combine(table[at], updates[inside, i])
