"""`npucc profile`: where each cycle went, how far the bound is, layer by layer."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from npuisa.errors import NpuError

from npucc.cli.arguments import (
    DEFAULT_TARGET,
    AddPass,
    Dims,
    Inputs,
    Model,
    OptLevel,
    Precision,
    TargetName,
    TimeLimit,
    make_options,
    resolve_model,
)
from npucc.cli.console import CONSOLE, verb, write_text
from npucc.cli.run import Trace, obtain_program, print_cycles
from npucc.cli.segments import Request, execute_segments

if TYPE_CHECKING:
    from npuisa.target import Target

    from npucc.results import RunResult

Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table of layers as CSV.")]
Top = Annotated[int, typer.Option("--top", min=0, help="Layers to print, slowest first; 0: all, in program order.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("profile", help="Where each cycle went: engines, causes, layers, bound, hints.")(verb(profile))


def profile(
    model: Model,
    target: TargetName = DEFAULT_TARGET,
    inputs: Inputs = None,
    trace: Trace = None,
    csv_file: Csv = None,
    top: Top = 20,
    opt_level: OptLevel = 2,
    precision: Precision = "",
    dim: Dims = [],  # noqa: B006
    time_limit: TimeLimit = None,
    add_pass: AddPass = [],  # noqa: B006
) -> None:
    """Cycles only: values are not computed, unless shapes depend on them."""
    from npucc.driver import simulate
    from npucc.inputs import load_npz
    from npucc.run_results import run_result, run_result_of

    given = load_npz(inputs) if inputs is not None else None
    options = make_options(opt_level, precision, dim, time_limit, add_pass)
    file = resolve_model(model)
    try:
        program, machine, seconds = obtain_program(file, target, options, given)
    except NpuError as error:
        request = Request(file, target, options, given)
        execution, executed = execute_segments(error, request, {"--trace": trace is not None})
        typed, machine = run_result_of(execution, executed), execution.target
    else:
        result = simulate(program, target=machine, timeline=trace is not None)
        typed = run_result(program, result, machine, seconds)
        if trace is not None and result.trace is not None:
            result.trace.save(trace)
    if csv_file is not None:
        write_text(csv_file, layer_csv(typed))
    CONSOLE.result(typed)
    print_profile(typed, machine, top)


def print_profile(run: RunResult, target: Target, top: int) -> None:
    """The whole report."""
    from npucc.hints import hints

    print_cycles(run)
    CONSOLE.text()
    _print_engines(run)
    CONSOLE.text()
    _print_roofline(run, target)
    CONSOLE.text()
    _print_layers(run, top)
    CONSOLE.text()
    for hint in hints(run, target):
        CONSOLE.text(f"hint: {hint}")


def _print_engines(run: RunResult) -> None:
    """Rows are causes, columns engines; each column sums to the total."""
    from npusim.timing_result import CAUSES

    engines = [name for name, engine in run.engines.items() if engine.instructions]
    found = dict.fromkeys(cause for name in engines for cause in run.engines[name].causes)
    waits = sorted(cause for cause in found if cause not in CAUSES)
    causes = [*(cause for cause in CAUSES if cause in found and cause != "idle"), *waits, "idle"]
    rows = [[cause, *(_share(run.engines[e].causes.get(cause, 0), run.cycles) for e in engines)] for cause in causes]
    rows.append(["instructions", *(f"{run.engines[name].instructions:,}" for name in engines)])
    rows.append(["busy cycles", *(f"{run.engines[name].busy_cycles:,}" for name in engines)])
    CONSOLE.table(["where the cycles went", *engines], rows)


def _share(cycles: int, total: int) -> str:
    return f"{cycles / total:.1%}" if cycles and total else "-"


def _print_roofline(run: RunResult, target: Target) -> None:
    traffic = run.dram_bytes.read + run.dram_bytes.written
    if run.macs and traffic:
        peak = target.macs_per_cycle(run.precision)
        ridge = peak / target.dram_bytes_per_cycle
        side = "compute" if run.macs / traffic > ridge else "memory"
        CONSOLE.text(
            f"roofline: {run.macs:,} MACs, {run.macs / traffic:.1f} MACs per DRAM byte; "
            f"the ridge is at {ridge:.1f}: {side} side; {run.macs / run.cycles:.1f} of {peak:g} MACs per cycle"
        )
    CONSOLE.text(f"distance to the bound: {run.cycles - run.bound_cycles:,} cycles ({run.bound_by} at its peak rate)")


def _print_layers(run: RunResult, top: int) -> None:
    layers = sorted(run.layers, key=lambda layer: -layer.cycles)[:top] if top else run.layers
    rows = [
        (
            layer.name,
            f"{layer.cycles:,}",
            _share(layer.cycles, run.cycles),
            layer.critical_engine,
            f"{max(layer.busy_cycles.values(), default=0):,}",
            ", ".join(layer.nodes[:3]) + (f" +{len(layer.nodes) - 3}" if len(layer.nodes) > 3 else ""),
        )
        for layer in layers
    ]
    CONSOLE.table(("layer", "cycles", "share", "engine", "its work", "ONNX nodes"), rows)
    if len(layers) < len(run.layers):
        CONSOLE.text(f"({len(run.layers) - len(layers)} more; --top 0 shows all)")


def layer_csv(run: RunResult) -> str:
    """One row per group."""
    engines = list(run.engines)
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["group", "name", "first_cycle", "last_cycle", "cycles", *(f"busy_{e}" for e in engines), "nodes"])
    for layer in run.layers:
        busy = [layer.busy_cycles.get(engine, 0) for engine in engines]
        cells = [layer.group, layer.name, layer.first_cycle, layer.last_cycle, layer.cycles]
        writer.writerow([*cells, *busy, " ".join(layer.nodes)])
    return stream.getvalue()
