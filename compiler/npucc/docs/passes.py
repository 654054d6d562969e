"""Page: passes and the pipeline."""

from __future__ import annotations

import dataclasses

from xdsl.passes import ModulePass

from npucc.docs.markdown import docstring, table
from npucc.options import Options
from npucc.passes.registry import own_passes
from npucc.pipeline import pipeline


def passes_page() -> str:
    """The pipeline, then each pass with its conditions and options."""
    steps = pipeline(Options())
    listed = [(str(i + 1), step.level.value, f"`{step.spec}`") for i, step in enumerate(steps)]
    sections = [_section(name, factory()) for name, factory in own_passes().items()]
    return "\n".join(
        (
            "# Passes\n",
            '`npucc opt -p "pass{option=1},pass" FILE.mlir` runs passes on text; stock `xdsl-opt` knows them, too.',
            "Other packages add passes through the entry point group `npucc.passes`.\n",
            "## The pipeline of `npucc compile`\n",
            "With the default options.\n",
            table(("", "level", "pass"), listed),
            *sections,
        )
    )


def _section(name: str, made: type[ModulePass]) -> str:
    fields = dataclasses.fields(made)
    rows = [(f"`{f.name}`", f"`{f.type}`", f"`{f.default}`") for f in fields if f.name != "name"]
    options = "\n" + table(("option", "type", "default"), rows) if rows else ""
    return f"## {name}\n\n{docstring(made)}\n{options}"
