"""Memories of a core and its DRAM as byte arrays, and strided NumPy views of them.

Constants are used where they lie (usually a read-only memory map) and are never copied. Whatever nobody has
written yet holds 0xFF bytes, which is NaN in every float type and -1 in signed integers, so that a read of it
shows in the results.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from npuisa.descriptor import Space
from npuisa.errors import NpuError
from npuisa.program import Port, Program, RegionKind
from npuisa.target import Target

from npusim.faults import BAD_INPUTS, BAD_REGIONS, OUT_OF_BOUNDS

UNWRITTEN = 0xFF
_CACHE_LINE = 64

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Segment:
    """Contiguous bytes of one space, from address `base`."""

    name: str
    base: int
    data: Bytes

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.base + self.data.size


def aligned_bytes(size: int) -> Bytes:
    """`size` uninitialised bytes at an address that is a multiple of a cache line."""
    raw = np.empty(size + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + size]


class Memory:
    """All spaces of one core. Addresses are bytes; DRAM exists only where the program has regions."""

    def __init__(self, program: Program, target: Target) -> None:
        self._spaces: dict[Space, list[Segment]] = {
            Space.DRAM: _dram(program),
            Space.L2: [],
            Space.SRAM: [Segment("sram", 0, aligned_bytes(target.sram.bytes))],
            Space.ACC: [Segment("acc", 0, aligned_bytes(target.accumulator.bytes))],
        }
        self._starts = {space: [part.base for part in parts] for space, parts in self._spaces.items()}
        self._volatile = [
            part.data for parts in self._spaces.values() for part in parts if part.data.flags.writeable
        ]

    @property
    def sram_address(self) -> int:
        """Machine address of SRAM's first byte."""
        return self._spaces[Space.SRAM][0].data.ctypes.data

    def reset(self) -> None:
        """Forget everything that was written: all but the constants is `UNWRITTEN` again."""
        for data in self._volatile:
            data.fill(UNWRITTEN)

    def segment(self, space: Space, low: int, high: int) -> Segment | None:
        """The segment that holds all of the addresses `low` to `high` (exclusive), or None."""
        position = bisect_right(self._starts[space], low) - 1
        if position < 0:
            return None
        segment = self._spaces[space][position]
        return segment if high <= segment.end else None

    def spans(self, space: Space) -> str:
        """The addresses that exist in `space`, for error messages."""
        parts = self._spaces[space]
        shown = ", ".join(f"{part.name} [{part.base:#x}, {part.end:#x})" for part in parts[:8])
        return (shown or "no bytes") + (f" and {len(parts) - 8} more" if len(parts) > 8 else "")

    def port(self, port: Port) -> npt.NDArray[np.generic]:
        """A dense view of a model input or output."""
        size = int(np.prod(port.shape, dtype=np.int64)) * port.dtype.bytes
        segment = self.segment(Space.DRAM, port.base, port.base + size)
        if segment is None:
            found = f"{port.dtype} {list(port.shape)} at [{port.base:#x}, {port.base + size:#x})"
            remedy = f"DRAM has {self.spans(Space.DRAM)}"
            raise NpuError(OUT_OF_BOUNDS, f"port {port.name} lies outside DRAM", found=found, remedy=remedy)
        return np.ndarray(port.shape, port.dtype.numpy, segment.data, port.base - segment.base)

    def write_input(self, port: Port, value: npt.NDArray[np.generic]) -> None:
        """Store a model input; raises NpuError when its shape or type is not the port's."""
        if value.shape != port.shape or value.dtype != port.dtype.numpy:
            expected = f"{port.dtype.numpy} {list(port.shape)}"
            found = f"{value.dtype} {list(value.shape)}"
            raise NpuError(BAD_INPUTS, f"input {port.name} does not fit", found=found, remedy=f"expected: {expected}")
        if value.size:
            np.copyto(self.port(port), value)


def _dram(program: Program) -> list[Segment]:
    segments: list[Segment] = []
    for region in sorted(program.regions, key=lambda region: region.base):
        if segments and region.base < segments[-1].end:
            found = f"{region.name} at {region.base:#x} begins inside {segments[-1].name}"
            raise NpuError(BAD_REGIONS, "DRAM regions overlap", found=found, remedy="regions must be disjoint")
        if region.kind is not RegionKind.CONSTANT:
            segments.append(Segment(region.name, region.base, aligned_bytes(region.size)))
            continue
        data = program.constants.get(region.name)
        if data is None or data.size != region.size:
            found = "no bytes" if data is None else f"{data.size} bytes"
            message = f"constant region {region.name} needs {region.size} bytes"
            raise NpuError(BAD_REGIONS, message, found=found, remedy="the program file is damaged")
        segments.append(Segment(region.name, region.base, _read_only(data)))
    return segments


def _read_only(data: Bytes) -> Bytes:
    view = data.view()
    view.flags.writeable = False
    return view
