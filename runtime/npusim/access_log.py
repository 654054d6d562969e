"""The accesses to one memory that may still race with a later one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npusim.footprint import Footprint, overlap
from npusim.ordering import ENGINES, Clock

_FIRST_ROWS = 64


@dataclass(frozen=True, slots=True)
class Conflict:
    """An earlier access of instruction `number` of `engine` that is not ordered before the present one."""

    engine: int
    number: int
    wrote: bool
    low: int
    high: int
    """Bytes that both ranges have in common."""


class AccessLog:
    """Per distinct footprint: the last write and the last read by each engine (execution numbers, 0: none).

    An engine's accesses are in order, so of those with the same footprint the last one races whenever an
    earlier one does. `prune` drops what every engine knows to be complete.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[Footprint, int], int] = {}
        self._keys: list[tuple[Footprint, int]] = []
        self._low = np.zeros(_FIRST_ROWS, dtype=np.int64)
        self._high = np.zeros(_FIRST_ROWS, dtype=np.int64)
        self._last = np.zeros((_FIRST_ROWS, 2, ENGINES), dtype=np.int64)
        self._newest = [[0] * ENGINES, [0] * ENGINES]

    def __len__(self) -> int:
        return len(self._keys)

    def conflicts(self, shape: Footprint, base: int, writes: bool, clock: Clock) -> list[Conflict]:
        """Accesses that overlap `shape` at byte `base`, not both reads, and are not complete at `clock`."""
        if not shape.run:
            return []
        kinds = (1, 0) if writes else (1,)
        if all(newest <= known for kind in kinds for newest, known in zip(self._newest[kind], clock)):
            return []
        count = len(self._keys)
        low, high = base + shape.low, base + shape.high
        near = np.flatnonzero((self._low[:count] < high) & (self._high[:count] > low))
        last = self._last[near] if writes else self._last[near, 1:]
        open_rows = near[(last > np.asarray(clock)).any(axis=(1, 2))]
        found: list[Conflict] = []
        for row in open_rows.tolist():
            other, other_base = self._keys[row]
            if overlap(other, shape, base - other_base):
                shared = max(low, int(self._low[row])), min(high, int(self._high[row]))
                found += self._unordered(row, kinds, clock, shared)
        return found

    def _unordered(
        self, row: int, kinds: tuple[int, ...], clock: Clock, shared: tuple[int, int]
    ) -> list[Conflict]:
        return [
            Conflict(engine, number, kind == 1, *shared)
            for kind in kinds
            for engine, number in enumerate(self._last[row, kind].tolist())
            if number > clock[engine]
        ]

    def record(self, shape: Footprint, base: int, writes: bool, engine: int, number: int) -> None:
        """Instruction `number` of `engine` accesses `shape` at byte `base`."""
        if not shape.run:
            return
        kind = int(writes)
        key = shape, base
        row = self._rows.get(key)
        if row is None:
            row = self._append(key)
        self._last[row, kind, engine] = number
        self._newest[kind][engine] = number

    def _append(self, key: tuple[Footprint, int]) -> int:
        row = len(self._keys)
        if row == len(self._low):
            self._low = _doubled(self._low)
            self._high = _doubled(self._high)
            self._last = _doubled(self._last)
        shape, base = key
        self._keys.append(key)
        self._rows[key] = row
        self._low[row], self._high[row], self._last[row] = base + shape.low, base + shape.high, 0
        return row

    def prune(self, known: Clock) -> None:
        """Forget accesses that are complete for every engine still to run: `known` is what all of them know."""
        count = len(self._keys)
        keep = np.flatnonzero((self._last[:count] > np.asarray(known)).any(axis=(1, 2)))
        if len(keep) == count:
            return
        self._keys = [self._keys[row] for row in keep.tolist()]
        self._rows = {key: row for row, key in enumerate(self._keys)}
        for name in ("_low", "_high", "_last"):
            values: npt.NDArray[np.int64] = getattr(self, name)
            values[: len(keep)] = values[keep]


def _doubled(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    grown = np.zeros((2 * len(values), *values.shape[1:]), dtype=np.int64)
    grown[: len(values)] = values
    return grown
