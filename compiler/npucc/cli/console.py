"""What every verb shares: where results, logs, progress and `--json` go."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from npuisa.errors import USAGE, NpuError

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")
LOG = logging.getLogger("npucc")

Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the typed result to FILE ('-': stdout, instead of text)."),
]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say what is done; -vv more.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bars.")]


@dataclass
class Console:
    """Settings of this run of the command."""

    json_file: str | None = None
    verbosity: int = 0
    progress: bool = True

    def text(self, line: str = "") -> None:
        """A line of the result (not shown when stdout carries JSON)."""
        if self.json_file != "-":
            sys.stdout.write(line + "\n")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns padded to the widest cell; numbers to the right. Plain text, so that it can be piped."""
        for line in table_lines(header, list(rows)):
            self.text(line)

    def result(self, result: BaseModel) -> None:
        """Write the typed result where `--json` says."""
        if self.json_file is None:
            return
        text = result.model_dump_json(indent=2) + "\n"
        if self.json_file == "-":
            sys.stdout.write(text)
            return
        write_text(Path(self.json_file), text)

    @contextmanager
    def progress_bar(self, what: str, total: int) -> Generator[Callable[[], None]]:
        """A progress bar on stderr if that is a terminal; yields the function that advances it by one."""
        if not self.progress or not sys.stderr.isatty():
            yield lambda: None
            return
        from rich.console import Console as RichConsole
        from rich.progress import Progress

        with Progress(console=RichConsole(stderr=True), transient=True) as progress:
            task = progress.add_task(what, total=total)
            yield lambda: progress.advance(task)


CONSOLE = Console()


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the flags that every verb has: --json, -v, -q, --no-progress."""
    signature = inspect.signature(function, eval_str=True)
    common = {
        "json": (Json, None),
        "verbose": (Verbose, 0),
        "quiet": (Quiet, False),
        "no_progress": (NoProgress, False),
    }

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        shared = {name: arguments.pop(name) for name in common}
        _configure(**shared)
        function(**arguments)

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in common.items()
    ]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    merged = [*own, *parameters]
    run.__signature__ = inspect.Signature(merged)  # pyright: ignore[reportAttributeAccessIssue]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in merged}
    del run.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]  (typer would read the inner signature)
    return run


def _configure(json: str | None, verbose: int, quiet: bool, no_progress: bool) -> None:
    CONSOLE.json_file, CONSOLE.verbosity = json, verbose
    CONSOLE.progress = not (no_progress or quiet)
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(stream=sys.stderr, format="npucc: %(message)s", level=level, force=True)


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a plain-text table; the first column is left-aligned, the others right-aligned."""
    widths = [max(len(cells[i]) for cells in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))]
        return "  ".join(padded).rstrip()

    return [line(header), *(line(cells) for cells in rows)]


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named; a path that cannot be written is the user's error."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """As `write_text`."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise NpuError(
            USAGE, "cannot write", where=str(path), found=error.strerror or str(error),
            remedy="name a file in a folder that exists and that you may write to",
        ) from None  # fmt: skip


def read_text(path: Path) -> str:
    """Read a text file that the user named ('-': stdin)."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NpuError(USAGE, "cannot read", where=str(path), found=str(error), remedy="check the path") from None
