"""ResNet-50 (light, seeded weights, f32, edge-4t): simulation against onnxruntime in one run, compile time, memory.

    python benchmarks/resnet50.py [--runs 5] [--json FILE]

CPU time of one thread. The best of several runs counts: on a shared machine, noise only adds. Memory is that of a
process that compiles and runs and does nothing else.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy is imported

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

import npucc
import onnx
from npucc.cli.arguments import resolve_model
from npucc.frontend.weights import seeded_weights
from npucc.inputs import seeded_inputs
from npucc.reference import run_session, session_for
from npucc.validation import load_proto
from npuisa.program import Program, RegionKind
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.timing import simulate_timing

MODEL, TARGET, SEED = "light-resnet50", "edge-4t", 1


@dataclass(frozen=True)
class Figure:
    """One measured figure and the limit it must keep."""

    name: str
    value: float
    unit: str
    limit: float

    @property
    def kept(self) -> bool:
        """Whether the limit holds."""
        return self.value <= self.limit


def model() -> onnx.ModelProto:
    """The model with seeded random weights."""
    return seeded_weights(load_proto(resolve_model(MODEL).path), SEED)


def best(run: Callable[[], object], runs: int) -> float:
    """Least CPU seconds of `runs` calls."""
    seconds: list[float] = []
    for _ in range(runs):
        start = process_time()
        run()
        seconds.append(process_time() - start)
    return min(seconds)


def weight_bytes(program: Program) -> int:
    """Bytes of the program's constants."""
    return sum(region.size for region in program.regions if region.kind is RegionKind.CONSTANT)


def measure(runs: int) -> list[Figure]:
    """All figures."""
    proto, target = model(), Target.load(TARGET)
    start = process_time()
    program = npucc.compile(proto, target)
    compiled = process_time() - start
    inputs = seeded_inputs(program.inputs, SEED)
    session = session_for(proto)
    run_session(session, inputs)
    reference = best(lambda: run_session(session, inputs), runs)
    # A session of onnxruntime is prepared once, so the simulator is, too; the first run is given beside it.
    first = best(lambda: npucc.simulate(program, inputs, target=target), runs)
    simulator = FunctionalSimulator(program, target)

    def values_and_cycles() -> None:
        simulator.run(inputs)
        simulate_timing(program, target)

    simulated = best(values_and_cycles, runs)
    timing = best(lambda: npucc.simulate(program, target=target), runs)
    peak = peak_bytes_of_a_run()
    weights = weight_bytes(program)
    return [
        Figure("onnxruntime, one thread", reference, "s", float("inf")),
        Figure("values and cycles, preparation included", first, "s", float("inf")),
        Figure("values and cycles", simulated, "s", float("inf")),
        Figure("values and cycles / onnxruntime", simulated / reference, "x", 5.0),
        Figure("cycles only", timing, "s", 1.0),
        Figure("compile", compiled, "s", 15.0),
        Figure("peak memory of compile and run", peak / 1e6, "MB", (4 * weights + 500e6) / 1e6),
        Figure("weights", weights / 1e6, "MB", float("inf")),
    ]


def peak_bytes_of_a_run() -> int:
    """Peak resident bytes of a fresh process that compiles and runs the model once."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--child"], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def compile_and_run() -> None:
    """What the child process does; prints its peak resident bytes."""
    target = Target.load(TARGET)
    program = npucc.compile(model(), target)
    npucc.simulate(program, seeded_inputs(program.inputs, SEED), target=target)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> int:
    """Exit code 1 when a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        compile_and_run()
        return 0
    figures = measure(arguments.runs)
    for figure in figures:
        limit = (
            "" if figure.limit == float("inf") else f"  limit {figure.limit:g}: {'kept' if figure.kept else 'BROKEN'}"
        )
        print(f"{figure.name:<40} {figure.value:10.3f} {figure.unit:<3}{limit}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
