"""What an instruction's semantics gives the simulator: its views and a function on them.

Operands keep the rules of `npuisa.operand_rules` (`sequence.decode` has checked them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from npuisa.program import Program

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
    """What semantics may use: the program's tables, shared working memory, kept copies of operands.

    `overflows` counts, per static instruction, finite elements that it stored as an infinite f16.
    """

    program: Program
    scratch: Scratch = field(default_factory=Scratch)
    staging: Staging = field(default_factory=Staging)
    overflows: Counter[int] = field(default_factory=Counter[int])

    def view(self, static: StaticInstruction, field_name: str) -> View:
        """The operand called `field_name`, which is not optional."""
        view = self.optional_view(static, field_name)
        assert view is not None, "checked by npuisa.operand_rules"
        return view

    def optional_view(self, static: StaticInstruction, field_name: str) -> View | None:
        """The operand called `field_name`, or None where it is absent."""
        operand = static.fields.index(field_name)
        descriptor = static.descriptors[operand]
        return None if descriptor is None else view_of(descriptor, operand)


Prepare = Callable[[StaticInstruction, Context], Prepared]
"""Work out once per static instruction what does not change from issue to issue."""


def nothing(accumulate: bool, *arrays: object) -> None:
    """Executes an instruction that touches no element."""
