"""v.sort, v.scan and v.compress: what depends on the order or the values along the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from npuisa.instructions import ReduceFn, VCompress, VScan, VSort

from npusim.scratch import Scratch
from npusim.semantics.conversion import F32, F64, converter, copy
from npusim.semantics.plan import Context, Prepared, nothing
from npusim.semantics.product import FREE_SLOT, is_float
from npusim.semantics.reduction import REDUCTIONS, accumulation_type, neutral
from npusim.sequence import StaticInstruction
from npusim.views import Array, Type, View

_SOURCE, _KEYS, _RUN = range(FREE_SLOT, FREE_SLOT + 3)
_I64 = np.dtype(np.int64)


# --- v.sort -----------------------------------------------------------------------------------------------


def prepare_sort(static: StaticInstruction, context: Context) -> Prepared:
    """dst = the first positions of a stable argsort of each line of src."""
    instruction = static.instruction
    assert isinstance(instruction, VSort)
    dst, src = context.view(static, "dst"), context.view(static, "src")
    if dst.elements == 0:
        return Prepared((), nothing)
    descending = bool(instruction.descending)

    def run(accumulate: bool, out: Array, source: Array) -> None:
        keys = order_keys(source)
        if descending:
            np.invert(keys, out=keys)
        copy(first_positions(keys, source.dtype.itemsize <= 4, out.shape[-1]), out)

    return Prepared((dst, src), run)


def order_keys(source: Array) -> Array:
    """i64 numbers in the order of the elements: -0 as 0, every NaN above infinity; 32 bits for types up to 32 bits."""
    if not is_float(source.dtype):
        return _integer_keys(source)
    wide = F64 if source.dtype == F64 else F32
    numbers = source.astype(wide)
    np.add(numbers, 0.0, out=numbers)  # -0 + 0 = 0
    missing = np.isnan(numbers)
    bits = numbers.view(np.int64 if wide == F64 else np.int32)
    greatest = np.iinfo(bits.dtype).max
    keys = np.bitwise_xor(bits, np.bitwise_and(np.right_shift(bits, bits.itemsize * 8 - 1), greatest))
    keys[missing] = greatest
    return keys.astype(np.int64, copy=False)


def _integer_keys(source: Array) -> Array:
    """Signed integers as they are, those of 32 and 64 unsigned bits moved down by half their range."""
    if source.dtype == np.uint64:
        return np.bitwise_xor(source, np.uint64(1 << 63)).view(np.int64)
    keys = source.astype(np.int64)
    return keys - (1 << 31) if source.dtype == np.uint32 else keys


def first_positions(keys: Array, narrow: bool, count: int) -> Array:
    """Positions of the `count` least keys of each line, in order; equal keys by position.

    Keys of 32 bits (`narrow`) and their positions make one number, whose order is total: it needs no stable
    algorithm, and of few wanted elements only those are sorted.
    """
    if not narrow:
        return np.argsort(keys, axis=-1, kind="stable")[..., :count]
    length = keys.shape[-1]
    pairs = np.left_shift(keys, 32, out=keys)
    np.bitwise_or(pairs, np.arange(length, dtype=np.int64), out=pairs)
    if count < length:
        pairs.partition(count - 1, axis=-1)
        pairs = pairs[..., :count]
    return np.bitwise_and(np.sort(pairs, axis=-1), 0xFFFFFFFF)


# --- v.scan -----------------------------------------------------------------------------------------------


def prepare_scan(static: StaticInstruction, context: Context) -> Prepared:
    """dst[.., i] = fn over the elements up to i (exclusive: before i; reverse: from the end)."""
    instruction = static.instruction
    assert isinstance(instruction, VScan)
    dst, src = context.view(static, "dst"), context.view(static, "src")
    if dst.elements == 0:
        return Prepared((), nothing)
    compute = accumulation_type(instruction.fn, src.dtype, dst.dtype)
    step = -1 if instruction.reverse else 1
    views = tuple(_along(view, step) for view in (dst, src))
    return Prepared(views, _Scan(context.scratch, instruction.fn, bool(instruction.exclusive), src, compute).run)


def _along(view: View, step: int) -> View:
    """The view with its last axis forwards or backwards."""
    axis = view.rank - 1
    return view if step == 1 else view.sliced(axis, view.dims[axis] - 1, view.dims[axis], -1)


class _Scan:
    def __init__(self, scratch: Scratch, fn: ReduceFn, exclusive: bool, src: View, compute: Type) -> None:
        self._scratch, self._exclusive, self._compute = scratch, exclusive, compute
        self._function, self._neutral = REDUCTIONS[fn], neutral(fn, compute)
        self._convert = converter(src.dtype, compute)
        self._narrow = src.dtype != compute

    def run(self, accumulate: bool, dst: Array, src: Array) -> None:
        """Execute one issue."""
        if self._narrow:
            converted = self._scratch.take(_SOURCE, src.shape, self._compute)
            self._convert(src, converted)
            src = converted
        total = self._scratch.take(_RUN, src.shape, self._compute)
        if self._exclusive:
            total[..., 0] = self._neutral
            self._accumulate(src[..., :-1], total[..., 1:])
        else:
            self._accumulate(src, total)
        converter(self._compute, dst.dtype)(total, dst)

    def _accumulate(self, src: Array, out: Array) -> None:
        if out.size:
            self._function.accumulate(src, axis=-1, dtype=self._compute, out=out)


# --- v.compress -------------------------------------------------------------------------------------------


def prepare_compress(static: StaticInstruction, context: Context) -> Prepared:
    """dst = the elements of src (or their positions) where mask is not 0, then the fill value; count = how many."""
    instruction = static.instruction
    assert isinstance(instruction, VCompress)
    present = [name for name in ("dst", "mask", "src", "count") if name in static.fields]
    found = [(name, context.optional_view(static, name)) for name in present]
    views = {name: view for name, view in found if view is not None}
    descriptor = static.descriptors[static.fields.index("dst")]
    assert descriptor is not None
    fill = descriptor.fill
    has_source, has_count = "src" in views, "count" in views
    if views["mask"].elements == 0 and views["dst"].elements == 0 and not has_count:
        return Prepared((), nothing)

    def run(accumulate: bool, dst: Array, mask: Array, *others: Array) -> None:
        source = others[0] if has_source else None
        counts = compress(mask, source, fill, dst)
        if has_count:
            copy(counts[..., None], others[-1])

    return Prepared(tuple(views.values()), run)


def compress(mask: Array, source: Array | None, fill: float | int, dst: Array) -> Array:
    """Compact the lines of `source` (or positions) into `dst`; how many of each line were taken."""
    length, room = mask.shape[-1], dst.shape[-1]
    lines = mask.reshape(-1, length) if mask.size else np.zeros((int(np.prod(mask.shape[:-1])), length), bool)
    row, position = np.nonzero(lines)
    hits = np.bincount(row, minlength=len(lines)).astype(np.int64)
    rank = np.arange(row.size, dtype=np.int64) - np.repeat(np.cumsum(hits) - hits, hits)
    taken = rank < room
    row, position, rank = row[taken], position[taken], rank[taken]
    packed: Array = np.full((len(lines), room), _filler(fill, dst.dtype), dst.dtype)
    packed[row, rank] = position if source is None else source.reshape(-1, length)[row, position]
    dst[...] = packed.reshape(dst.shape)
    return np.minimum(hits, room).reshape(mask.shape[:-1])


def _filler(fill: float | int, dtype: Type) -> Any:
    """The fill value as an element."""
    return np.asarray(fill).astype(dtype)
