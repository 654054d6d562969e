"""Cycles, bytes and instructions of a few models are those that were recorded (tests/golden/update.py records them)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from metrics import CASES, GoldenCase, differences, recorded


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_metrics(case: GoldenCase) -> None:
    changed = list(differences(case.name, recorded()[case.name], case.measure()))
    assert not changed, "\n".join([*changed, "if that is meant: python tests/golden/update.py"])


def test_every_recorded_case_is_measured() -> None:
    assert recorded().keys() == {case.name for case in CASES}
