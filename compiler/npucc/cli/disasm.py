"""`npucc disasm`: program file -> assembly text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from npucc.cli.console import CONSOLE, verb


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("disasm", help="Print a program file as assembly text that assembles to the same bytes.")(verb(disasm))


def disasm(
    program: Annotated[Path, typer.Argument(metavar="PROGRAM", help="Program file (.npu).")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the text here, and its constants to a .safetensors file beside it."),
    ] = None,
) -> None:
    """Disassemble."""
    from npuisa.disassembly import disassemble, disassemble_to
    from npuisa.program_file import load

    loaded = load(program)
    if output is None:
        CONSOLE.text(disassemble(loaded).rstrip("\n"))
    else:
        disassemble_to(loaded, output)
