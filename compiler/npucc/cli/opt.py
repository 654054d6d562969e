"""`npucc opt`: passes on IR text, in mlir-opt's way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from npucc.cli.arguments import DEFAULT_TARGET, TargetName, load_target
from npucc.cli.console import CONSOLE, read_text, verb, write_text

Source = Annotated[
    Path, typer.Argument(metavar="FILE", help="IR text ('-': stdin); constants are read from FILE.safetensors.")
]
Passes = Annotated[str, typer.Option("--passes", "-p", help='Pipeline: "pass{option=1},pass".')]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file instead of stdout.")]
VerifyEach = Annotated[bool, typer.Option("--verify-each", help="Verify the module after each pass.")]
Generic = Annotated[bool, typer.Option("--generic", help="Print in MLIR's generic form.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("opt", help="Run passes on IR text and print the result; without passes: parse, verify, print.")(
        verb(opt)
    )


def opt(
    source: Source,
    passes: Passes = "",
    target: TargetName = DEFAULT_TARGET,
    output: Output = None,
    verify_each: VerifyEach = False,
    generic: Generic = False,
) -> None:
    """Parse, run, verify, print."""
    from npucc.driver import make_context
    from npucc.ir_files import load_constants, parse_ir, save_constants
    from npucc.passes.registry import make_pipeline
    from npucc.text_passes import apply_passes, module_text

    context = make_context(load_target(target), load_constants(source))
    pipeline = make_pipeline(passes) if passes else ()
    module = parse_ir(read_text(source), context, str(source))
    apply_passes(module, context, pipeline, verify_each=verify_each)
    text = module_text(module, generic=generic)
    if output is None:
        CONSOLE.text(text.rstrip("\n"))
        return
    write_text(output, text)
    save_constants(context.constants, output)
