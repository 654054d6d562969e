"""Values too large for f16: which nodes stored them, as the simulator counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from npuisa.program import Program

from npucc.results import OverflowResult

SHOWN_NODES = 3


def overflow_results(program: Program, counts: Mapping[int, int]) -> list[OverflowResult]:
    """`counts` (static instruction -> elements) by group of nodes, in program order."""
    elements: Counter[str] = Counter()
    for index in sorted(counts):
        elements[_nodes(program, index)] += counts[index]
    return [OverflowResult(node=node, elements=count) for node, count in elements.items()]


def _nodes(program: Program, index: int) -> str:
    if index >= len(program.debug):
        return f"instruction {index}"
    entry = program.debug[index]
    return ", ".join(entry.nodes) or entry.group_name or f"instruction {index}"


def overflow_note(overflows: Sequence[OverflowResult]) -> list[str]:
    """One sentence for people; none where nothing overflowed."""
    if not overflows:
        return []
    total = sum(each.elements for each in overflows)
    shown = "; ".join(f"{each.node} ({each.elements})" for each in overflows[:SHOWN_NODES])
    more = f"; and {len(overflows) - SHOWN_NODES} more" if len(overflows) > SHOWN_NODES else ""
    return [f"{total} elements were too large for f16 and became infinite, in {shown}{more}: use bf16 or f32"]
