"""Entry point: the verbs, and what happens to an error."""

from __future__ import annotations

import sys
from importlib import import_module

import typer
from npuisa.errors import ExitCode, NpuError

app = typer.Typer(
    name="npucc",
    help="Compile ONNX models to a virtual NPU, run them on a simulator, and see where every cycle goes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS = (
    "check", "compile", "run", "validate", "profile", "debug", "asm", "disasm", "opt",
    "target", "models", "demo", "errors",
)  # fmt: skip

for _name in VERBS:
    import_module(f"npucc.cli.{_name}").register(app)


def main() -> None:
    """Run the command; the exit code says what happened (see `npuisa.errors.ExitCode`)."""
    try:
        app()
    except NpuError as error:
        sys.stderr.write(f"npucc: {error}\n")
        sys.exit(int(error.entry.exit_code))
    except Exception as error:  # a bug of ours: keep what is needed to reproduce it
        from npucc.cli.crash import report_crash

        report_crash(error, sys.argv[1:])
        sys.exit(int(ExitCode.INTERNAL))
