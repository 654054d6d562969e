"""Operand views worked out before execution: windows, merged axes, broadcast axes - all without memory.

A `View` is to an operand what a NumPy array header is to its data. Semantics derive the views they want once per
static instruction; an issue then only adds a byte offset (`OperandBinder`), at well under a microsecond per view.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from npuisa.descriptor import Descriptor
from npuisa.errors import NpuError
from npuisa.program import Program

from npusim.faults import OUT_OF_BOUNDS, place
from npusim.memory import Memory
from npusim.static_instruction import StaticInstruction

Array = npt.NDArray[Any]
Type = np.dtype[Any]

_CACHED_OFFSETS = 256
"""Bindings kept per static instruction: loops that walk circular buffers revisit few offsets."""


@dataclass(frozen=True, slots=True)
class View:
    """Strided view of operand number `operand` at byte `base` of its space. Strides in bytes."""

    operand: int
    dtype: Type
    base: int
    dims: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.dims)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.dims)

    def as_type(self, dtype: Type) -> View:
        """The same bytes seen as another type of the same width."""
        return View(self.operand, dtype, self.base, self.dims, self.strides)

    def sliced(self, axis: int, start: int, count: int, step: int = 1) -> View:
        """`count` elements of `axis` from `start`, `step` apart."""
        strides = _with(self.strides, axis, self.strides[axis] * step)
        base = self.base + self.strides[axis] * start
        return View(self.operand, self.dtype, base, _with(self.dims, axis, count), strides)

    def arranged(self, dims: tuple[int, ...], strides: tuple[int, ...]) -> View:
        """The same start with other axes (the caller answers for staying inside the operand)."""
        return View(self.operand, self.dtype, self.base, dims, strides)

    def narrowed(self) -> View:
        """Axes of stride 0 become axes of size 1, which NumPy broadcasts without touching them again."""
        dims = tuple(1 if stride == 0 else dim for dim, stride in zip(self.dims, self.strides))
        return View(self.operand, self.dtype, self.base, dims, self.strides)

    def merged(self, first: int, last: int) -> View | None:
        """Axes `first` to `last` (inclusive) as one axis, or None where the strides do not allow it."""
        dim, stride = 1, self.dtype.itemsize
        for axis in range(last, first - 1, -1):
            size = self.dims[axis]
            if size == 1:
                continue
            if dim == 1:
                stride = self.strides[axis]
            elif self.strides[axis] != dim * stride:
                return None
            dim *= size
        dims = (*self.dims[:first], dim, *self.dims[last + 1 :])
        return self.arranged(dims, (*self.strides[:first], stride, *self.strides[last + 1 :]))


def _with(values: tuple[int, ...], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])


def view_of(descriptor: Descriptor, operand: int) -> View:
    """The view a descriptor describes."""
    width = descriptor.dtype.bytes
    strides = tuple(stride * width for stride in descriptor.strides)
    return View(operand, descriptor.dtype.numpy, descriptor.base, descriptor.dims, strides)


def coalesced(views: list[View]) -> list[View]:
    """Fewest axes that describe the same element-wise iteration over all views.

    All views have the rank of the first, whose dims are the iteration space; a view's axis is full or of size 1
    (broadcast). Axes merge where every view allows it; axes of size 1 vanish.
    """
    dims = views[0].dims
    kept = [axis for axis in range(len(dims)) if dims[axis] != 1]
    columns = [tuple((view.dims[axis], view.strides[axis]) for view in views) for axis in kept]
    joined: list[tuple[tuple[int, int], ...]] = []
    for column in columns:
        if joined and all(_follows(outer, inner) for outer, inner in zip(joined[-1], column)):
            joined[-1] = tuple((outer[0] * inner[0], inner[1]) for outer, inner in zip(joined[-1], column))
        else:
            joined.append(column)
    return [
        view.arranged(tuple(axis[i][0] for axis in joined), tuple(axis[i][1] for axis in joined))
        for i, view in enumerate(views)
    ]


def _follows(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    if outer[0] == 1 or inner[0] == 1:
        return outer[0] == inner[0] == 1
    return outer[1] == inner[0] * inner[1]


@dataclass(frozen=True, slots=True)
class _Home:
    """A segment of memory and the offsets with which an operand stays inside it."""

    lowest: int
    highest: int
    data: Array
    base: int


_NOWHERE = _Home(1, 0, np.empty(0, np.uint8), 0)


class OperandBinder:
    """Turns the byte offsets of an issue into arrays for the views of one static instruction."""

    def __init__(self, program: Program, memory: Memory, static: StaticInstruction, views: tuple[View, ...]) -> None:
        self._program, self._memory, self._static = program, memory, static
        self._views = views
        self._homes = [_NOWHERE for _ in static.descriptors]
        self.known: dict[tuple[int, ...], tuple[Array, ...]] = {}
        """Arrays by offsets: what `arrays` has given lately."""

    def arrays(self, offsets: tuple[int, ...]) -> tuple[Array, ...]:
        """One array per view; raises NpuError when an operand leaves its memory."""
        found = self.known.get(offsets)
        if found is None:
            if len(self.known) >= _CACHED_OFFSETS:
                self.known.clear()
            found = self.known[offsets] = self._bind(offsets)
        return found

    def _bind(self, offsets: tuple[int, ...]) -> tuple[Array, ...]:
        arrays: list[Array] = []
        for view in self._views:
            offset, home = offsets[view.operand], self._homes[view.operand]
            if offset % view.dtype.itemsize:
                raise self._misaligned(view, offset)
            if not home.lowest <= offset <= home.highest:
                if 0 in view.dims:
                    arrays.append(np.empty(view.dims, view.dtype))
                    continue
                home = self._homes[view.operand] = self._find(view.operand, offset)
            arrays.append(np.ndarray(view.dims, view.dtype, home.data, view.base + offset - home.base, view.strides))
        return tuple(arrays)

    def _find(self, operand: int, offset: int) -> _Home:
        """The segment that holds the operand; raises NpuError where there is none or it may not be written."""
        descriptor = self._static.descriptors[operand]
        assert descriptor is not None
        low, high = descriptor.byte_range()
        segment = self._memory.segment(descriptor.space, low + offset, high + offset)
        if segment is None:
            raise self._outside(operand, descriptor, offset)
        if not segment.data.flags.writeable and self._static.access[operand] != "r":
            raise self._outside(operand, descriptor, offset, f"constant region {segment.name} is read-only")
        return _Home(segment.base - low, segment.end - high, segment.data, segment.base)

    def _misaligned(self, view: View, offset: int) -> NpuError:
        descriptor, register = self._static.descriptors[view.operand], self._static.registers[view.operand]
        assert descriptor is not None
        message = f"operand {self._static.fields[view.operand]} ({descriptor.name}) is moved to an address not aligned"
        where, width = place(self._program, self._static.index), view.dtype.itemsize
        remedy = f"move it by multiples of {width}, its element size in bytes"
        return NpuError(OUT_OF_BOUNDS, message, where, f"r{register} = {offset}", remedy)

    def _outside(self, operand: int, descriptor: Descriptor, offset: int, reason: str = "") -> NpuError:
        low, high = descriptor.byte_range(offset)
        where = place(self._program, self._static.index)
        name, register = self._static.fields[operand], self._static.registers[operand]
        space = descriptor.space.name.lower()
        rule = "may not be written" if reason else f"lies outside {space}"
        message = f"operand {name} ({descriptor.name}, r{register} = {offset}) {rule}"
        spans = reason or f"{space} has {self._memory.spans(descriptor.space)}"
        return NpuError(OUT_OF_BOUNDS, message, where, f"bytes [{low:#x}, {high:#x})", spans)
