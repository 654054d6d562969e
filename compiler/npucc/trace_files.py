"""Write what happened in a simulation as a Perfetto trace file."""

from __future__ import annotations

from pathlib import Path

from npuisa.errors import USAGE, NpuError
from npuisa.program import Program
from npusim.trace import write_trace

from npucc.driver import Result


def write_trace_file(program: Program, result: Result, path: Path) -> None:
    """One track per engine, counters for SRAM and DRAM. The simulation must have kept its timeline."""
    if result.timing is None or not result.timing.timeline:
        raise ValueError("simulate with timeline=True to trace")
    try:
        write_trace(program, result.timing, path)
    except OSError as error:
        raise NpuError(USAGE, "cannot write", where=str(path), found=str(error), remedy="check the path") from None
