"""A table over many models: compile and simulation time, cycles, efficiency.

    python benchmarks/models.py [MODEL ...] [-t TARGET] [--precision f16]

Without models: the light models of the onnx package (seeded weights) and the digits classifier.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy is imported

import argparse
from time import process_time

import npucc
from npucc.cli.arguments import resolve_model
from npucc.cli.console import table_lines
from npucc.frontend.models import published_models
from npucc.frontend.weights import seeded_weights
from npucc.inputs import seeded_inputs
from npucc.options import Options
from npucc.validation import load_proto
from npuisa.target import Target

HEADER = ("model", "compile s", "simulate s", "ops", "instructions", "cycles", "bound", "efficiency", "DRAM MB")


def row(name: str, target: Target, options: Options) -> tuple[str, ...]:
    """One model."""
    file = resolve_model(name)
    source = seeded_weights(load_proto(file.path), 1) if name.startswith("light-") else file.path
    most_ops = 0

    def count(_: object, module: object) -> None:
        nonlocal most_ops
        most_ops = max(most_ops, sum(1 for _ in module.walk()))  # pyright: ignore

    start = process_time()
    program = npucc.compile(source, target, options, shapes=file.shapes, observe=count)
    compiled = process_time()
    report = npucc.simulate(program, seeded_inputs(program.inputs, 0), target=target).report
    simulated = process_time()
    assert report is not None
    moved = report.dram_bytes.read + report.dram_bytes.written
    return (
        name,
        f"{compiled - start:.2f}",
        f"{simulated - compiled:.2f}",
        f"{most_ops:,}",
        f"{len(program.instructions):,}",
        f"{report.cycles:,}",
        f"{report.bound_cycles:,}",
        f"{report.efficiency:.1%}",
        f"{moved / 1e6:.1f}",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("-t", "--target", default="edge-4t")
    parser.add_argument("--precision", default="")
    arguments = parser.parse_args()
    light = [name for name in published_models() if name.startswith("light-")]
    target, options = Target.load(arguments.target), Options(precision=arguments.precision)
    rows = [row(name, target, options) for name in arguments.models or ["digits", *light]]
    print("\n".join(table_lines(HEADER, rows)))


if __name__ == "__main__":
    main()
