"""`npucc target`: list, show, new, validate, schema."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from npuisa.errors import USAGE, NpuError

from npucc.cli.console import CONSOLE, verb, write_bytes

if TYPE_CHECKING:
    from npuisa.target import Target

TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="Target name, or a TOML file.")]


def register(app: typer.Typer) -> None:
    """Add the verb and its subcommands."""
    group = typer.Typer(help="Hardware targets: list, show, copy, check.", no_args_is_help=True)
    group.command("list", help="The known targets.")(verb(list_targets))
    group.command("show", help="One target: its figures, what follows from them, and their sources.")(verb(show))
    group.command("new", help="Write a target file to start from: a copy of a known target.")(verb(new))
    group.command("validate", help="Check a target file against the schema.")(verb(validate))
    group.command("schema", help="The JSON schema of a target file.")(verb(schema))
    app.add_typer(group, name="target")


def list_targets() -> None:
    """One line per target."""
    from npuisa.target import Target, target_files

    targets = [Target.load(name) for name in sorted(target_files())]
    header = ("target", "clock GHz", "array", "i8 MACs", "f16 MACs", "SRAM KiB", "DRAM GB/s")
    CONSOLE.table(header, [_row(target) for target in targets])


def _row(target: Target) -> tuple[str, ...]:
    return (
        target.name,
        f"{target.clock_ghz:g}",
        target.array_text,
        f"{target.macs_per_cycle('i8'):g}",
        f"{target.macs_per_cycle('f16'):g}",
        f"{target.sram.bytes / 1024:g}",
        f"{target.dram.bandwidth_gbs:g}",
    )


def show(target: TargetArgument) -> None:
    """All keys as they are, then derived figures."""
    from npuisa.target import Target

    loaded = Target.load(target)
    CONSOLE.result(loaded)
    CONSOLE.text(f"{loaded.name}: {loaded.description}")
    for key, value in _flat(loaded.model_dump(exclude={"name", "description", "sources"})):
        CONSOLE.text(f"  {key:<28} {value}")
    CONSOLE.text("derived")
    CONSOLE.text(f"  {'dram bytes per cycle':<28} {loaded.dram_bytes_per_cycle:g}")
    for dtype in loaded.matrix.rates:
        peak = 2 * loaded.macs_per_cycle(dtype) * loaded.clock_ghz / 1000
        CONSOLE.text(f"  {f'peak {dtype}':<28} {loaded.macs_per_cycle(dtype):g} MACs/cycle, {peak:.3g} TOPS")
    CONSOLE.text("sources")
    for key, source in loaded.sources.items():
        CONSOLE.text(f"  {key:<28} {source}")


def _flat(data: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in data.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, str(value))]
    return rows


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new target; the file is NAME.toml.")],
    like: Annotated[str, typer.Option("--like", help="Target to copy.")] = "edge-4t",
) -> None:
    """Copy a target's file under a new name."""
    from npuisa.target import Target, parse_target, target_files

    original = Target.load(like)
    path = Path(f"{name}.toml")
    if path.exists():
        raise NpuError(USAGE, "the file exists", where=str(path), remedy="choose another name")
    text = Path(like).read_bytes() if like.endswith(".toml") else target_files()[like]
    renamed = text.replace(f'name = "{original.name}"'.encode(), f'name = "{name}"'.encode(), 1)
    parse_target(renamed, str(path))
    write_bytes(path, renamed)
    CONSOLE.text(f"{path}: a copy of {like}; edit it, then `npucc target validate {path}`")


def validate(target: TargetArgument) -> None:
    """Load it: every broken rule is reported at once."""
    from npuisa.target import Target

    loaded = Target.load(target)
    CONSOLE.result(loaded)
    CONSOLE.text(f"{target}: valid ({loaded.name})")


def schema() -> None:
    """Print the schema, with the meaning of each key."""
    from npuisa.target import Target

    CONSOLE.text(json_text.dumps(Target.model_json_schema(), indent=2))
