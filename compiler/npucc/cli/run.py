"""`npucc run`: simulate a model or a program, values and cycles."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from npuisa.errors import USAGE, NpuError

from npucc.cli.arguments import (
    DEFAULT_TARGET,
    AddPass,
    Dims,
    Inputs,
    Model,
    OptLevel,
    Precision,
    Seed,
    TargetName,
    TimeLimit,
    input_shapes,
    load_target,
    make_options,
    resolve_model,
)
from npucc.cli.console import CONSOLE, verb
from npucc.cli.segments import Request, execute_segments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npuisa.program import Program
    from npuisa.target import Target

    from npucc.cli.arguments import ModelFile
    from npucc.options import Options
    from npucc.results import Array, RunResult

SaveOutputs = Annotated[Path | None, typer.Option("--save-outputs", metavar="FILE", help="Write the outputs as .npz.")]
TimingOnly = Annotated[bool, typer.Option("--timing-only", help="Cycles without values: touches no data.")]
Trace = Annotated[Path | None, typer.Option("--trace", metavar="FILE", help="Write a Perfetto trace (.pftrace).")]
Tap = Annotated[
    list[str], typer.Option("--tap", metavar="NODE", help="Also output the results of this ONNX node; repeatable.")
]
Check = Annotated[
    bool, typer.Option("--check-hazards", help="Also prove that the overlap of engines cannot change a value.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("run", help="Simulate a model (.onnx, .mlir) or a program (.npu): values and cycles.")(verb(run))


def run(
    model: Model,
    target: TargetName = DEFAULT_TARGET,
    inputs: Inputs = None,
    save_outputs: SaveOutputs = None,
    timing_only: TimingOnly = False,
    trace: Trace = None,
    tap: Tap = [],  # noqa: B006
    check_hazards: Check = False,
    opt_level: OptLevel = 2,
    precision: Precision = "",
    dim: Dims = [],  # noqa: B006
    seed: Seed = 0,
    time_limit: TimeLimit = None,
    add_pass: AddPass = [],  # noqa: B006
) -> None:
    """Compile if needed, simulate, print outputs and cycles."""
    from npusim.hazards import require_no_hazards

    from npucc.driver import simulate
    from npucc.inputs import load_npz, seeded_inputs
    from npucc.run_results import flattened, run_result, run_result_of
    from npucc.validation import require_hazard_free

    if timing_only and save_outputs is not None:
        raise NpuError(USAGE, "--timing-only computes no outputs", remedy="leave out --save-outputs")
    given = load_npz(inputs) if inputs is not None else None
    options = make_options(opt_level, precision, dim, time_limit, add_pass)
    request = Request(resolve_model(model), target, options, given, seed, tuple(tap))
    try:
        program, machine, seconds = obtain_program(request.file, target, options, given, tap)
    except NpuError as error:
        execution, executed = execute_segments(
            error, request, {"--timing-only": timing_only, "--trace": trace is not None}
        )
        if check_hazards:
            require_hazard_free(executed, execution.target)
        _report(run_result_of(execution, executed), flattened(executed.outputs), save_outputs)
        return
    drawn = None if given is not None else seeded_inputs(program.inputs, seed, fixed=request.file.values)
    values = None if timing_only else given or drawn
    result = simulate(program, values, target=machine, timeline=trace is not None)
    if check_hazards:
        require_no_hazards(program, machine, result.loads)
    if trace is not None and result.trace is not None:
        result.trace.save(trace)
    _report(run_result(program, result, machine, seconds), result.outputs, save_outputs)


def _report(run: RunResult, outputs: Mapping[str, Array], save_outputs: Path | None) -> None:
    """Write and print what the run gave; strings are stored as NumPy's own, which need no pickle."""
    if save_outputs is not None:
        from npucc.inputs import save_npz

        stored = {name: array.astype(str) if array.dtype == object else array for name, array in outputs.items()}
        save_npz(save_outputs, stored)
    CONSOLE.result(run)
    print_run(run, outputs)


def obtain_program(
    model: ModelFile,
    target_name: str,
    options: Options,
    given: Mapping[str, Array] | None = None,
    taps: list[str] | None = None,
) -> tuple[Program, Target, float]:
    """(program, target, seconds of compilation): a program file is loaded, anything else compiled.

    A program file knows its target; `target_name` must not contradict it unless it is the default.
    """
    path = model.path
    from npucc.options import Options

    if path.suffix == ".npu":
        if options != Options():
            raise NpuError(
                USAGE, "options of the compiler have no effect on a program", where=str(path), found=str(options),
                remedy="leave them out, or give the model",
            )  # fmt: skip
        return _load_program(path, target_name, taps)
    from npucc.ir_files import IR_SUFFIX, start_from
    from npucc.validation import with_node_outputs

    target, begin = load_target(target_name), perf_counter()
    if path.suffix == IR_SUFFIX:
        if taps:
            raise NpuError(USAGE, "--tap needs the model", where=str(path), remedy="give the .onnx file instead")
        compilation, steps = start_from(path, target, options)
        compilation.run(steps)
        return compilation.emit(), target, perf_counter() - begin
    from npucc.driver import compile

    shapes = input_shapes(model, given, options)
    source = with_node_outputs(path, taps) if taps else path
    return compile(source, target, options, shapes=shapes), target, perf_counter() - begin


def _load_program(path: Path, target_name: str, taps: list[str] | None) -> tuple[Program, Target, float]:
    from npuisa.program_file import load

    program = load(path)
    target = load_target(program.target if target_name == DEFAULT_TARGET else target_name)
    if target.name != program.target:
        raise NpuError(
            USAGE, "the program was compiled for another target", where=str(path), found=program.target,
            remedy=f"leave out -t, or compile the model for {target_name}",
        )  # fmt: skip
    if taps:
        raise NpuError(
            USAGE, "--tap needs the model", where=str(path), remedy="give the .onnx file instead of the program"
        )
    return program, target, 0.0


def print_run(run: RunResult, outputs: Mapping[str, Array]) -> None:
    """Outputs with their range, then the cycles in brief."""
    for output in run.outputs:
        text = f"{output.name}: {output.dtype}{output.shape}"
        if output.name in outputs and outputs[output.name].size and outputs[output.name].dtype != object:
            values = outputs[output.name].astype("float64")
            text += f"  min {values.min():.6g}  mean {values.mean():.6g}  max {values.max():.6g}"
        CONSOLE.text(text)
    print_cycles(run)


def print_cycles(run: RunResult) -> None:
    """One paragraph: cycles, bound, time, traffic."""
    ms = run.seconds_at_clock * 1e3
    CONSOLE.text(f"{run.cycles:,} cycles on {run.target} ({run.precision}) = {ms:.4g} ms at its clock")
    CONSOLE.text(f"bound {run.bound_cycles:,} cycles ({run.bound_by}): efficiency {run.efficiency:.1%}")
    dram = run.dram_bytes
    CONSOLE.text(
        f"DRAM read {dram.read:,} B, written {dram.written:,} B (compulsory {dram.compulsory:,} B); "
        f"SRAM {run.sram_peak_bytes:,} B; {run.instructions:,} instructions"
    )
    if run.segments:
        programs = [segment for segment in run.segments if segment.where == "npu"]
        runs = sum(segment.runs for segment in programs)
        hosts = ", ".join(run.host_nodes) or "none"
        CONSOLE.text(f"in segments: {len(programs)} programs, {runs} runs; nodes on the host: {hosts}")
    for note in run.notes:
        CONSOLE.text(f"note: {note}")
