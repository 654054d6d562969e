"""What an instruction's semantics gives the simulator: its views and a function on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from npuisa.errors import NpuError
from npuisa.program import Program

from npusim.faults import BAD_OPERANDS, place
from npusim.scratch import Scratch
from npusim.sequence import StaticInstruction
from npusim.staging import Staging
from npusim.views import View, view_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """`run(accumulate, *arrays)` executes one issue; `arrays` are the `views` bound to their addresses."""

    views: tuple[View, ...]
    run: Callable[..., None]


@dataclass(frozen=True, slots=True)
class Context:
    """What semantics may use: the program's tables, shared working memory, kept copies of operands."""

    program: Program
    scratch: Scratch = field(default_factory=Scratch)
    staging: Staging = field(default_factory=Staging)

    def reject(self, static: StaticInstruction, message: str, found: str, remedy: str = "") -> NpuError:
        """The error for operands that break the rule of their instruction."""
        where = place(self.program, static.index)
        return NpuError(BAD_OPERANDS, message, where, found, remedy or "see the instruction reference")

    def view(self, static: StaticInstruction, field_name: str) -> View:
        """The operand called `field_name`; raises NpuError where it is absent."""
        view = self.optional_view(static, field_name)
        if view is None:
            raise self.reject(static, f"operand {field_name} is required", "no operand")
        return view

    def optional_view(self, static: StaticInstruction, field_name: str) -> View | None:
        """The operand called `field_name`, or None where it is absent. Destinations may not broadcast."""
        operand = static.fields.index(field_name)
        descriptor = static.descriptors[operand]
        if descriptor is None:
            return None
        if "w" in static.access[operand] and descriptor.elements:
            pairs = zip(descriptor.dims, descriptor.strides)
            if any(dim > 1 and stride == 0 for dim, stride in pairs):
                found = f"{descriptor.name}: dims {descriptor.dims}, strides {descriptor.strides}"
                raise self.reject(static, f"destination {field_name} has an axis of stride 0", found)
        return view_of(descriptor, operand)


Prepare = Callable[[StaticInstruction, Context], Prepared]
"""Work out once per static instruction what does not change from issue to issue."""


def nothing(accumulate: bool, *arrays: object) -> None:
    """Executes an instruction that touches no element."""


def shape_text(**views: View | None) -> str:
    """Dims and types of operands, for error messages."""
    present = ((name, view) for name, view in views.items() if view is not None)
    return ", ".join(f"{name} {view.dtype}{list(view.dims)}" for name, view in present)
