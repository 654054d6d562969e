"""Nodes that this program leaves to what runs after it, and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from npuisa.errors import NpuError

from npucc.frontend.problems import NEEDS_SEGMENTS


class How(StrEnum):
    """Who runs a node that the program does not hold."""

    LATER = "later"
    """A later program, once values that it needs are there."""
    HOST = "host"
    """onnx's reference evaluator, because of the op or of its operands."""
    BODY = "body"
    """The driver of the execution runs the node's body, of which the parts are programs: a branch, a loop, a call."""


@dataclass(frozen=True)
class Deferred:
    """The node number `position` of its graph."""

    position: int
    label: str
    op: str
    how: How
    rule: str
    found: str


@dataclass
class Defer(Exception):
    """Raised during the import of a node that cannot be in this program."""

    how: How
    rule: str
    found: str


_PLACES = {How.HOST: "the host", How.BODY: "the NPU, its body step by step", How.LATER: "the NPU, in a later program"}


def not_one_program(deferred: Sequence[Deferred], nodes: int, needs_values: Collection[str], name: str) -> NpuError:
    """NPU-E0512 with every node of the model `name` that cannot be in the first program."""
    remedy = "`npucc run`, `validate` and `profile` (npucc.execute) run all segments"
    if needs_values:
        names = ", ".join(f"`{entry}`" for entry in sorted(needs_values))
        remedy += f"; inputs that give shapes can be compiled in: npucc.compile(..., values=...) with {names}"
    problems = [
        NpuError(
            NEEDS_SEGMENTS, f"runs on {_PLACES[entry.how]}: {entry.rule}", f"node `{entry.label}`", entry.found, ""
        )
        for entry in deferred
    ]
    return NpuError(
        NEEDS_SEGMENTS,
        "the model is not a single program: it runs in segments",
        where=name,
        found=f"{len(deferred)} of {nodes} nodes depend on values that only a run gives, or run on the host",
        remedy=remedy,
        problems=problems,
    )
