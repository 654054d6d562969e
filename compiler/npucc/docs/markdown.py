"""Pieces of Markdown that the pages share."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; `|` in cells is escaped, line breaks become spaces."""
    lines = [_row(header), _row(["---"] * len(header)), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def docstring(thing: object) -> str:
    """The docstring without indentation; empty if there is none of its own."""
    own = getattr(thing, "__doc__", None)
    return inspect.cleandoc(own) if own else ""


def first_sentence(thing: object) -> str:
    """The first paragraph of the docstring as one line."""
    return " ".join(docstring(thing).split("\n\n")[0].split())
