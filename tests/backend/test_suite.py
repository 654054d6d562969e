"""Conformance: every case of ONNX's backend suite passes, or is an expected failure with its reason.

After an improvement (or a new onnx): `python tests/backend/update.py`, and review the change.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest
from npucc.conformance import KINDS, cases_of, find_case, is_numeric, run_case

FOLDER = Path(__file__).parent
LEAST_PASSES = 2020
LEAST_SHARE_ON_THE_NPU = 0.97


def recorded(name: str) -> Any:
    """A data file of this folder."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


NAMES: dict[str, list[str]] = recorded("cases")
FAILURES: dict[str, str] = recorded("expected_failures")
HOST: dict[str, str] = recorded("host_nodes")


@cache
def numeric_cases() -> list[str]:
    """Names of the cases that are about numbers or bools alone."""
    return [case.name for kind in KINDS for case in cases_of(kind).values() if is_numeric(case)]


@pytest.mark.parametrize("kind, name", [(kind, name) for kind in NAMES for name in NAMES[kind]])
def test_case(kind: str, name: str):
    """A wrong value or a crash is never data; the error code, the rule and the host's nodes are as recorded."""
    outcome = run_case(find_case(kind, name))
    assert outcome.result not in ("wrong", "crash"), outcome.reason
    assert outcome.refusal == FAILURES.get(name, ""), "an unexpected pass: update.py" if name in FAILURES else ""
    assert ", ".join(outcome.host) == HOST.get(name, ""), "the host runs other nodes than recorded"


def test_the_list_of_cases_is_that_of_the_installed_onnx():
    installed = {kind: sorted(cases_of(kind)) for kind in KINDS}
    assert installed == NAMES, f"onnx {onnx.__version__} has other cases: python tests/backend/update.py"


def test_recorded_outcomes_are_of_cases_that_exist():
    known = {name for names in NAMES.values() for name in names}
    assert FAILURES.keys() <= known
    assert HOST.keys() <= known


def test_most_cases_pass_and_numbers_need_no_host():
    """What all cases together must reach; the data files say what each one reaches."""
    total = sum(len(names) for names in NAMES.values())
    assert total - len(FAILURES) >= LEAST_PASSES
    numeric = numeric_cases()
    alone = [name for name in numeric if name not in FAILURES and name not in HOST]
    assert len(alone) >= LEAST_SHARE_ON_THE_NPU * len(numeric)
