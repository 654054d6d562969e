"""Rewrite the recorded outcomes of the backend suite: `python tests/backend/update.py [--pattern REGEX] [--kind KIND]`.

With a pattern or kinds only those cases are run, and only their records change. Wrong results and crashes are printed
and never recorded.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from npucc.conformance import KINDS, all_cases, cases_of, run_case

FOLDER = Path(__file__).parent


def main() -> int:
    """Run and record; 1 if a case is wrong or crashes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pattern", default="", help="cases whose names contain this expression")
    parser.add_argument("--kind", action="append", choices=KINDS, help="cases of this kind (may be repeated)")
    options = parser.parse_args()
    failures, host = _read("expected_failures"), _read("host_nodes")
    bad = 0
    for case in all_cases(tuple(options.kind or KINDS)):
        if not re.search(options.pattern, case.name):
            continue
        outcome = run_case(case)
        failures.pop(case.name, None)
        host.pop(case.name, None)
        if outcome.result in ("wrong", "crash"):
            bad += 1
            print(f"{case.name}: {outcome.result}, {outcome.reason}", file=sys.stderr)
            continue
        if outcome.refusal:
            failures[case.name] = outcome.refusal
        if outcome.host:
            host[case.name] = ", ".join(outcome.host)
    _write("cases", {kind: sorted(cases_of(kind)) for kind in KINDS})
    _write("expected_failures", dict(sorted(failures.items())))
    _write("host_nodes", dict(sorted(host.items())))
    print(f"{len(failures)} expected failures, {len(host)} cases with nodes on the host, {bad} wrong")
    return 1 if bad else 0


def _read(name: str) -> dict[str, Any]:
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write(name: str, data: dict[str, Any]) -> None:
    (FOLDER / f"{name}.json").write_text(json.dumps(data, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
