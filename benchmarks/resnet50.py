"""ResNet-50 (light, seeded weights, f32, edge-4t): simulation against onnxruntime in one run, compile time, memory.

    python benchmarks/resnet50.py [--runs 15] [--json FILE]

CPU time of one thread. onnxruntime and the simulator take turns, so that both meet the same load of the machine,
and the median of each counts. Memory is that of a process that compiles and runs and does nothing else. Settings that
choose other BLAS kernels than the processor's own are removed from the environment first: they slow NumPy down
and leave onnxruntime alone. Below the figures: what the simulator's time went to, by instruction.
"""

from __future__ import annotations

import os

# Both before NumPy is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
for _variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_variable, None)

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import process_time

import npucc
import onnx
from npucc.cli.arguments import resolve_model
from npucc.frontend.weights import seeded_weights
from npucc.inputs import seeded_inputs
from npucc.reference import run_session, session_for
from npucc.types import Array
from npucc.validation import load_proto
from npuisa.program import Program, RegionKind
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.sequence import Issued
from npusim.timing import TimingSimulator

MODEL, TARGET, SEED = "light-resnet50", "edge-4t", 1


@dataclass(frozen=True)
class Figure:
    """One measured figure and the limit it must keep."""

    name: str
    value: float
    unit: str
    limit: float = float("inf")

    @property
    def kept(self) -> bool:
        """Whether the limit holds."""
        return self.value <= self.limit


def model() -> onnx.ModelProto:
    """The model with seeded random weights."""
    return seeded_weights(load_proto(resolve_model(MODEL).path), SEED)


def medians(runs: int, *calls: Callable[[], object]) -> list[float]:
    """Median CPU seconds of each call; the calls take turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(runs):
        for call, spent in zip(calls, seconds):
            start = process_time()
            call()
            spent.append(process_time() - start)
    return [median(spent) for spent in seconds]


def weight_bytes(program: Program) -> int:
    """Bytes of the program's constants."""
    return sum(region.size for region in program.regions if region.kind is RegionKind.CONSTANT)


def measure(runs: int) -> tuple[list[Figure], dict[str, tuple[int, float]]]:
    """All figures, and executions and seconds by mnemonic."""
    peak = peak_bytes_of_a_run()  # first: a child starts with its parent's peak
    proto, target = model(), Target.load(TARGET)
    start = process_time()
    program = npucc.compile(proto, target)
    compiled = process_time() - start
    inputs = seeded_inputs(program.inputs, SEED)
    session = session_for(proto)
    run_session(session, inputs)
    # A session of onnxruntime is prepared once, so the simulators are, too; a first run is given beside it.
    functional, cycles = FunctionalSimulator(program, target), TimingSimulator(program, target)
    functional.run(inputs)
    reference, values, model_time, first, timing = medians(
        runs,
        lambda: run_session(session, inputs),
        lambda: functional.run(inputs),
        cycles.run,
        lambda: npucc.simulate(program, inputs, target=target),
        lambda: npucc.simulate(program, target=target),
    )
    breakdown = seconds_by_mnemonic(program, functional, inputs)
    weights = weight_bytes(program)
    figures = [
        Figure("onnxruntime, one thread", reference, "s"),
        Figure("values", values, "s"),
        Figure("cycles", model_time, "s"),
        Figure("values and cycles / onnxruntime", (values + model_time) / reference, "x", 5.0),
        Figure("values and cycles, first run of a program", first, "s"),
        Figure("cycles only, first run of a program", timing, "s", 1.0),
        Figure("compile", compiled, "s", 15.0),
        Figure("peak memory of compile and run", peak / 1e6, "MB", (4 * weights + 500e6) / 1e6),
        Figure("weights", weights / 1e6, "MB"),
    ]
    return figures, breakdown


def seconds_by_mnemonic(
    program: Program, simulator: FunctionalSimulator, inputs: Mapping[str, Array]
) -> dict[str, tuple[int, float]]:
    """Executions and CPU seconds of the functional simulator by mnemonic, from tap to tap.

    A tap runs after its instruction; the time since the last one is the instruction's own and the loop's around it.
    """
    spent: dict[str, tuple[int, float]] = {}
    last = process_time()

    def tap(issued: Issued, memory: object) -> None:
        nonlocal last
        now = process_time()
        name = program.instructions[issued.pc].mnemonic
        times, seconds = spent.get(name, (0, 0.0))
        spent[name] = times + 1, seconds + now - last
        last = process_time()

    simulator.run(dict(inputs), taps=dict.fromkeys(range(len(program.instructions)), tap))
    return dict(sorted(spent.items(), key=lambda item: -item[1][1]))


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
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        compile_and_run()
        return 0
    figures, breakdown = measure(arguments.runs)
    for figure in figures:
        limit = (
            "" if figure.limit == float("inf") else f"  limit {figure.limit:g}: {'kept' if figure.kept else 'BROKEN'}"
        )
        print(f"{figure.name:<40} {figure.value:10.3f} {figure.unit:<3}{limit}")
    print("\nvalues, by instruction (with the clock around each):")
    for name, (times, seconds) in breakdown.items():
        print(f"  {name:<12} {times:>7,} x {seconds / times * 1e6:8.1f} us = {seconds * 1e3:7.1f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
