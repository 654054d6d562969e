"""Page: shipped targets, the schema of target files, and the causes on which cycles are booked."""

from __future__ import annotations

from npuisa.target import Target, target_files
from npusim.timing_result import CAUSES
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from npucc.docs.markdown import table


def targets_page() -> str:
    """Shipped targets only, so that the page does not depend on what else is installed."""
    targets = [Target.load(name) for name in sorted(target_files(registered=False))]
    header = (
        "target",
        "clock GHz",
        "array",
        "i8 MACs/cycle",
        "f16 MACs/cycle",
        "SRAM bytes",
        "DRAM GB/s",
        "what it is",
    )
    keys = [row for name, field in Target.model_fields.items() for row in _keys(name, field)]
    sections = [_sources(target) for target in targets]
    return "\n".join(
        (
            "# Targets\n",
            "`npucc target list | show | new | validate | schema`. Other packages add targets through the entry point",
            "group `npucc.targets`.\n",
            table(header, [_row(target) for target in targets]),
            "## Keys of a target file\n",
            table(("key", "type", "meaning"), keys),
            "## Causes of cycles\n",
            "Every cycle of every engine is booked on one of these; besides, `wait_<engine>` is the time an engine",
            "waits for a semaphore which that engine posts.\n",
            table(("cause", "meaning"), CAUSES.items()),
            "## Sources of the figures\n",
            *sections,
        )
    )


def _row(target: Target) -> tuple[str, ...]:
    return (
        target.name,
        f"{target.clock_ghz:g}",
        target.array_text,
        f"{target.macs_per_cycle('i8'):g}",
        f"{target.macs_per_cycle('f16'):g}",
        f"{target.sram.bytes:,}",
        f"{target.dram.bandwidth_gbs:g}",
        target.description,
    )


def _keys(name: str, field: FieldInfo) -> list[tuple[str, str, str]]:
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [row for key, inner in kind.model_fields.items() for row in _keys(f"{name}.{key}", inner)]
    text = getattr(kind, "__name__", "") if isinstance(kind, type) else str(kind).replace("typing.", "")
    return [(f"`{name}`", f"`{text}`", field.description or "")]


def _sources(target: Target) -> str:
    return f"### {target.name}\n\n" + table(("figures", "source"), [(f"`{k}`", v) for k, v in target.sources.items()])
