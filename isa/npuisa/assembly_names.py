"""Names of an assembly text: what has been declared, and errors for what has not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from lark import Token

from npuisa.assembly_syntax import Source, did_you_mean
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.spelling import read_name

UNKNOWN_NAME = error_code("NPU-E0202", ExitCode.BAD_INPUT, "The assembly text uses a name that it does not declare")
BAD_VALUE = error_code("NPU-E0203", ExitCode.BAD_INPUT, "A value in the assembly text is out of place or range")
BAD_FIELDS = error_code("NPU-E0204", ExitCode.BAD_INPUT, "An instruction has too few or too many fields")
DECLARED_TWICE = error_code("NPU-E0205", ExitCode.BAD_INPUT, "A name of the assembly text is declared twice")

Key = tuple[str, str]
"""Name and the `#index` that tells it from others of the same name."""


def text_of(source: Source, token: Token) -> str:
    """The name that a NAME or STRING token spells."""
    try:
        return read_name(str(token))
    except json.JSONDecodeError as error:
        raise source.error(BAD_VALUE, token, f"bad escape in a string: {error.msg}", "use JSON's escapes") from None


@dataclass
class NameTable:
    """The names of one table (descriptors, kernels, labels ...) and the index each stands for."""

    what: str
    source: Source
    indices: dict[Key, int] = field(default_factory=dict)

    def key(self, token: Token) -> Key:
        """Name and `#index` of a NAME or STRING token."""
        text = str(token)
        after = text[text.rindex('"') + 1 :] if text.startswith('"') else text.partition("#")[1:]
        return text_of(self.source, token), "".join(after)

    def declare(self, token: Token, index: int) -> str:
        """Enter a name; NpuError (NPU-E0205) if it is there."""
        key = self.key(token)
        if key in self.indices:
            remedy = f"rename one of them, or write {token}#1 and {token}#2"
            raise self.source.error(DECLARED_TWICE, token, f"{self.what} {token} is declared twice", remedy)
        self.indices[key] = index
        return key[0]

    def lookup(self, token: Token) -> int:
        """Index of a declared name; NpuError (NPU-E0202) if there is none."""
        found = self.indices.get(self.key(token))
        if found is None:
            remedy = did_you_mean(str(token), ["".join(key) for key in self.indices], f"declare the {self.what}")
            raise self.source.error(UNKNOWN_NAME, token, f"unknown {self.what} {token}", remedy)
        return found


def unexpected_value(source: Source, token: Token, message: str, remedy: str = "") -> NpuError:
    """The error (NPU-E0203) of a value that its place does not allow."""
    return source.error(BAD_VALUE, token, message, remedy)
