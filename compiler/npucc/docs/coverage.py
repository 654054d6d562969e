"""Page: operators of ai.onnx by opset version and element type, and where each runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from npuisa.dtypes import dtype_of_numpy
from onnx import TensorProto, helper

from npucc.conformance.coverage import BOTH, HOST, NOT_TRIED, NPU, Entry, recorded, recorded_onnx
from npucc.docs.markdown import table

RAN = (NPU, HOST, BOTH)
HEADER = f"""# Coverage of ONNX

Operators of ai.onnx (onnx {{version}}), the versions of their definition, and the element types that it allows. Behind
every entry stands a case that was compiled, run on the simulator and compared: one-node models of ONNX's backend suite,
converted to each element type and to each earlier version, against onnx.reference or, where that cannot, onnxruntime
(`npucc.conformance.retyped`). `python -m npucc.conformance.coverage` runs them all and rewrites the data of this page;
`tests/types/test_coverage.py` repeats a part of them. The suite itself is `tests/backend`; conversions between all
pairs of types are tested exhaustively in `tests/types`.

In the columns of types and versions *{NPU}* is meant unless another place is named: *{HOST}* (by ONNX's reference
evaluator, see the design page) or *{BOTH}*. What is not tried - ONNX has no case, no reference, or no conversion to the
older version - is left out, and counted in the last column. Strings are for the host everywhere.
"""


def coverage_page() -> str:
    """The table and what is refused."""
    entries = recorded()
    rows = [_row(op, entry) for op, entry in entries.items()]
    refused = [row for op, entry in entries.items() for row in _refusals(op, entry)]
    columns = ("operator", "opset versions", "element types", "cases of the suite", "not tried")
    return "\n".join(
        (
            HEADER.format(version=recorded_onnx()),
            _totals(entries.values()),
            "",
            table(columns, rows),
            "## Refused\n",
            table(("operator", "case", "code", "rule"), refused) if refused else "Nothing that was tried.\n",
        )
    )


def _totals(entries: Iterable[Entry]) -> str:
    types: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    operators = 0
    for entry in entries:
        operators += 1
        types.update(state for states in entry["types"].values() for state in states.values())
        versions.update(entry["versions"].values())
    return (
        f"{operators} operators; {_counts(types)} of pairs of operator and element type, "
        f"{_counts(versions)} of pairs of operator and version.\n"
    )


def _counts(states: Counter[str]) -> str:
    tried = sum(count for state, count in states.items() if state != NOT_TRIED)
    return f"{states[NPU]} {NPU}, {states[HOST] + states[BOTH]} with the {HOST} of {tried} that were tried"


def _row(op: str, entry: Entry) -> tuple[str, str, str, str, str]:
    untried = [state for states in entry["types"].values() for state in states.values() if state == NOT_TRIED]
    untried_versions = [version for version, state in entry["versions"].items() if state == NOT_TRIED]
    missing = [f"{len(untried)} types"] * bool(untried)
    missing += [f"versions {', '.join(untried_versions)}"] * bool(untried_versions)
    first, *others = entry["cases"] or [""]
    cases = f"`{first}`" * bool(first) + f" and {len(others)} more" * bool(others)
    return op, _places(entry["versions"]), _types(entry["types"]), cases, "; ".join(missing)


def _types(variables: Mapping[str, Mapping[str, str]]) -> str:
    """Per type variable, equal ones together."""
    found: dict[str, list[str]] = {}
    for variable, states in variables.items():
        text = _places({short_name(element): state for element, state in states.items()})
        if text:
            found.setdefault(text, []).append(variable)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in found.items())


def _places(states: Mapping[str, str]) -> str:
    """Names by the place they run at; those on the NPU without its name."""
    parts: list[str] = []
    for place in RAN:
        names = [name for name, state in states.items() if state == place]
        if names:
            parts.append(" ".join(names) if place == NPU else f"{place}: {' '.join(names)}")
    return ", ".join(parts)


def short_name(element: str) -> str:
    """The machine's name of an element type of ONNX; ONNX's where the machine has none."""
    number = TensorProto.DataType.Value(element.upper())
    try:
        return dtype_of_numpy(np.dtype(helper.tensor_dtype_to_np_dtype(number))).name
    except KeyError:
        return element


def _refusals(op: str, entry: Entry) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    cases = {f"{variable}={e}": state for variable, found in entry["types"].items() for e, state in found.items()}
    cases |= {f"opset {version}": state for version, state in entry["versions"].items()}
    for case, state in cases.items():
        if state not in (*RAN, NOT_TRIED):
            rows.append((op, case, state, entry["why"].get(case, "")))
    return rows
