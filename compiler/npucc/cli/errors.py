"""`npucc errors`: what an error code means."""

from __future__ import annotations

from typing import Annotated

import typer
from npuisa.errors import USAGE, NpuError

from npucc.cli.console import CONSOLE, verb


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("errors", help="Explain an error code, or list all of them.")(verb(errors))


def errors(code: Annotated[str | None, typer.Argument(metavar="CODE", help="Such as NPU-E0501.")] = None) -> None:
    """List the catalogue, or one entry of it."""
    from npucc.error_catalogue import full_catalogue

    entries = {entry.code: entry for entry in full_catalogue()}
    if code is None:
        CONSOLE.table(("code", "exit", "meaning"), [(e.code, str(int(e.exit_code)), e.title) for e in entries.values()])
        return
    wanted = code.upper() if code.upper().startswith("NPU-") else f"NPU-{code.upper()}"
    if wanted not in entries:
        raise NpuError(USAGE, "no such error code", found=code, remedy="`npucc errors` lists them all")
    entry = entries[wanted]
    CONSOLE.text(f"{entry.code}: {entry.title}")
    CONSOLE.text(f"exit code {int(entry.exit_code)} ({entry.exit_code.name.lower().replace('_', ' ')})")
    CONSOLE.text("docs/reference/errors.md")
