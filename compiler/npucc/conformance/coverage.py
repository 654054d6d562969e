"""What runs where: operator x opset version x element type, found by running a case of each.

    python -m npucc.conformance.coverage [--op REGEX]

rewrites `coverage.json`, from which the page docs/reference/coverage.md is made. With --op only those operators are
run and rewritten.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from npucc.conformance.cases import Case
from npucc.conformance.outcome import NEARER, PASS, RANDOM, WRONG, Outcome, run_case
from npucc.conformance.retyped import SEEDS, NotPossibleError, Retyped, by_onnxruntime, older, retyped_cases, seeds
from npucc.frontend.problems import BAD_NODE

DATA = Path(__file__).with_name("coverage.json")

NPU, HOST, BOTH = "npu", "host", "npu+host"
NOT_TRIED = "-"

Entry = dict[str, Any]
"""`cases`: one-node cases of the suite; `types`: variable -> type -> where it runs; `versions`: version -> the same;
`why`: reasons of what does not."""


def operators() -> list[str]:
    """Operators of ai.onnx that are not deprecated."""
    schemas = onnx.defs.get_all_schemas()
    return sorted({schema.name for schema in schemas if schema.domain == "" and not schema.deprecated})


def where(outcome: Outcome, op: str) -> str:
    """Where a case ran; the error code, `wrong` or `crash` if it did not."""
    if outcome.result not in (PASS, NEARER, RANDOM):
        return outcome.result
    if not outcome.host:
        return NPU
    return HOST if set(outcome.host) == {op} else BOTH


def entry_of(op: str) -> Entry:
    """Run every type and every version of an operator."""
    types: dict[str, dict[str, str]] = {}
    why: dict[str, str] = {}
    for each in retyped_cases(op):
        if isinstance(each, Retyped):
            outcome = checked(each.case)
            types.setdefault(each.variable, {})[each.element] = found = where(outcome, op)
            if found not in (NPU, HOST, BOTH):
                why[f"{each.variable}={each.element}"] = outcome.reason[:160]
        else:
            variable, element, reason = each
            types.setdefault(variable, {})[element] = NOT_TRIED
            why[f"{variable}={element}"] = reason
    return {"cases": suite_cases(op), "types": types, "versions": _versions(op, why), "why": why}


def suite_cases(op: str) -> list[str]:
    """Names of the suite's cases with this node alone."""
    return sorted(case.name for case in seeds().get(op, ()))


def checked(case: Case, newest: Case | None = None) -> Outcome:
    """The outcome of a case; where onnx.reference and the NPU differ, onnxruntime decides or, where that cannot run an
    old version, the suite's own values of the newest."""
    outcome = run_case(case)
    if outcome.result != WRONG:
        return outcome
    second = by_onnxruntime(case)
    if second is None and newest is not None:
        model, values = case.load()[0], newest.load()[1]
        second = replace(case, load=lambda: (model, values))
    return outcome if second is None else run_case(second)


def versions_of(op: str) -> list[int]:
    """The opset versions at which the operator's definition changed, deprecated ones left out."""
    schemas = onnx.defs.get_all_schemas_with_history()
    return sorted({s.since_version for s in schemas if (s.domain, s.name) == ("", op) and not s.deprecated})


def _versions(op: str, why: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for version in versions_of(op):
        found[str(version)], reason = NOT_TRIED, "the suite has no one-node case"
        for seed in seeds().get(op, ())[:SEEDS]:
            try:
                outcome = checked(older(seed, version), seed)
            except NotPossibleError as error:
                reason = str(error)
                continue
            found[str(version)], reason = where(outcome, op), outcome.reason[:160]
            if outcome.result != BAD_NODE.code:  # another seed may be valid at that version
                break
        if found[str(version)] not in (NPU, HOST, BOTH):
            why[f"opset {version}"] = reason
    return found


def recorded() -> dict[str, Entry]:
    """Operator -> entry, as last written."""
    return json.loads(DATA.read_text(encoding="utf-8"))["operators"] if DATA.is_file() else {}


def recorded_onnx() -> str:
    """Version of onnx of the recorded data."""
    return json.loads(DATA.read_text(encoding="utf-8"))["onnx"] if DATA.is_file() else ""


def main() -> int:
    """Run, print what is wrong, rewrite the data."""
    parser = argparse.ArgumentParser(prog="python -m npucc.conformance.coverage", description=__doc__)
    parser.add_argument("--op", default="", help="only operators whose whole name this expression matches")
    options = parser.parse_args()
    entries = recorded()
    for op in operators():
        if options.op and not re.fullmatch(options.op, op):
            continue
        entries[op] = entry_of(op)
        bad = {key: reason for key, reason in entries[op]["why"].items()}
        sys.stdout.write(f"{op}: {bad}\n")
        sys.stdout.flush()
        write(entries)
    return 0


def write(entries: dict[str, Entry]) -> None:
    """The data file."""
    text = json.dumps({"onnx": onnx.__version__, "operators": dict(sorted(entries.items()))}, indent=1)
    DATA.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
