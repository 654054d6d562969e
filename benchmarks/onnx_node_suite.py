"""Conformance: the ONNX backend suite, compiled to programs and run on the functional simulator.

    python benchmarks/onnx_node_suite.py [--kind KIND]... [--every N] [--pattern REGEX] [--json FILE] [--names]

Every case counts. Printed: outcomes, refusals by reason, and where the nodes of the passing cases ran. Limit: no case
may give a wrong result or end in anything but an NpuError; with all cases, at least 99% pass.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from npucc.conformance import KINDS, Case, Outcome, all_cases, is_numeric, run_case

LEAST_PASS_RATE = 0.99


def report(cases: list[Case], outcomes: dict[str, Outcome], with_names: bool) -> None:
    """Counts of results, of reasons for refusals, and of placements."""
    _table(Counter(outcome.result for outcome in outcomes.values()))
    refused = {name: outcome for name, outcome in outcomes.items() if outcome.result.startswith("NPU-")}
    print("\nrefused, by reason")
    _table(Counter(outcome.reason for outcome in refused.values()))
    print("\non the host, by op")
    _table(Counter(op for outcome in outcomes.values() for op in outcome.host))
    numeric = [case.name for case in cases if is_numeric(case)]
    alone = sum(outcomes[name].result == "pass" and not outcomes[name].host for name in numeric)
    seconds = sum(outcome.seconds for outcome in outcomes.values())
    passed = sum(outcome.result == "pass" for outcome in outcomes.values())
    print(f"\n{alone} of {len(numeric)} numeric cases pass without the host ({alone / max(len(numeric), 1):.1%})")
    print(f"{passed} of {len(cases)} pass ({passed / max(len(cases), 1):.1%}), {seconds:.0f} s")
    for name, outcome in refused.items() if with_names else ():
        print(f"{name}: {outcome.reason}")


def _table(counts: Counter[str]) -> None:
    for text, count in counts.most_common():
        print(f"{count:5} {text}")


def main() -> int:
    """Run the cases asked for, print the counts; 1 if a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", action="append", choices=KINDS, help="cases of this kind (may be repeated)")
    parser.add_argument("--every", type=int, default=1, help="take every N-th case")
    parser.add_argument("--pattern", default="", help="take cases whose names contain this expression")
    parser.add_argument("--json", type=Path, help="write the outcome of each case")
    parser.add_argument("--names", action="store_true", help="list every case that is refused")
    options = parser.parse_args()
    kinds = tuple(options.kind or KINDS)
    cases = [case for case in all_cases(kinds) if re.search(options.pattern, case.name)][:: options.every]
    outcomes = {case.name: run_case(case) for case in cases}
    report(cases, outcomes, options.names)
    if options.json:
        data = {name: asdict(outcome) for name, outcome in outcomes.items()}
        options.json.write_text(json.dumps(data, indent=0) + "\n", encoding="utf-8")
    broken = {name: outcome for name, outcome in outcomes.items() if outcome.result in ("wrong", "crash")}
    for name, outcome in broken.items():
        print(f"{name}: {outcome.result}, {outcome.reason}", file=sys.stderr)
    passed = sum(outcome.result == "pass" for outcome in outcomes.values())
    complete = options.every == 1 and not options.pattern and kinds == KINDS
    return 1 if broken or (complete and passed < LEAST_PASS_RATE * len(cases)) else 0


if __name__ == "__main__":
    sys.exit(main())
