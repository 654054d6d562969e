"""The figures that tests/golden/metrics.json holds, so that a change of a schedule is seen in review.

python tests/golden/update.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import npucc
from npucc.cli.arguments import resolve_model
from npucc.options import Options
from npuisa.target import Target

FILE = Path(__file__).with_name("metrics.json")
Metrics = dict[str, int]


@dataclass(frozen=True)
class GoldenCase:
    """A model, a target and a precision ("": as the model says)."""

    model: str
    target: str = "edge-4t"
    precision: str = ""

    @property
    def name(self) -> str:
        """Key in the file."""
        return f"{self.model} {self.target} {self.precision or 'f32'}"

    def measure(self) -> Metrics:
        """Compile and run the cycle model (no values)."""
        file, target = resolve_model(self.model), Target.load(self.target)
        program = npucc.compile(file.path, target, Options(precision=self.precision), shapes=file.shapes)
        report = npucc.simulate(program, target=target).report
        assert report is not None
        return {
            "cycles": report.cycles,
            "bound_cycles": report.bound_cycles,
            "dram_read": report.dram_bytes.read,
            "dram_written": report.dram_bytes.written,
            "sram_peak_bytes": report.sram_peak_bytes,
            "instructions": len(program.instructions),
            "executed": report.instructions,
        }


CASES = (
    GoldenCase("digits"),
    GoldenCase("digits", precision="f16"),
    GoldenCase("light-squeezenet"),
    GoldenCase("light-squeezenet", precision="f16"),
    GoldenCase("light-squeezenet", "tpu-v4i-class", "f16"),
    GoldenCase("light-resnet50", precision="f16"),
    GoldenCase("light-shufflenet"),
)


def recorded() -> dict[str, Metrics]:
    """What the file says."""
    return json.loads(FILE.read_text())


def differences(name: str, expected: Metrics, found: Metrics) -> Iterator[str]:
    """A line per figure that changed, with the change in percent."""
    for key in sorted(expected.keys() | found.keys()):
        old, new = expected.get(key, 0), found.get(key, 0)
        if old != new:
            percent = f"{(new - old) / old:+.1%}" if old else "new"
            yield f"{name}: {key} {old:,} -> {new:,} ({percent})"
