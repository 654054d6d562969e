"""What the host runs, each with its reason: the only place that says so.

The machine computes with tensors of numbers. What is made of strings, sequences or optionals, what decodes files, and
what draws random numbers has no instruction; onnx's reference evaluator runs it, and every report names it.
"""

from __future__ import annotations

STRINGS = "strings are no element type of the machine"
SEQUENCE = "a sequence is a list of tensors of any shapes, which the host keeps"
OPTIONAL = "whether an optional holds a value decides what is computed next, which the host does"
RANDOM = "the machine has no random number generator"
IMAGE = "compressed images are decoded by a library of the host"
CLASSICAL = "classical machine learning (trees, categories, text) walks tables that depend on data"

_OPS: dict[str, dict[str, str]] = {
    "": {
        "StringConcat": STRINGS,
        "StringNormalizer": STRINGS,
        "StringSplit": STRINGS,
        "RegexFullMatch": STRINGS,
        "ImageDecoder": IMAGE,
        "SequenceAt": SEQUENCE,
        "SequenceConstruct": SEQUENCE,
        "SequenceEmpty": SEQUENCE,
        "SequenceErase": SEQUENCE,
        "SequenceInsert": SEQUENCE,
        "SequenceLength": SEQUENCE,
        "SplitToSequence": SEQUENCE,
        "ConcatFromSequence": SEQUENCE,
        "Optional": OPTIONAL,
        "OptionalGetElement": OPTIONAL,
        "OptionalHasElement": OPTIONAL,
        "RandomNormal": RANDOM,
        "RandomNormalLike": RANDOM,
        "RandomUniform": RANDOM,
        "RandomUniformLike": RANDOM,
        "Multinomial": RANDOM,
        "Bernoulli": RANDOM,
    },
}
_DOMAINS = {"ai.onnx.ml": CLASSICAL}


def host_reason(domain: str, op_type: str) -> str | None:
    """Why the host runs every node of this op; None for the NPU's ops."""
    return _OPS.get(domain, {}).get(op_type) or _DOMAINS.get(domain)


def host_ops() -> dict[tuple[str, str], str]:
    """(domain, op) -> reason; op "*" stands for a whole domain."""
    table = {(domain, op): reason for domain, ops in _OPS.items() for op, reason in ops.items()}
    return table | {(domain, "*"): reason for domain, reason in _DOMAINS.items()}
