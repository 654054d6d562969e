"""`npucc asm`: assembly text -> program file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from npucc.cli.console import CONSOLE, read_text, verb


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("asm", help="Assemble NPU assembly text into a program file.")(verb(asm))


def asm(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Assembly text ('-': stdin).")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Program file; default: FILE with .npu.")] = None,
) -> None:
    """Assemble, check against the target and write."""
    from npuisa.assembly import assemble
    from npuisa.program_file import save

    program = assemble(read_text(source), str(source))
    destination = output or source.with_suffix(".npu")
    save(program, destination)
    CONSOLE.text(f"{destination}: {len(program.instructions)} instructions for {program.target}")
