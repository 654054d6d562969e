"""An exception that is no `NpuError` is a bug: keep a folder that reproduces it and say so briefly."""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
import tempfile
import traceback
from importlib import metadata
from pathlib import Path

from npuisa.errors import INTERNAL

from npucc.cli.console import CONSOLE

MAX_COPY_BYTES = 100 * 2**20
PACKAGES = ("npucc", "numpy", "onnx", "onnxruntime", "xdsl", "ml_dtypes", "typer", "pydantic")


def report_crash(error: Exception, arguments: list[str]) -> None:
    """Write the reproducer folder and a short message; the traceback goes to the screen only with -v."""
    folder = save_reproducer(error, arguments)
    last = traceback.extract_tb(error.__traceback__)[-1]
    lines = [
        f"npucc: {INTERNAL.code}: internal error, a bug in npucc: {type(error).__name__}: {str(error)[:300]}",
        f"  at: {Path(last.filename).name}:{last.lineno} in {last.name}",
        *(f"  {note}" for note in getattr(error, "__notes__", [])),
        f"  reproducer: {folder}",
        "  remedy: please report it and attach that folder; -v shows the traceback",
    ]
    sys.stderr.write("\n".join(lines) + "\n")
    if CONSOLE.verbosity:
        traceback.print_exception(error, file=sys.stderr)


def save_reproducer(error: Exception, arguments: list[str]) -> Path:
    """A new folder with the command line, the traceback, versions, and the files named on the command line."""
    folder = Path(tempfile.mkdtemp(prefix="npucc-crash-"))
    copied = [_copy_argument(argument, folder) for argument in arguments]
    (folder / "command.sh").write_text("npucc " + shlex.join(copied) + "\n")
    (folder / "traceback.txt").write_text("".join(traceback.format_exception(error)))
    versions = [f"python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in PACKAGES)]
    (folder / "versions.txt").write_text("\n".join(versions) + "\n")
    return folder


def _copy_argument(argument: str, folder: Path) -> str:
    path = Path(argument)
    try:
        if path.is_file() and path.stat().st_size <= MAX_COPY_BYTES:
            shutil.copy(path, folder / path.name)
            return path.name
    except OSError:
        return argument  # too long for a path, or unreadable: the command line still names it
    return argument
