"""What becomes of one case: pass, a wrong result, a refusal with its reason, a crash; and which nodes the host ran."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from npuisa.errors import NpuError

from npucc import backend
from npucc.conformance.agreement import difference, is_text
from npucc.conformance.cases import Case, values_of
from npucc.conformance.exact_values import is_nearer

PASS, NEARER, RANDOM, WRONG, CRASH = "pass", "nearer", "random", "wrong", "crash"

HOST_DOMAINS = frozenset(("ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training"))
# fmt: off
HOST_OPS = frozenset((
    "ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit",
    "Optional", "OptionalGetElement", "OptionalHasElement",
    "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength",
    "SequenceMap", "SplitToSequence", "ConcatFromSequence",
))
# fmt: on
RANDOM_OPS = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
)
"""Ops that a machine for numbers leaves to its host: strings, sequences, optionals, pictures, and random numbers."""


@dataclass(frozen=True)
class Outcome:
    """`result`: one of the names above or an error code; `reason`: why it is no pass; `host`: ops that ran there.

    `nearer`: values differ by more than the case allows, but each of them is nearer to the exact one than the case's.
    `random`: the case expects the numbers that one generator draws, which ONNX leaves open; all else agrees.
    """

    result: str
    reason: str = ""
    host: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def refusal(self) -> str:
        """What the list of expected failures holds; "" for what it never does."""
        return "" if self.result in (PASS, WRONG, CRASH) else f"{self.result}: {self.reason}"


def run_case(case: Case) -> Outcome:
    """Compile the model, run every data set on the simulator, compare."""
    start = time.perf_counter()
    host: tuple[str, ...] = ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, data = case.load()
            prepared = backend.prepare(model)
            result, reason = PASS, ""
            for inputs, expected in data:
                actual = prepared.run(inputs)
                text = difference(actual, expected, case.rtol, case.atol)
                if text and result != WRONG:
                    result = _disagreement(case, model, inputs, actual, expected)
                    reason = "other draws than those of the case's generator" if result == RANDOM else text
            host = tuple(sorted({node.op for node in prepared.nodes if node.where == "host"}))
    except NpuError as error:
        result, reason = error.entry.code, reason_of(error)
    except Exception as error:  # a traceback is a finding of the case, not the end of the run
        result, reason = CRASH, f"{type(error).__name__}: {error}"
    return Outcome(result, reason, host, time.perf_counter() - start)


def _disagreement(
    case: Case, model: onnx.ModelProto, inputs: Sequence[Any], actual: Sequence[Any], expected: Sequence[Any]
) -> str:
    """The name of a result that is not as expected."""
    if any(node.op_type in RANDOM_OPS for node in _nodes(model)):
        alike = all(np.shape(a) == np.shape(b) and a.dtype == b.dtype for a, b in zip(actual, expected))
        return RANDOM if alike else WRONG
    return NEARER if is_nearer(model, inputs, actual, expected, case.rtol, case.atol) else WRONG


def reason_of(error: NpuError) -> str:
    """The innermost rule that was broken, without the names and sizes of this model."""
    while error.problems:
        error = error.problems[0]
    return error.message.removeprefix("not supported, since this must hold: ")


def is_numeric(case: Case) -> bool:
    """Whether all inputs and outputs are tensors of numbers or bools and no node is one for the host."""
    model, data = case.load()
    if any(array is None or is_text(array) for array in values_of(data)):
        return False
    return not any(_is_for_the_host(node) for node in _nodes(model))


def _is_for_the_host(node: onnx.NodeProto) -> bool:
    return node.domain in HOST_DOMAINS or (node.op_type in HOST_OPS | RANDOM_OPS and node.domain in ("", "ai.onnx"))


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node of the graph, its bodies and the model's functions."""
    left = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while left:
        node = left.pop()
        yield node
        for attribute in node.attribute:
            for graph in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
                left += graph.node
