"""Tile programs from text, and what tests do with them."""

from __future__ import annotations

from npucc.constants import ConstantStore
from npucc.driver import make_context
from npucc.passes.registry import make_pipeline
from npuisa.target import Target
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

SPACES = "#dram = #tile.space<dram>\n#sram = #tile.space<sram>\n#acc = #tile.space<acc>\n"


def parse(text: str) -> ModuleOp:
    """A verified module; `#dram`, `#sram` and `#acc` are defined."""
    module = Parser(make_context(), SPACES + text).parse_module()
    module.verify()
    return module


def run_passes(module: ModuleOp, spec: str, target: Target | None = None) -> ModuleOp:
    """Apply passes in place and verify after each."""
    context = make_context(target, ConstantStore())
    for made in make_pipeline(spec):
        made.apply(context, module)
        module.verify()
    return module


def edge(sram: int | None = None, acc: int | None = None) -> Target:
    """edge-4t with other sizes of its memories."""
    target = Target.load("edge-4t")
    changes = {}
    if sram is not None:
        changes["sram"] = target.sram.model_copy(update={"bytes": sram})
    if acc is not None:
        changes["accumulator"] = target.accumulator.model_copy(update={"bytes": acc})
    return target.model_copy(update=changes)
