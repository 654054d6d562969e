"""What passes share: the dialects that xDSL's context knows, the constants and the target."""

from __future__ import annotations

from dataclasses import dataclass, field

from npuisa.target import Target
from xdsl.context import Context

from npucc.constants import ConstantStore


@dataclass
class NpuContext(Context):
    """xDSL's context with what our passes need besides the IR.

    A pass that runs in stock `xdsl-opt` gets a plain `Context`: use `constants_of` / `target_of`, which then
    give an empty store (nothing folds) and the default target.
    """

    constants: ConstantStore = field(default_factory=ConstantStore)
    target: Target | None = None


def constants_of(context: Context) -> ConstantStore:
    """The constants beside the module; empty under stock xdsl-opt."""
    return context.constants if isinstance(context, NpuContext) else ConstantStore()


def target_of(context: Context, name: str = "") -> Target:
    """The target: by pass option `name`, else the context's, else `edge-4t`."""
    if name:
        return Target.load(name)
    if isinstance(context, NpuContext) and context.target is not None:
        return context.target
    return Target.load("edge-4t")
