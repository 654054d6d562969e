"""What a user may choose about a compilation (the machine is chosen by the target)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from npuisa.errors import USAGE, NpuError

PRECISIONS = ("", "f32", "f16", "bf16")


@dataclass(frozen=True)
class Options:
    """Compiler options.

    `opt_level` 0: no fusion, no residency; 1: fusion; 2: fusion, search of the schedule and residency; 3: a wider
    search. `precision`: floating type of the computation, "" as the model says. `dims`: sizes of symbolic
    dimensions. `time_limit`: seconds after which the search takes the best schedule found so far. `added_passes`:
    pairs (A, spec); the pass `spec` (as `npucc opt -p` takes it) runs after pass A of the pipeline.
    """

    opt_level: int = 2
    precision: str = ""
    dims: Mapping[str, int] = field(default_factory=dict[str, int])
    time_limit: float | None = None
    added_passes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.opt_level not in range(4):
            raise NpuError(USAGE, "no such optimisation level", found=str(self.opt_level), remedy="use 0, 1, 2 or 3")
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS[1:])
            raise NpuError(USAGE, "no such precision", found=self.precision, remedy=f"use one of {known}")
        for name, size in self.dims.items():
            if size < 1:
                raise NpuError(
                    USAGE, f"dimension {name} must be at least 1", found=str(size), remedy="give a size >= 1"
                )
