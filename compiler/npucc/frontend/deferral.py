"""Nodes that this program leaves to what runs after it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
