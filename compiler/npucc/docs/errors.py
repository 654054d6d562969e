"""Page: error codes."""

from __future__ import annotations

from npuisa.errors import ExitCode

from npucc.docs.markdown import table
from npucc.error_catalogue import full_catalogue


def errors_page() -> str:
    """Every code, and what the exit codes mean."""
    exits = [(str(int(code)), code.name.lower().replace("_", " ")) for code in ExitCode]
    rows = [(entry.code, str(int(entry.exit_code)), entry.title) for entry in full_catalogue()]
    return "\n".join(
        (
            "# Error codes\n",
            "A problem in what the user gave ends the command with a code, a place, what was found and a remedy.",
            "`npucc errors CODE` explains one.\n",
            table(("exit code", "meaning"), exits),
            table(("code", "exit code", "meaning"), rows),
        )
    )
