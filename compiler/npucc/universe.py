"""What stock xDSL tools see of npucc (entry point `xdsl.universe`): our dialects and passes."""

from __future__ import annotations

from importlib import import_module

from xdsl.ir import Dialect
from xdsl.universe import Universe

from npucc.passes.registry import own_passes

OWN_DIALECTS = {
    "graph": "npucc.dialects.graph:Graph",
    "tile": "npucc.dialects.tile:Tile",
    "npu": "npucc.dialects.npu:Npu",
}


def load_dialect(name: str) -> Dialect:
    """One of our dialects by name."""
    module, _, attribute = OWN_DIALECTS[name].partition(":")
    return getattr(import_module(module), attribute)


NPUCC_UNIVERSE = Universe(
    all_dialects={name: lambda name=name: load_dialect(name) for name in OWN_DIALECTS},
    all_passes=own_passes(),
)
