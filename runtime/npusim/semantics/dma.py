"""dma.copy and dma.fill."""

from __future__ import annotations

import numpy as np

from npusim.semantics.conversion import converter, counting
from npusim.semantics.plan import Context, Prepared, nothing
from npusim.semantics.product import is_float
from npusim.sequence import StaticInstruction
from npusim.views import Array, coalesced

_RAW = {width: np.dtype(f"u{width}") for width in (1, 2, 4, 8)}


def prepare_copy(static: StaticInstruction, context: Context) -> Prepared:
    """dst = src, same dims; bytes move unchanged (also NaN payloads) unless the element types differ.

    Overlapping operands behave as if all of src were read first.
    """
    dst, src = context.view(static, "dst"), context.view(static, "src")
    if dst.elements == 0:
        return Prepared((), nothing)
    if dst.dtype == src.dtype:
        raw = _RAW[dst.dtype.itemsize]
        dst, src = coalesced([dst.as_type(raw), src.as_type(raw).narrowed()])
        return Prepared((dst, src), _move)
    convert = counting(converter(src.dtype, dst.dtype), context.overflows, static.index)
    dst, src = coalesced([dst, src.narrowed()])

    def run(accumulate: bool, out: Array, source: Array) -> None:
        convert(source, out)

    return Prepared((dst, src), run)


def _move(accumulate: bool, out: Array, source: Array) -> None:
    out[...] = source  # the dispatch of np.copyto costs as much as a small transfer


def prepare_fill(static: StaticInstruction, context: Context) -> Prepared:
    """Every element of dst = the fill value of its descriptor, which dst's type must be able to hold."""
    dst = context.view(static, "dst")
    descriptor = static.descriptors[0]
    assert descriptor is not None
    fill = descriptor.fill
    value = np.asarray(fill if is_float(dst.dtype) else int(fill)).astype(dst.dtype)

    def run(accumulate: bool, out: Array) -> None:
        np.copyto(out, value)

    (dst,) = coalesced([dst])
    return Prepared((dst,), run)
