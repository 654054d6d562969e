"""Places the values of a micro-kernel in arrays: which NumPy calls run, and which temporary each result goes to.

Temporaries are reused as soon as their value is dead, also by the call that reads it last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npusim.semantics.conversion import Convert, converter, copy
from npusim.semantics.kernel_values import NUMPY_TYPE, KernelValues, Value
from npusim.semantics.micro_ops import MicroFunction, micro_function
from npusim.semantics.product import FREE_SLOT
from npusim.views import Type, View

Dims = tuple[int, ...]

_NEEDS_FULL_ARRAY = frozenset({"min", "max"})
"""NumPy's loops of these are 4 times faster on a full array of the constant than on a scalar."""


class Call(NamedTuple):
    """`function(*args, out=out)`; numbers index the arrays: destination, sources, then the slots."""

    function: MicroFunction
    args: tuple[int, ...]
    out: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A temporary (`number` in scratch), or a constant spread over `dims` (no dims: a scalar)."""

    number: int
    dtype: Type
    dims: Dims
    constant: float | int | None = None


@dataclass(slots=True)
class Layout:
    """Calls in order and the arrays they need beyond destination and sources."""

    calls: list[Call]
    slots: list[Slot]


def lay_out(values: KernelValues, views: list[View], store: Callable[[Convert], Convert]) -> Layout:
    """Lay out a kernel for the destination and source views `views`, coalesced; `store` wraps the last conversion.

    A kernel that only passes on a source of the destination's type moves bits (the payload of a NaN, too).
    """
    source = values.values[values.result].source
    if source >= 0 and views[1 + source].dtype == views[0].dtype:
        return Layout([Call(copy, (1 + source,), 0)], [])
    return _Allocator(values, views, store).run()


class _Allocator:
    def __init__(self, kernel: KernelValues, views: list[View], store: Callable[[Convert], Convert]) -> None:
        self._kernel, self._views, self._store = kernel, views, store
        self._layout = Layout([], [])
        self._place: dict[int, int] = {}
        self._dims: dict[int, Dims] = {}
        self._free: dict[tuple[Dims, Type], list[int]] = {}
        self._last_use = _last_uses(kernel)

    def run(self) -> Layout:
        for number, value in enumerate(self._kernel.values):
            if number not in self._last_use:
                continue
            if value.source >= 0:
                self._load(number, value)
            elif value.constant is not None:
                self._place[number] = self._constant(value, ())
                self._dims[number] = ()
            else:
                self._operate(number, value)
        self._finish()
        return self._layout

    def _load(self, number: int, value: Value) -> None:
        """A source in the type the kernel wants: in place, or converted."""
        view, dtype = self._views[1 + value.source], NUMPY_TYPE[value.type]
        self._dims[number] = view.dims
        if view.dtype == dtype:
            self._place[number] = 1 + value.source
        else:
            self._place[number] = self._temporary(view.dims, dtype)
            call = Call(converter(view.dtype, dtype), (1 + value.source,), self._place[number])
            self._layout.calls.append(call)

    def _operate(self, number: int, value: Value) -> None:
        dims = np.broadcast_shapes(*(self._dims[arg] for arg in value.args))
        args = tuple(self._argument(value, arg, dims) for arg in value.args)
        for arg in set(value.args):
            self._release(number, arg)
        dtype = NUMPY_TYPE[value.type]
        direct = number == self._kernel.result and dims == self._views[0].dims and dtype == self._views[0].dtype
        out = 0 if direct else self._temporary(dims, dtype)
        self._place[number], self._dims[number] = out, dims
        function = micro_function(value.opcode, self._kernel.values[value.args[-1]].type)
        self._layout.calls.append(Call(function, args, out))

    def _argument(self, value: Value, arg: int, dims: Dims) -> int:
        operand = self._kernel.values[arg]
        if operand.constant is not None and value.opcode in _NEEDS_FULL_ARRAY and dims:
            return self._constant(operand, dims)
        return self._place[arg]

    def _finish(self) -> None:
        """Bring the result into the destination unless its last operation wrote it there."""
        result = self._kernel.result
        if self._place[result] != 0:
            dtype = NUMPY_TYPE[self._kernel.values[result].type]
            convert = self._store(converter(dtype, self._views[0].dtype))
            self._layout.calls.append(Call(convert, (self._place[result],), 0))

    def _constant(self, value: Value, dims: Dims) -> int:
        return self._append(Slot(-1, NUMPY_TYPE[value.type], dims, value.constant))

    def _temporary(self, dims: Dims, dtype: Type) -> int:
        free = self._free.get((dims, dtype))
        if free:
            return free.pop()
        return self._append(Slot(FREE_SLOT + len(self._layout.slots), dtype, dims))

    def _append(self, slot: Slot) -> int:
        self._layout.slots.append(slot)
        return len(self._views) + len(self._layout.slots) - 1

    def _release(self, number: int, arg: int) -> None:
        """Free the temporary of `arg` if value `number` is its last reader."""
        first_slot = len(self._views)
        place = self._place[arg]
        if self._last_use[arg] == number and place >= first_slot:
            slot = self._layout.slots[place - first_slot]
            if slot.constant is None:
                self._free.setdefault((slot.dims, slot.dtype), []).append(place)


def _last_uses(kernel: KernelValues) -> dict[int, int]:
    """For every value the result depends on: the number of its last reader (the result outlives all)."""
    last = {kernel.result: len(kernel.values)}
    for number in range(len(kernel.values) - 1, -1, -1):
        if number in last:
            for arg in kernel.values[number].args:
                last.setdefault(arg, number)
    return last
