"""`npucc check`: which nodes run on the NPU."""

from __future__ import annotations

from collections import Counter

import typer

from npucc.cli.arguments import (
    DEFAULT_TARGET,
    Dims,
    Model,
    Precision,
    TargetName,
    input_shapes,
    load_target,
    make_options,
    resolve_model,
)
from npucc.cli.console import CONSOLE, verb


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check", help="Say for every node whether it runs on the NPU, and if not, why and what to do.")(
        verb(check)
    )


def check(
    model: Model,
    target: TargetName = DEFAULT_TARGET,
    precision: Precision = "",
    dim: Dims = [],  # noqa: B006
) -> None:
    """Table of nodes; exit code 3 or 4 when one is unsupported."""
    from npucc.support import check_support

    file, options = resolve_model(model), make_options(2, precision, dim)
    shapes = input_shapes(file, None, options)
    result = check_support(file.path, file.path.stem, load_target(target), options, shapes)
    CONSOLE.result(result)
    rows = [(node.name, node.op, node.where) for node in result.nodes]
    CONSOLE.table(("node", "op", "runs on"), rows)
    for node in result.nodes:
        if node.rule:
            parts = [node.rule, node.found and f"found: {node.found}", node.remedy and f"remedy: {node.remedy}"]
            CONSOLE.text(f"{node.name} ({node.op}): " + "; ".join(filter(None, parts)))
    counts = Counter(node.where for node in result.nodes)
    CONSOLE.text(
        f"{counts['npu']} on the NPU, {counts['host']} on the host, {counts['unsupported']} unsupported, "
        f"{counts['compile time']} at compile time"
    )
    if not result.supported:
        raise typer.Exit(result.exit_code)
