"""Which axes of a reshape's operand and result belong together, and how transposes pass it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class AxisGroup:
    """Adjacent axes of the operand with the same number of elements as adjacent axes of the result."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def axis_groups(before: Sequence[int], after: Sequence[int]) -> list[AxisGroup] | None:
    """The finest grouping of the axes of two shapes of equal size; None where an extent is 0.

    [2, 6, 5] -> [2, 2, 3, 5]: (0 | 0), (1 | 1, 2), (2 | 3).
    """
    if 0 in before or 0 in after:
        return None
    groups: list[AxisGroup] = []
    i = j = 0
    while i < len(before) and j < len(after):
        start_i, start_j = i, j
        left, right = before[i], after[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left, i = left * before[i], i + 1
            else:
                right, j = right * after[j], j + 1
        groups.append(AxisGroup(tuple(range(start_i, i)), tuple(range(start_j, j))))
    return _with_rest(groups, tuple(range(i, len(before))), tuple(range(j, len(after))))


def _with_rest(groups: list[AxisGroup], before: tuple[int, ...], after: tuple[int, ...]) -> list[AxisGroup] | None:
    """Trailing axes of extent 1 on one side join the last group."""
    if not before and not after:
        return groups
    if not groups:
        return None
    last = groups.pop()
    return [*groups, AxisGroup(last.before + before, last.after + after)]


def sink_through_reshape(perm: Shape, before: Shape, after: Shape) -> tuple[Shape, Shape] | None:
    """reshape(transpose_perm(y)) as transpose_perm'(reshape'(y)).

    `before`, `after`: operand and result shape of the reshape. Returns (shape of reshape', perm'), or None if the
    reshape merges axes that are not adjacent and in order in y.
    """
    groups = axis_groups(before, after)
    if groups is None:
        return None
    for group in groups:
        places = [perm[axis] for axis in group.before]
        if places != list(range(places[0], places[0] + len(places))):
            return None
    in_y = sorted(groups, key=lambda group: perm[group.before[0]])
    order = [axis for group in in_y for axis in group.after]
    new_perm = [0] * len(order)
    for place, axis in enumerate(order):
        new_perm[axis] = place
    return tuple(after[axis] for axis in order), tuple(new_perm)


def hoist_through_reshape(perm: Shape, before: Shape, after: Shape) -> Shape | None:
    """transpose_perm(reshape(x)) as reshape'(transpose_perm'(x)): perm', or None unless every group is a merge.

    The shape of reshape' is that of the original result.
    """
    groups = axis_groups(before, after)
    if groups is None or any(len(group.after) != 1 for group in groups):
        return None
    by_result = {group.after[0]: group.before for group in groups}
    return tuple(axis for result_axis in perm for axis in by_result[result_axis])
