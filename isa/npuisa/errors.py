"""Errors that reach a user: a stable code, an exit code, what was found and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the `npucc` command; part of its contract."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    UNSUPPORTED = 3
    DOES_NOT_FIT = 4
    NUMBERS_DIFFER = 5
    TIME_LIMIT = 6
    BAD_INPUT = 7


@dataclass(frozen=True)
class ErrorCode:
    """One entry of the error catalogue (`docs/reference/errors.md` is generated from it)."""

    code: str
    exit_code: ExitCode
    title: str


_CATALOGUE: dict[str, ErrorCode] = {}


def error_code(code: str, exit_code: ExitCode, title: str) -> ErrorCode:
    """Register an error code such as `NPU-E0312`; a second registration of the same code is a bug."""
    if code in _CATALOGUE:
        raise ValueError(f"error code {code} is registered twice")
    entry = ErrorCode(code, exit_code, title)
    _CATALOGUE[code] = entry
    return entry


def catalogue() -> list[ErrorCode]:
    """Every registered error code, sorted; complete only once the modules that define them are imported."""
    return sorted(_CATALOGUE.values(), key=lambda entry: entry.code)


@dataclass
class NpuError(Exception):
    """A problem in what the user gave (never a bug of ours).

    `where` is a place the user knows (file:line:column, ONNX node, target key); `found` the value that broke
    the rule; `remedy` what to do. `problems` holds further findings when several were collected.
    """

    entry: ErrorCode
    message: str
    where: str = ""
    found: str = ""
    remedy: str = ""
    problems: list[NpuError] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.entry.code}: {self.message}"]
        lines += [f"  at: {self.where}"] if self.where else []
        lines += [f"  found: {self.found}"] if self.found else []
        lines += [f"  remedy: {self.remedy}"] if self.remedy else []
        for problem in self.problems:
            lines += ["  " + line for line in str(problem).splitlines()]
        return "\n".join(lines)


USAGE = error_code("NPU-E0001", ExitCode.USAGE, "The command line is wrong")
INTERNAL = error_code("NPU-E0002", ExitCode.INTERNAL, "Internal error: a bug in npucc")
