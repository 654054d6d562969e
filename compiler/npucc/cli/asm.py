"""`npucc asm`: assembly text -> program file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from npucc.cli.arguments import load_target
from npucc.cli.console import CONSOLE, verb


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("asm", help="Assemble NPU assembly text into a program file.")(verb(asm))


def asm(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="Assembly text; constants are read from FILE's .safetensors.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Program file; default: FILE with .npu.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="Also check that this target can hold the program.")
    ] = None,
) -> None:
    """Assemble, check and write."""
    from npuisa.assembly import assemble_file
    from npuisa.program_file import save

    program = assemble_file(source, target=None if target is None else load_target(target))
    destination = output or source.with_suffix(".npu")
    save(program, destination)
    CONSOLE.text(f"{destination}: {len(program.instructions)} instructions for {program.target}")
