"""The ONNX backend suite's node cases on the importer and the graph interpreter.

Run as a script to rewrite the list of cases that do not pass (`node_suite_failures.json`):

    python tests/frontend/node_suite.py
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from npucc.frontend import import_model, needed_values
from npucc.interpreters.graph import run_graph
from npuisa.errors import NpuError
from onnx.backend.test.loader import load_model_tests

Array = Any
FAILURES = Path(__file__).with_name("node_suite_failures.json")
TOLERANCE = {"float16": 5e-3, "bfloat16": 3e-2}
"""Relative tolerance where the suite's own (1e-3) is less than the rounding of the type."""


def cases() -> Iterator[Any]:
    """Every node case of the suite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from load_model_tests(kind="node")


def outcome(case: Any) -> str:
    """`pass`, `wrong` (another result), or why it cannot run: `unsupported`, an error code, `sequence`."""
    try:
        for inputs, outputs in case.data_sets:
            given, wanted = ([_array(value) for value in values] for values in (inputs, outputs))
            if any(array is None for array in (*given, *wanted)):
                return "sequence"
            if not all(_agrees(case, *pair) for pair in zip(_run(case.model, given), wanted)):
                return "wrong"
    except NpuError as error:
        return "unsupported" if error.entry.code == "NPU-E0510" else error.entry.code
    return "pass"


def _array(value: Any) -> Array | None:
    """A tensor of a data set; None for sequences and optionals."""
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


def _run(model: onnx.ModelProto, inputs: list[Array]) -> list[Array]:
    """Results; shapes, axes and options that ONNX takes at run time are fixed."""
    feed = dict(zip((value.name for value in model.graph.input), inputs))
    fixed = needed_values(model, feed)
    shapes = {name: array.shape for name, array in feed.items() if name not in fixed}
    imported = import_model(model, input_shapes=shapes, fixed_inputs=fixed)
    imported.module.verify()
    return run_graph(imported.module, {name: feed[name] for name in imported.inputs}, imported.constants)


def _agrees(case: Any, actual: Array, expected: Array) -> bool:
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return False
    if expected.dtype.kind not in "fV":
        return np.array_equal(actual, expected)
    rtol = max(case.rtol, TOLERANCE.get(expected.dtype.name, 1e-3))
    atol = max(case.atol, 1e-6)
    return np.allclose(actual.astype(float), expected.astype(float), rtol=rtol, atol=atol, equal_nan=True)


def main() -> int:
    """Rewrite the data file; print the counts."""
    outcomes = {case.name: outcome(case) for case in cases()}
    failures = {name: result for name, result in sorted(outcomes.items()) if result != "pass"}
    FAILURES.write_text(json.dumps(failures, indent=0) + "\n", encoding="utf-8")
    print(f"{len(outcomes) - len(failures)} of {len(outcomes)} pass")
    return 0


if __name__ == "__main__":
    sys.exit(main())
