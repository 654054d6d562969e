"""Conformance: the node cases of the ONNX backend suite, compiled to programs and run on the functional simulator.

    python benchmarks/onnx_node_suite.py [--every N] [--pattern REGEX] [--json FILE]

Every case counts, also those of strings, sequences and 4-bit types that the machine lacks. Limit: no case may give a
wrong result or end in anything but an NpuError; with all cases, at least 80% pass.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from npucc import backend
from npuisa.errors import NpuError
from onnx.backend.test.loader import load_model_tests

LEAST_PASS_RATE = 0.8
RTOL = {"float16": 5e-3, "bfloat16": 3e-2}
"""Relative tolerance where the suite's own is less than one rounding of the type."""


def array_of(value: Any) -> Any:
    """A tensor of a data set; None for sequences and optionals."""
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


def agrees(case: Any, actual: Any, expected: Any) -> bool:
    """Shape, type and values; integers exactly."""
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return False
    if expected.dtype.kind not in "fV":
        return np.array_equal(actual, expected)
    rtol, atol = max(case.rtol, RTOL.get(expected.dtype.name, 1e-3)), max(case.atol, 1e-6)
    return np.allclose(actual.astype(float), expected.astype(float), rtol=rtol, atol=atol, equal_nan=True)


def outcome(case: Any) -> str:
    """`pass`, `wrong`, `crash ...`, an error code, or `no tensor` for sequences and optionals."""
    try:
        prepared = backend.prepare(case.model)
        for inputs, outputs in case.data_sets:
            given, wanted = ([array_of(value) for value in values] for values in (inputs, outputs))
            if any(array is None for array in (*given, *wanted)):
                return "no tensor"
            if not all(agrees(case, got, want) for got, want in zip(prepared.run(given), wanted)):
                return "wrong"
    except NpuError as error:
        return error.entry.code
    except Exception as error:
        return f"crash {type(error).__name__}"
    return "pass"


def main() -> int:
    """Run the cases asked for, print the counts; 1 if a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every N-th case")
    parser.add_argument("--pattern", default="", help="take cases whose names contain this expression")
    parser.add_argument("--json", type=Path, help="write the outcome of each case")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    cases = [case for case in load_model_tests(kind="node") if re.search(options.pattern, case.name)][:: options.every]
    outcomes = {case.name: outcome(case) for case in cases}
    counts = Counter(outcomes.values())
    for result, count in counts.most_common():
        print(f"{count:5} {result}")
    passed = counts["pass"] / max(len(cases), 1)
    print(f"{counts['pass']} of {len(cases)} pass ({passed:.1%})")
    if options.json:
        options.json.write_text(json.dumps(outcomes, indent=0) + "\n", encoding="utf-8")
    broken = [name for name, result in outcomes.items() if result == "wrong" or result.startswith("crash")]
    print("\n".join(broken), file=sys.stderr)
    complete = options.every == 1 and not options.pattern
    return 1 if broken or (complete and passed < LEAST_PASS_RATE) else 0


if __name__ == "__main__":
    sys.exit(main())
