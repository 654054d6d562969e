"""ONNX's own backend suite on npucc: its cases, its rule of agreement, and what became of each."""

from npucc.conformance.agreement import difference
from npucc.conformance.cases import KINDS, Case, all_cases, cases_of, find_case
from npucc.conformance.outcome import Outcome, is_numeric, run_case

__all__ = ["KINDS", "Case", "Outcome", "all_cases", "cases_of", "difference", "find_case", "is_numeric", "run_case"]
