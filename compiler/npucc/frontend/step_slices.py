"""Slices in the body of a loop whose limits are known in every step: a window that moves, or one that grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.ir import SSAValue

from npucc.frontend import lookups
from npucc.frontend.node import Bounded, ImportNode, Output
from npucc.frontend.problems import Malformed
from npucc.types import Array, shape_of

Positions = Callable[[int, int, int, int], range]
"""Of start, end, step and the size of the axis: the elements that ONNX's Slice takes."""


def slice_by_step(node: ImportNode, axes: Sequence[int], steps: Sequence[int], positions: Positions) -> Output:
    """Inputs 1 and 2 (starts, ends) of Slice are known in every step; the sizes taken may differ from step to step."""
    x = node.input(0)
    shape = shape_of(x)
    starts, ends, row = _tables(node)
    if not starts.shape[1] == ends.shape[1] == len(axes) == len(steps) or 0 in steps:
        raise Malformed("starts, ends, axes and steps agree, no step is 0", f"{starts.shape}, {ends.shape}, {axes}")
    extents: list[SSAValue | int] = list(shape)
    for place, (axis, step) in enumerate(zip(axes, steps)):
        axis = node.wrap_axis(axis, len(shape))
        taken = [
            positions(int(start), int(end), step, shape[axis]) for start, end in zip(starts[:, place], ends[:, place])
        ]
        sizes = np.array([len(each) for each in taken], np.int64)
        table = np.zeros((len(taken), int(sizes.max(initial=0))), np.int64)
        for line, each in zip(table, taken):
            line[: len(each)] = each
        x = _taken(node, x, axis, table, row)
        extents[axis] = row(sizes) if np.unique(sizes).size > 1 else shape_of(x)[axis]
    return Bounded(x, tuple(extents)) if any(isinstance(extent, SSAValue) for extent in extents) else x


def _taken(node: ImportNode, x: SSAValue, axis: int, table: Array, row: Callable[[Array], SSAValue]) -> SSAValue:
    same = bool((table == table[0]).all())
    indices = node.build.constant(table[0], f"{node.label}.places") if same else row(table)
    return lookups.gather(node.build, x, indices, axis)


def _tables(node: ImportNode) -> tuple[Array, Array, Callable[[Array], SSAValue]]:
    """Starts and ends, [steps of the loop, axes], and how a row of a table is made."""
    known = [node.by_step[index] for index in (1, 2) if index in node.by_step]
    count, row = len(known[0].table), known[0].row
    tables: list[Array] = []
    for index, what in ((1, "starts"), (2, "ends")):
        given = node.by_step.get(index)
        table = given.table if given else np.broadcast_to(node.constant(index, what), (count, *node.shape(index)))
        tables.append(table.reshape(count, -1))
    return tables[0], tables[1], row
