"""SRAM bank conflicts of one stream of vector accesses, and how many lines it keeps the banks busy with.

Model: the SRAM interleaves lines of `bank_bytes` over its banks, line i in bank i mod banks; a bank delivers
one line per cycle. A vector access (all lanes at once) takes as many cycles as the busiest bank has distinct
lines of it, and occupies one bank for one cycle per distinct line, however little of the line it uses. The first
vector of the stream stands for all of them: the views are affine, later vectors are shifts of it. Streams of
different operands and engines meet in the total of lines per cycle (`costs.py`, `timing.py`), not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt
from npuisa.descriptor import Descriptor
from npuisa.target import Sram, Target

Axes = tuple[tuple[int, ...], tuple[int, ...]]
"""Dims and strides in elements, outermost first."""
Geometry = tuple[int, int]
"""Banks, and bytes of a line."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one vector costs: SRAM cycles on its own, and distinct lines (bank cycles that nobody else has)."""

    cycles: float
    lines: float


FREE = Access(1.0, 0.0)
"""Nothing to fetch."""


def geometry_of(sram: Sram) -> Geometry:
    """Banks and line of the operand memory."""
    return sram.banks, sram.bank_bytes


def accumulator_geometry(target: Target) -> Geometry:
    """Banks and line of the accumulator memory."""
    return target.accumulator_banks, target.accumulator.bank_bytes


def _first(axes: Axes, width: int, count: int) -> npt.NDArray[np.int64]:
    """Byte offsets of the first `count` elements in row-major order."""
    dims, strides = axes
    rest = np.arange(min(count, prod(dims)), dtype=np.int64)
    offsets = np.zeros_like(rest)
    for dim, stride in zip(reversed(dims), reversed(strides)):
        offsets += (rest % dim) * (stride * width)
        rest = rest // dim
    return offsets


def _busiest(geometry: Geometry, offsets: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Distinct lines in the bank that has most of them, and in all banks."""
    if offsets.size <= 1:
        return 1, 1
    banks, bank_bytes = geometry
    lines = np.unique((offsets - offsets.min()) // bank_bytes)
    return int(np.bincount(lines % banks).max()), len(lines)


@lru_cache(maxsize=65536)
def vector_access(geometry: Geometry, axes: Axes, width: int, lanes: int) -> Access:
    """`lanes` elements (row-major order of the axes) at once."""
    return Access(*_busiest(geometry, _first(axes, width, lanes)))


@lru_cache(maxsize=65536)
def feed(
    geometry: Geometry, vector: Axes, stream: Axes, width: int, lanes: int, group: int = 1, line_buffers: bool = True
) -> Access:
    """One cycle of a feeder that takes `lanes` elements along `vector` times `group` steps along `stream`.

    Either one access per cycle, or line buffers: one line per lane, refilled after as many steps as a line has
    elements. The one that takes fewer SRAM cycles.
    """
    across = _first(vector, width, lanes)
    steps = _first(stream, width, max(geometry[1] // width, group))
    direct = Access(*_busiest(geometry, (across[:, None] + steps[:group]).reshape(-1)))
    if not line_buffers:
        return direct
    cycles, lines = _busiest(geometry, (across[:, None] + steps).reshape(-1))
    refills = max(len(steps), 1) / min(group, max(len(steps), 1))
    buffered = Access(cycles / refills, lines / refills)
    return direct if direct.cycles <= buffered.cycles else buffered


def access_cycles(sram: Sram, dims: tuple[int, ...], strides: tuple[int, ...], width: int, lanes: int) -> int:
    """Cycles to read or write `lanes` elements (row-major order of `dims`, strides in elements) at once."""
    return int(vector_access(geometry_of(sram), (dims, strides), width, lanes).cycles)


def view_access(target: Target, view: Descriptor, lanes: int) -> Access:
    """One vector of `lanes` elements of a view in SRAM."""
    return vector_access(geometry_of(target.sram), (view.dims, view.strides), view.dtype.bytes, lanes)


def view_lines(target: Target, view: Descriptor, lanes: int) -> float:
    """Lines of a walk over `view` in vectors of `lanes`; what is broadcast along the innermost axes is held."""
    vectors = -(-view.elements // lanes)
    return min(vectors * view_access(target, view, lanes).lines, float(streamed_elements(view)))


def sram_bytes_per_cycle(target: Target) -> int:
    """Bytes that all banks together deliver per cycle."""
    return target.sram.banks * target.sram.bank_bytes


def streamed_elements(view: Descriptor) -> int:
    """Elements fetched when `view` is walked in row-major order: broadcast along the innermost axes, once."""
    count, innermost = 1, True
    for dim, stride in zip(reversed(view.dims), reversed(view.strides)):
        if innermost and (stride == 0 or dim == 1) and dim:
            continue
        innermost = False
        count *= dim
    return count


def streamed_bytes(view: Descriptor) -> int:
    """Bytes that cross the SRAM port when `view` is walked in row-major order."""
    return streamed_elements(view) * view.dtype.bytes
