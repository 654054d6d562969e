"""Conformance: the node cases of the ONNX backend suite pass or fail exactly as the data file says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

spec = importlib.util.spec_from_file_location("node_suite", Path(__file__).with_name("node_suite.py"))
assert spec is not None and spec.loader is not None
node_suite = importlib.util.module_from_spec(spec)
spec.loader.exec_module(node_suite)


def test_outcomes_are_as_recorded():
    """After an improvement (or a new onnx) run `python tests/frontend/node_suite.py` and review the change."""
    recorded = json.loads(node_suite.FAILURES.read_text(encoding="utf-8"))
    outcomes = {case.name: node_suite.outcome(case) for case in node_suite.cases()}
    found = {name: result for name, result in outcomes.items() if result != "pass"}
    changes = {
        name: (recorded.get(name, "pass"), found.get(name, "pass"))
        for name in recorded.keys() | found.keys()
        if name in outcomes and recorded.get(name, "pass") != found.get(name, "pass")
    }
    assert changes == {}
    assert "wrong" not in found.values()
