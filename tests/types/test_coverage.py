"""The recorded coverage (`npucc.conformance.coverage`): nothing wrong in it, and a part of it run again."""

from __future__ import annotations

from itertools import islice

import numpy as np
import onnx
import pytest
from npucc.conformance.coverage import (
    BOTH,
    HOST,
    NOT_TRIED,
    NPU,
    checked,
    operators,
    recorded,
    recorded_onnx,
    versions_of,
    where,
)
from npucc.conformance.retyped import Retyped, allowed, retyped_cases, small_numbers
from npuisa.dtypes import DTYPES

ENTRIES = recorded()
STATES = [
    (op, case, state)
    for op, entry in ENTRIES.items()
    for case, state in [
        *((f"{v}={e}", s) for v, found in entry["types"].items() for e, s in found.items()),
        *entry["versions"].items(),
    ]
]
EVERY = 41
"""One operator in so many is run again, in all its types."""


def test_the_record_is_of_the_installed_onnx_and_complete():
    assert recorded_onnx() == onnx.__version__, "run `python -m npucc.conformance.coverage`"
    assert sorted(ENTRIES) == operators()
    for op, entry in ENTRIES.items():
        assert {v: tuple(e) for v, e in entry["types"].items()} == {
            v: e for v, e in allowed(onnx.defs.get_schema(op)).items() if e
        }
        assert list(entry["versions"]) == [str(version) for version in versions_of(op)]


def test_no_recorded_case_is_wrong_or_crashes():
    assert [(op, case) for op, case, state in STATES if state in ("wrong", "crash")] == []


def test_nearly_all_that_was_tried_runs_on_the_npu():
    tried = [state for *_, state in STATES if state != NOT_TRIED]
    numbers = [(case, state) for _, case, state in STATES if state != NOT_TRIED and "complex" not in case]
    assert len(tried) > 2000
    assert sum(state in (NPU, HOST, BOTH) for _, state in numbers) >= 0.98 * len(numbers)
    assert sum(state == NPU for _, state in numbers) >= 0.9 * len(numbers)


@pytest.mark.parametrize("op", list(islice(ENTRIES, 3, None, EVERY)))
def test_cases_run_where_the_record_says(op):
    found: dict[str, dict[str, str]] = {}
    for each in retyped_cases(op):
        variable, element = (each.variable, each.element) if isinstance(each, Retyped) else each[:2]
        state = where(checked(each.case), op) if isinstance(each, Retyped) else NOT_TRIED
        found.setdefault(variable, {})[element] = state
    assert found == ENTRIES[op]["types"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_small_numbers_are_ordinary_ones(dtype):
    """Finite, and of integers none is 0, so that a division by them is defined."""
    floats = np.random.default_rng(0).normal(size=100).astype(np.float32)
    numbers = small_numbers(floats, dtype.numpy)
    assert numbers.dtype == dtype.numpy
    assert np.isfinite(numbers.astype(np.float32)).all()
    if not dtype.is_float and dtype.name != "bool":
        assert np.all(numbers.astype(np.int64) != 0)
