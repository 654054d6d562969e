"""`npucc debug bisect`: which pass made a result wrong."""

from __future__ import annotations

import typer
from npuisa.errors import ExitCode

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
    input_shapes,
    load_target,
    make_options,
    resolve_model,
)
from npucc.cli.console import CONSOLE, verb


def register(app: typer.Typer) -> None:
    """Add the verb and its subcommands."""
    group = typer.Typer(help="Find the cause of a wrong result.", no_args_is_help=True)
    group.command("bisect", help="Run every level after every pass; name the first pass whose result is wrong.")(
        verb(bisect)
    )
    app.add_typer(group, name="debug")


def bisect(
    model: Model,
    target: TargetName = DEFAULT_TARGET,
    inputs: Inputs = None,
    opt_level: OptLevel = 2,
    precision: Precision = "",
    dim: Dims = [],  # noqa: B006
    seed: Seed = 0,
    add_pass: AddPass = [],  # noqa: B006
) -> None:
    """Bisect and print a line per executed level; exit code 5 when a pass is guilty."""
    from npucc.bisect import bisect as find_guilty_pass
    from npucc.inputs import load_npz
    from npucc.pipeline import pipeline

    options = make_options(opt_level, precision, dim, added=add_pass)
    file = resolve_model(model)
    given = load_npz(inputs) if inputs is not None else None
    with CONSOLE.progress_bar("bisecting", len(pipeline(options)) + 1) as advance:
        result = find_guilty_pass(
            file.path,
            load_target(target),
            options,
            inputs=given,
            shapes=input_shapes(file, given, options),
            seed=seed,
            advance=advance,
        )
    CONSOLE.result(result)
    rows = [
        (
            step.after,
            step.level,
            step.worst_output or step.error.splitlines()[0][:60],
            "exact" if step.sqnr_db is None and step.passed else f"{step.sqnr_db or 0.0:.1f}",
            f"{step.max_abs_err:.3g}",
            "ok" if step.passed else "WRONG",
        )
        for step in result.steps
    ]
    CONSOLE.table(("after pass", "level", "worst output", "SQNR dB", "max abs err", ""), rows)
    if result.guilty_pass is None:
        CONSOLE.text("every level agrees with onnxruntime")
        return
    CONSOLE.text(f"guilty: {result.guilty_pass} ({result.guilty_level} level)")
    raise typer.Exit(int(ExitCode.NUMBERS_DIFFER))
