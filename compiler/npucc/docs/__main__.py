"""`python -m npucc.docs [--check] [FOLDER]`: write (or check) the generated reference pages; default docs/reference."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from npucc.docs import drifted, write_pages


def main() -> int:
    """Exit code 1 when `--check` finds a page that drifted."""
    parser = argparse.ArgumentParser(prog="python -m npucc.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page drifted")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/reference"))
    arguments = parser.parse_args()
    if arguments.check:
        stale = drifted(arguments.folder)
        for path in stale:
            sys.stderr.write(f"{path} drifted: run `python -m npucc.docs`\n")
        return 1 if stale else 0
    for path in write_pages(arguments.folder):
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
