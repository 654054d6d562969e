"""What happened in a simulation, as a Perfetto trace file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from npuisa.errors import USAGE, NpuError
from npuisa.program import Program
from npusim.timing_result import TimingResult
from npusim.trace import write_trace


@dataclass(frozen=True)
class Trace:
    """A run whose timeline was kept: one track per engine, counters for SRAM and DRAM, names of ONNX nodes."""

    program: Program = field(repr=False)
    timing: TimingResult = field(repr=False)

    def save(self, path: str | Path) -> None:
        """Write a file for ui.perfetto.dev."""
        try:
            write_trace(self.program, self.timing, path)
        except OSError as error:
            raise NpuError(USAGE, "cannot write", where=str(path), found=str(error), remedy="check the path") from None
