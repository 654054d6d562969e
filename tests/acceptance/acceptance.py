"""Everything that must hold for a model on a target, checked from ONNX file to cycles.

    python tests/acceptance/acceptance.py [MODEL ...] [-t TARGET] [--precision f16] [--weights given|seeded] [--sizes]

Without models: the acceptance list. `--sizes`: also with every other size of the symbolic dims that the table of
published models lists. A row per model; exit code 1 when a check fails, with the reasons below the table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time

import numpy as np
from npucc.cli.arguments import resolve_model
from npucc.cli.console import table_lines
from npucc.driver import compile, make_context, simulate, start
from npucc.frontend import ModelSource
from npucc.frontend.models import published_models
from npucc.frontend.weights import seeded_weights
from npucc.inputs import InputKind, input_kind, seeded_inputs
from npucc.ir_files import parse_ir
from npucc.options import Options
from npucc.pipeline import Step, pipeline
from npucc.quantized_rule import is_quantized, judge_quantized
from npucc.reference import run_reference
from npucc.results import Array
from npucc.text_passes import module_text
from npucc.validation import chosen_tolerance, judge, load_proto
from npuisa.assembly import assemble_file
from npuisa.disassembly import disassemble_to
from npuisa.errors import NpuError
from npuisa.program import Program
from npuisa.program_file import load, save
from npuisa.target import Target
from npusim.hazards import check_hazards
from onnx import ModelProto
from xdsl.dialects.builtin import ModuleOp

MAX_OPS = 12_000
REAL_MODELS = (
    "face-detection-yunet-2023mar",
    "mobilenetv2-7",
    "ch-ppocr-mobile-v2.0-cls-infer",
    "ch-pp-ocrv4-det-infer",
    "ch-pp-ocrv4-rec-infer",
    "standard-v3-3-model",
)
QUANTIZED_MODELS = (
    "resnet-50-arc-qint8",
    "smart-turn-v3.2-cpu",
    "minilm-l6-model-quantized",
    "onnx-model-quantized",
)
HEADER = ("model", "weights", "compile s", "simulate s", "max ops", "cycles", "efficiency", "worst SQNR dB", "")


@dataclass
class Verdict:
    """What was found for one model."""

    model: str
    weights: str
    problems: list[str] = field(default_factory=list[str])
    compile_seconds: float = 0.0
    simulate_seconds: float = 0.0
    most_ops: int = 0
    cycles: int = 0
    efficiency: float = 0.0
    worst_sqnr: float | None = None

    def row(self) -> tuple[str, ...]:
        """Cells under `HEADER`."""
        return (
            self.model,
            self.weights,
            f"{self.compile_seconds:.1f}",
            f"{self.simulate_seconds:.1f}",
            f"{self.most_ops:,}",
            f"{self.cycles:,}",
            f"{self.efficiency:.1%}",
            "exact" if self.worst_sqnr is None else f"{self.worst_sqnr:.1f}",
            "ok" if not self.problems else "FAILED",
        )


def examine(name: str, weights: str, target: Target, options: Options, kind: str = "") -> Verdict:
    """Run every check on one model; `weights`: `given`, or `seeded` for models whose weights are mere constants.

    Its symbolic dims have the sizes of `options.dims`, if there are any.
    """
    sizes = ", ".join(f"{symbol}={size}" for symbol, size in options.dims.items())
    verdict = Verdict(f"{name} ({sizes})" if sizes else name, weights)
    file = resolve_model(name)
    source: ModelSource = file.path if weights == "given" else seeded_weights(load_proto(file.path), 1)
    try:
        values = {name: np.asarray(value, np.int64) for name, value in file.values.items()}
        program = _compile(source, {} if sizes else file.shapes, values, target, options, verdict)
        verdict.problems += _round_trip(program)
        verdict.problems += [f"hazard: {hazard}" for hazard in check_hazards(program, target, limit=3)]
        _run(source, program, values, target, options, verdict, input_kind(kind or file.inputs_kind))
    except NpuError as error:
        verdict.problems.append(str(error))
    return verdict


def _compile(
    source: ModelSource,
    shapes: dict[str, tuple[int, ...]],
    values: dict[str, Array],
    target: Target,
    options: Options,
    verdict: Verdict,
) -> Program:
    """Compile for these values of some inputs; at the end of each level the text must parse back to the same module."""
    begin = process_time()
    compilation = start(source, target, options, {name: s for name, s in shapes.items() if name not in values}, values)
    steps = pipeline(options)
    spent_on_text = 0.0

    def observe(step: Step, module: ModuleOp) -> None:
        nonlocal spent_on_text
        verdict.most_ops = max(verdict.most_ops, sum(1 for _ in module.walk()))
        position = steps.index(step)
        if position + 1 == len(steps) or steps[position + 1].level is not step.level:
            before = process_time()
            text = module_text(module)
            again = module_text(parse_ir(text, make_context(target), step.level.value))
            if again != text:
                verdict.problems.append(f"{step.level.value} text does not parse back to the same module")
            spent_on_text += process_time() - before

    compilation.run(steps, observe)
    program = compilation.emit()
    verdict.compile_seconds = process_time() - begin - spent_on_text
    if verdict.most_ops > MAX_OPS:
        verdict.problems.append(f"{verdict.most_ops} ops in a module; the limit is {MAX_OPS}")
    return program


def _round_trip(program: Program) -> Iterator[str]:
    """Program file -> assembly -> program file: the same bytes."""
    with tempfile.TemporaryDirectory(prefix="npucc-acceptance-") as name:
        folder = Path(name)
        save(program, folder / "a.npu")
        disassemble_to(load(folder / "a.npu"), folder / "a.npuasm")
        save(assemble_file(folder / "a.npuasm"), folder / "b.npu")
        if (folder / "a.npu").read_bytes() != (folder / "b.npu").read_bytes():
            yield "program -> assembly -> program changed the bytes"


def _run(
    source: ModelSource,
    program: Program,
    values: dict[str, Array],
    target: Target,
    options: Options,
    verdict: Verdict,
    kind: InputKind,
) -> None:
    """Values against onnxruntime, and the sums of the cycle report."""
    inputs = seeded_inputs(program.inputs, 0, kind)
    begin = process_time()
    result = simulate(program, inputs, target=target)
    verdict.simulate_seconds = process_time() - begin
    inputs = {**inputs, **values}
    reference, proto = run_reference(source, inputs), load_proto(source)
    tolerance = chosen_tolerance(program, None, None)
    compared = [
        judge(source, inputs, name, array, reference[name], tolerance) for name, array in result.outputs.items()
    ]
    if is_quantized(proto):

        def run(watched: ModelProto) -> dict[str, Array]:
            shapes = {name: array.shape for name, array in inputs.items()}
            return simulate(compile(watched, target, options, shapes=shapes), inputs, target=target).outputs

        judge_quantized(proto, inputs, compared, result.outputs, reference, run, tolerance)
    for tensor in compared:
        if tensor.passed is False:
            verdict.problems.append(
                f"{tensor.name}: {tensor.mismatches} mismatches, SQNR {tensor.sqnr_db} dB ({tolerance})"
            )
        if tensor.sqnr_db is not None:
            verdict.worst_sqnr = min(tensor.sqnr_db, verdict.worst_sqnr or tensor.sqnr_db)
    report = result.report
    assert report is not None
    verdict.cycles, verdict.efficiency = report.cycles, report.efficiency
    if report.cycles < report.bound_cycles:
        verdict.problems.append(f"{report.cycles} cycles are below the bound of {report.bound_cycles}")
    for name, engine in report.engines.items():
        if sum(engine.causes.values()) != report.cycles:
            verdict.problems.append(f"the causes of {name} do not sum to {report.cycles}")


def work_list(models: list[str], weights: str) -> list[tuple[str, str]]:
    """(model, weights) in order; the light models of the list are examined with both kinds of weights."""
    light = [name for name in published_models() if name.startswith("light-")]
    chosen = models or ["digits", *light, *REAL_MODELS, *QUANTIZED_MODELS]
    kinds = {True: (weights,) if weights else ("given", "seeded"), False: ("given",)}
    return [(name, kind) for name in chosen for kind in kinds[name.startswith("light-")]]


def sizes_of(name: str) -> list[dict[str, int]]:
    """The sizes of symbolic dims that a published model is run with; {}: its usual shapes."""
    known = published_models()
    return [{}, *(known[name].sizes if name in known else [])]


def main() -> int:
    """Print the table and the problems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("-t", "--target", default="edge-4t")
    parser.add_argument("--precision", default="")
    parser.add_argument("--weights", choices=("given", "seeded"), default="")
    parser.add_argument("--inputs-kind", default="")
    parser.add_argument("--sizes", action="store_true")
    arguments = parser.parse_args()
    target, options = Target.load(arguments.target), Options(precision=arguments.precision)
    verdicts: list[Verdict] = []
    for name, weights in work_list(arguments.models, arguments.weights):
        for dims in sizes_of(name) if arguments.sizes else [{}]:
            verdicts.append(examine(name, weights, target, replace(options, dims=dims), arguments.inputs_kind))
            print(f"{verdicts[-1].row()}", file=sys.stderr)
    print("\n".join(table_lines(HEADER, [verdict.row() for verdict in verdicts])))
    failed = [verdict for verdict in verdicts if verdict.problems]
    for verdict in failed:
        print(f"{verdict.model} ({verdict.weights}):", *verdict.problems, sep="\n  ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
