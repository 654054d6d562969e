"""Evaluation of micro-kernels over views: out.store and v.map.

A kernel becomes a list of NumPy calls once per static instruction; an issue runs them over blocks of
`BLOCK_ELEMENTS`, so that all temporaries stay in the cache. Broadcast sources stay small: a value that depends only
on a bias has the bias's shape. The last call writes the destination itself where the types agree. A destination may
be one of the sources (same view); a destination that overlaps a source otherwise has an undefined result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np
from npuisa.instructions import OutStore, VMap

from npusim.scratch import Scratch
from npusim.semantics.conversion import Convert, counting
from npusim.semantics.kernel_layout import lay_out
from npusim.semantics.kernel_values import KernelValues, kernel_values
from npusim.semantics.plan import Context, Prepared, nothing
from npusim.sequence import StaticInstruction
from npusim.views import Array, Type, View, coalesced

BLOCK_ELEMENTS = 16384


def prepare_map(static: StaticInstruction, context: Context) -> Prepared:
    """dst = kernel(sources), element by element; converts to dst's type at the end."""
    instruction = static.instruction
    assert isinstance(instruction, OutStore | VMap)
    names = static.fields[1:]
    dst = context.view(static, "dst")
    sources = [context.optional_view(static, name) for name in names]
    values = kernel_values(context.program.kernels[instruction.kernel])
    present = [view for view in sources if view is not None]
    if dst.elements == 0:
        return Prepared((), nothing)
    views = coalesced([dst, *(view.narrowed() for view in present)])
    if not views[0].dims:
        views = [view.arranged((1,), (view.dtype.itemsize,)) for view in views]
    store = partial(counting, overflows=context.overflows, index=static.index)
    return Prepared(tuple(views), _Evaluator(values, views, context.scratch, store).run)


class _Evaluator:
    """Runs a laid-out kernel block by block along the first axis."""

    def __init__(
        self, values: KernelValues, views: list[View], scratch: Scratch, store: Callable[[Convert], Convert]
    ) -> None:
        dims = views[0].dims
        self._size, self._scratch = dims[0], scratch
        self._block = min(dims[0], max(1, BLOCK_ELEMENTS // max(1, prod(dims[1:]))))
        self._layout = lay_out(values, views, store)
        self._extra: dict[int, list[Any]] = {}

    def run(self, accumulate: bool, *operands: Array) -> None:
        """Evaluate all blocks of one issue; `operands` are the destination and the sources."""
        for first in range(0, self._size, self._block):
            count = min(self._block, self._size - first)
            arrays: list[Any] = [*operands]
            if count < self._size:
                part = slice(first, first + count)
                arrays = [item if item.shape[0] == 1 else item[part] for item in operands]
            arrays += self._extra.get(count) or self._allocate(count)
            for function, args, out in self._layout.calls:
                if len(args) == 1:
                    function(arrays[args[0]], out=arrays[out])
                elif len(args) == 2:
                    function(arrays[args[0]], arrays[args[1]], out=arrays[out])
                else:
                    function(arrays[args[0]], arrays[args[1]], arrays[args[2]], out=arrays[out])

    def _allocate(self, count: int) -> list[Any]:
        """Constants and temporaries of a block of `count` rows; kept, for they do not change."""
        arrays: list[Any] = []
        for slot in self._layout.slots:
            dims = slot.dims if slot.dims[:1] in ((), (1,)) else (count, *slot.dims[1:])
            if slot.constant is None:
                arrays.append(self._scratch.take(slot.number, dims, slot.dtype))
            else:
                raw = np.asarray(slot.constant, slot.dtype).tobytes()
                arrays.append(_splat(raw, slot.dtype, prod(dims)).reshape(dims))
        self._extra[count] = arrays
        return arrays


@lru_cache(maxsize=64)
def _splat(raw: bytes, dtype: Type, size: int) -> Array:
    """A constant repeated `size` times. Its bytes are the key of the cache: 0.0 and -0.0 are equal numbers."""
    array = np.full(size, np.frombuffer(raw, dtype)[0], dtype)
    array.flags.writeable = False
    return array
