"""Structure of loops and branches.

A hardware loop is `s.loop` at i with its body i + 1 .. end - 1. Bodies nest, at most LOOP_DEPTH deep.
A branch stays in the innermost loop body that holds it; `end` of that body is a legal target and finishes the
iteration. So a loop is entered and left only through its own counter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from npuisa.instructions import LOOP_DEPTH, Instruction, SBr, SLoop

Problem = tuple[str, int]
"""Rule broken and index of the instruction."""


def check_control_flow(instructions: Sequence[Instruction]) -> Iterator[Problem]:
    """Every broken rule of loop and branch structure."""
    yield from _loop_problems(instructions)
    yield from _branch_problems(instructions)


def innermost_loops(instructions: Sequence[Instruction]) -> list[int]:
    """For each instruction the index of the innermost `s.loop` whose body holds it, or -1."""
    found: list[int] = []
    stack: list[tuple[int, int]] = []
    for number, item in enumerate(instructions):
        while stack and number >= stack[-1][1]:
            stack.pop()
        found.append(stack[-1][0] if stack else -1)
        if isinstance(item, SLoop):
            stack.append((number, item.end))
    return found


def _loop_problems(instructions: Sequence[Instruction]) -> Iterator[Problem]:
    ends: list[int] = []
    for number, item in enumerate(instructions):
        while ends and number >= ends[-1]:
            ends.pop()
        if not isinstance(item, SLoop):
            continue
        if item.end <= number:
            yield f"the loop ends at {item.end}, not after its beginning", number
            continue
        if ends and item.end > ends[-1]:
            yield f"the loop ends at {item.end}, after the loop around it ({ends[-1]})", number
        ends.append(item.end)
        if len(ends) > LOOP_DEPTH:
            yield f"loops are nested {len(ends)} deep; {LOOP_DEPTH} is the limit", number


def _branch_problems(instructions: Sequence[Instruction]) -> Iterator[Problem]:
    inside = innermost_loops(instructions)
    for number, item in enumerate(instructions):
        if not isinstance(item, SBr):
            continue
        loop = inside[number]
        around = instructions[loop] if loop >= 0 else None
        if isinstance(around, SLoop) and item.to == around.end:
            continue
        target = inside[item.to] if item.to < len(instructions) else -1
        if target != loop:
            yield f"the branch to {item.to} enters or leaves a loop body", number
