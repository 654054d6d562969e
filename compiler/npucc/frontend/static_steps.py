"""How often a loop runs whose condition depends on counters and constants alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.interpreters.graph import evaluate_op
from npucc.types import Array

MAX_STEPS = 4096
"""Most steps that are counted."""
MAX_ELEMENTS = 256
"""Counters have at most so many elements: what has more is data."""

Known = Callable[[SSAValue], Array | None]
Counters = Mapping[SSAValue, tuple[Array | None, SSAValue]]
"""Argument of the body -> its value before the first step, if known, and what it is after a step."""


def static_steps(
    condition: SSAValue, number: SSAValue, counters: Counters, known: Known, limit: int | None
) -> int | None:
    """Steps until `condition` is false; None where it depends on data, or there are too many.

    `number` is the number of the step in the body. The condition is computed at the end of a step.
    """
    needed = _counters_behind(condition, number, counters, known)
    if needed is None:
        return None
    present = {argument: start for argument in needed if (start := counters[argument][0]) is not None}
    most = MAX_STEPS if limit is None else min(limit, MAX_STEPS)
    for step in range(most):
        values: dict[SSAValue, Array] = {number: np.asarray(step, np.int64), **present}
        following = {argument: _evaluate(counters[argument][1], values, known) for argument in needed}
        if not bool(_evaluate(condition, values, known).reshape(-1)[0]):
            return step + 1
        present = following
    return limit if limit is not None and limit <= MAX_STEPS else None


def _counters_behind(
    condition: SSAValue, number: SSAValue, counters: Counters, known: Known
) -> list[SSAValue] | None:
    """The carried values that the condition depends on; None where anything else takes part."""
    found: list[SSAValue] = []
    wanted, seen = [condition], set[SSAValue]()
    while wanted:
        value = wanted.pop()
        if value in seen or value is number:
            continue
        seen.add(value)
        array = known(value)
        if array is not None and array.size <= MAX_ELEMENTS:
            continue
        if value in counters:
            start, following = counters[value]
            if start is None or start.size > MAX_ELEMENTS:
                return None
            found.append(value)
            wanted.append(following)
        elif isinstance(value.owner, graph.GraphOp) and not isinstance(value.owner, graph.ConstantOp):
            wanted += value.owner.operands
        else:
            return None
    return found


def _evaluate(value: SSAValue, values: dict[SSAValue, Array], known: Known) -> Array:
    if value not in values:
        array = known(value)
        op = value.owner
        if array is not None:
            values[value] = array
        elif isinstance(op, graph.GraphOp):
            values[value] = np.asarray(evaluate_op(op, [_evaluate(v, values, known) for v in op.operands]))
        else:
            raise TypeError("a condition was followed to its sources")
    return values[value]
