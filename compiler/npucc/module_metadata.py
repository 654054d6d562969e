"""Facts about a compilation that travel with the module (attribute `npucc.metadata`) down to the program's metadata."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr

METADATA = "npucc.metadata"


def read_metadata(module: ModuleOp) -> dict[str, str]:
    """Key -> text; empty where the module has none."""
    attribute = module.attributes.get(METADATA)
    if not isinstance(attribute, DictionaryAttr):
        return {}
    return {key: value.data for key, value in attribute.data.items() if isinstance(value, StringAttr)}


def add_metadata(module: ModuleOp, entries: Mapping[str, str]) -> None:
    """Add or replace entries."""
    merged = {**read_metadata(module), **entries}
    module.attributes[METADATA] = DictionaryAttr({key: StringAttr(value) for key, value in merged.items()})
