"""How many bytes of a memory are in use over time, and how much DRAM bandwidth, from a timeline.

A byte is live from the start of the first write of a value to the end of that value's last read; a value ends
when the byte is written again after it has been read. Strided views count with the range that they span.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from npuisa.descriptor import Space
from npuisa.program import Program

from npusim.footprint import footprint_of
from npusim.sequence import decode
from npusim.timing_result import TimelineEntry

Samples = list[tuple[float, float]]
"""(cycle, value from then on), in order of time."""


@dataclass(frozen=True, slots=True)
class _Access:
    start: float
    end: float
    low: int
    high: int
    reads: bool
    writes: bool


@dataclass(slots=True)
class _Value:
    """What a piece of memory holds: written from `start`, last used at `end`."""

    start: float
    end: float
    read: bool


def live_bytes(program: Program, timeline: Sequence[TimelineEntry], space: Space = Space.SRAM) -> Samples:
    """Live bytes of `space` over time."""
    accesses = sorted(_accesses(program, timeline, space), key=lambda access: (access.start, access.end))
    cuts = np.unique([edge for access in accesses for edge in (access.low, access.high)])
    values: list[_Value | None] = [None] * len(cuts)
    changes: defaultdict[float, float] = defaultdict(float)
    for access in accesses:
        first, last = np.searchsorted(cuts, (access.low, access.high)).tolist()
        for piece in range(first, last):
            size = int(cuts[piece + 1] - cuts[piece])
            values[piece] = _touch(values[piece], access, size, changes)
    for piece, value in enumerate(values):
        if value is not None:
            _retire(value, int(cuts[piece + 1] - cuts[piece]), changes)
    return _cumulative(changes)


def dram_rate(timeline: Iterable[TimelineEntry], *, written: bool) -> Samples:
    """DRAM bytes per cycle read (or written) over time."""
    changes: defaultdict[float, float] = defaultdict(float)
    for entry in timeline:
        moved = entry.dram_written if written else entry.dram_read
        if not moved:
            continue
        part, before = moved / (entry.dram_read + entry.dram_written), 0.0
        for cycle, rate in (*entry.dram_rates, (entry.free, 0.0)):
            changes[cycle] += (rate - before) * part
            before = rate
    return _cumulative(changes)


def peak(samples: Samples) -> int:
    """Greatest value."""
    return round(max((value for _, value in samples), default=0.0))


def _accesses(program: Program, timeline: Sequence[TimelineEntry], space: Space) -> Iterable[_Access]:
    statics = decode(program)
    for entry in timeline:
        static = statics[entry.index]
        for view, offset, access in zip(static.descriptors, entry.offsets, static.access):
            if view is None or view.space is not space or not view.elements:
                continue
            shape, base = footprint_of(view), view.base + offset
            reads = access in ("r", "rmw") or (access == "rw" and entry.accumulate)
            yield _Access(entry.start, entry.end, base + shape.low, base + shape.high, reads, access != "r")


def _touch(
    value: _Value | None, access: _Access, size: int, changes: defaultdict[float, float]
) -> _Value | None:
    if value is not None and access.writes and not access.reads and value.read:
        _retire(value, size, changes)
        value = None
    if value is None:
        return _Value(access.start, access.end, False) if access.writes else None
    value.end = max(value.end, access.end)
    value.read = value.read or access.reads
    return value


def _retire(value: _Value, size: int, changes: defaultdict[float, float]) -> None:
    changes[value.start] += size
    changes[value.end] -= size


def _cumulative(changes: defaultdict[float, float]) -> Samples:
    samples: Samples = []
    level = 0.0
    for time in sorted(changes):
        if changes[time]:
            level += changes[time]
            samples.append((time, max(level, 0.0) if abs(level) > 1e-6 else 0.0))
    return samples
