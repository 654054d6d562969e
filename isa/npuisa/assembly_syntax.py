"""From assembly text to statements: the parser, the records it makes and the errors it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import cast

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken

from npuisa.errors import ErrorCode, ExitCode, NpuError, error_code

SYNTAX = error_code("NPU-E0201", ExitCode.BAD_INPUT, "The assembly text cannot be parsed")
ASSEMBLY_ERRORS = error_code("NPU-E0200", ExitCode.BAD_INPUT, "The assembly text has several errors")
MAX_EXCERPT = 160
MAX_ERRORS, MAX_SYNTAX_ERRORS = 20, 5
"""Errors shown of one text, and those that are not even statements (the text is parsed again after each)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Assembly text and the name it has in messages."""

    name: str
    lines: list[str]

    def place(self, token: Token) -> str:
        """file:line:column of a token."""
        return f"{self.name}:{token.line}:{token.column}"

    def excerpt(self, line: int, column: int, length: int) -> str:
        """The line with carets below the `length` characters from `column` on (both from 1)."""
        text = self.lines[line - 1].rstrip("\n") if line <= len(self.lines) else ""
        first = max(0, column - 1 - MAX_EXCERPT // 2)
        shown = text[first : first + MAX_EXCERPT].replace("\t", " ")
        carets = "^" * max(1, min(length, len(shown) - (column - 1 - first)))
        return f"\n    {shown}\n    {' ' * (column - 1 - first)}{carets}"

    def error(self, entry: ErrorCode, token: Token, message: str, remedy: str = "") -> NpuError:
        """An error at `token`, with its line and carets below it."""
        found = self.excerpt(token.line or 1, token.column or 1, len(token))
        return NpuError(entry, message, self.place(token), found, remedy)


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A remedy that names the known word closest to `word`."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else otherwise


@dataclass(frozen=True, slots=True)
class Argument:
    """A value of an instruction: a name or number, for an operand with a register in brackets."""

    token: Token
    register: Token | None = None


@dataclass(frozen=True, slots=True)
class IncrementText:
    """`reg += step [mod modulus]`."""

    reg: Token
    step: int
    modulus: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Increments of a loop, between braces."""

    increments: list[IncrementText]


@dataclass(slots=True)
class InstructionText:
    """One instruction as it was written."""

    mnemonic: Token
    arguments: list[Argument] = field(default_factory=list)
    block: Block | None = None
    keywords: list[tuple[Token, Argument]] = field(default_factory=list)
    waits: list[Token] = field(default_factory=list)
    posts: list[Token] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Label:
    """A label before the next instruction."""

    name: Token


@dataclass(frozen=True, slots=True)
class Address:
    """A byte address, or an offset into a region."""

    region: Token | None
    offset: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Dims and, unless dense, strides."""

    dims: tuple[int, ...]
    strides: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class MicroText:
    """`dst.type = opcode sources`."""

    dst: Token
    opcode: Token
    sources: list[Token]


@dataclass(frozen=True, slots=True)
class Directive:
    """A statement that begins with a dot: its kind and its parts in order."""

    kind: str
    parts: list[object]


Statement = InstructionText | Label | Directive


class Types(list[Token]):
    """Types of a kernel's sources."""


class Constants(list[Token]):
    """One `.const` line of a kernel."""


class _Waits(list[Token]):
    pass


class _Posts(list[Token]):
    pass


class _Arguments(list[Argument]):
    pass


def integer(token: object) -> int:
    """The value of an INT token, decimal or hexadecimal."""
    return int(str(token), 0) if str(token).lstrip("-").startswith("0x") else int(str(token))


def _directive(kind: str) -> Callable[[object, list[object]], Directive]:
    def make(_: object, parts: list[object]) -> Directive:
        return Directive(kind, parts)

    return make


class _Records(Transformer[Token, list[Statement]]):
    """Makes the records while the parser runs, so that no tree is built."""

    target, meta, region, sem = (_directive(kind) for kind in ("target", "meta", "region", "sem"))
    input, output, desc, kernel = (_directive(kind) for kind in ("input", "output", "desc", "kernel"))
    loop, debug, loc = (_directive(kind) for kind in ("loop", "debug", "loc"))

    def start(self, items: list[Statement]) -> list[Statement]:
        return items

    def label(self, items: list[Token]) -> Label:
        return Label(items[0])

    def ints(self, items: list[Token]) -> tuple[int, ...]:
        return tuple(integer(item) for item in items)

    def argument(self, items: list[Token]) -> Argument:
        return Argument(*items)

    def arguments(self, items: list[Argument]) -> _Arguments:
        return _Arguments(items)

    def keyword(self, items: list[object]) -> tuple[Token, Argument]:
        return cast(tuple[Token, Argument], tuple(items))

    def waits(self, items: list[Token]) -> _Waits:
        return _Waits(items)

    def posts(self, items: list[Token]) -> _Posts:
        return _Posts(items)

    def modulus(self, items: list[Token]) -> int:
        return integer(items[0])

    def increment(self, items: list[Token]) -> IncrementText:
        return IncrementText(items[0], integer(items[1]), int(items[2]) if len(items) > 2 else 0)

    def shape(self, items: list[tuple[int, ...]]) -> Shape:
        return Shape(items[0] if items else (), items[1] if len(items) > 1 else None)

    def fill(self, items: list[Token]) -> Token:
        return items[0]

    def types(self, items: list[Token]) -> Types:
        return Types(items)

    def constants(self, items: list[Token]) -> Constants:
        return Constants(items)

    def block(self, items: list[IncrementText]) -> Block:
        return Block(items)

    def address(self, items: list[Token]) -> Address:
        if items[0].type == "INT":
            return Address(None, integer(items[0]))
        return Address(items[0], integer(items[1]) if len(items) > 1 else 0)

    def micro(self, items: list[Token]) -> MicroText:
        return MicroText(items[0], items[1], items[2:])

    def instruction(self, items: list[object]) -> InstructionText:
        found = InstructionText(cast(Token, items[0]))
        for item in items[1:]:
            match item:
                case _Arguments():
                    found.arguments = item
                case Block():
                    found.block = item
                case _Waits():
                    found.waits = item
                case _Posts():
                    found.posts = item
                case _:
                    found.keywords.append(cast(tuple[Token, Argument], item))
        return found


@cache
def _parser() -> Lark:
    grammar = resources.files("npuisa").joinpath("assembly.lark").read_text()
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=_Records(), maybe_placeholders=False)


def parse_statements(text: str, source: Source) -> list[Statement]:
    """The statements of `text`; NpuError (NPU-E0201) with line, column and excerpt for what is not one.

    After an error the parser goes on without that line, so that a text with several shows them together.
    """
    lines = text.split("\n")
    errors: list[NpuError] = []
    while len(errors) < MAX_SYNTAX_ERRORS:
        try:
            statements = cast(list[Statement], _parser().parse("\n".join(lines) + "\n"))
        except (UnexpectedToken, UnexpectedCharacters) as error:
            token, found = _unexpected(source, error)
            errors.append(found)
            if _opens_or_closes(lines, token):
                break
            lines[(token.line or 1) - 1] = ""
        else:
            if not errors:
                return statements
            break
    raise errors[0] if len(errors) == 1 else collected(source, errors)


def collected(source: Source, errors: list[NpuError]) -> NpuError:
    """One error that shows several, in the order of the text."""
    return NpuError(ASSEMBLY_ERRORS, f"{len(errors)} errors", source.name, problems=errors[:MAX_ERRORS])


def _opens_or_closes(lines: list[str], token: Token) -> bool:
    """Whether the line of an error belongs to a block's frame, so that going on without it would mislead."""
    line = lines[(token.line or 1) - 1] if (token.line or 1) <= len(lines) else ""
    return token.type == "$END" or not line.strip() or line.lstrip().startswith((".kernel", ".end"))


_READABLE = {
    "NAME": "a name",
    "STRING": "a quoted string",
    "INT": "an integer",
    "FLOAT": "a number",
    "SHA256": "sha256=<64 hex digits>",
    "_NL": "the end of the line",
    "$END": "the end of the file",
}


def _unexpected(source: Source, error: UnexpectedToken | UnexpectedCharacters) -> tuple[Token, NpuError]:
    if isinstance(error, UnexpectedToken):
        token, expected = error.token, error.accepts or error.expected
    else:
        token = Token("CHARACTER", str(error.char), line=error.line, column=error.column)
        expected = error.allowed or set()
    if token.type == "$END" or not token.line or token.line < 1:
        lines = len(source.lines)
        token = Token("$END", "", line=lines, column=len(source.lines[-1]) + 1 if lines else 1)
    shown = {"_NL": "the line ends too early", "$END": "the text ends too early"}
    message = shown.get(token.type, f"unexpected {str(token)!r}")
    names = sorted({_readable(name) for name in expected} - {_READABLE["$END"]})
    directives = [name for name in names if name.startswith(".")]
    remedy = did_you_mean(_word(source, token), directives) if str(token) == "." else ""
    return token, source.error(SYNTAX, token, message, remedy or f"expected {', '.join(names)}")


def _readable(terminal: str) -> str:
    if terminal in _READABLE:
        return _READABLE[terminal]
    definition = next((item for item in _parser().terminals if item.name == terminal), None)
    if definition is None:
        return terminal.lower()
    text = str(definition.pattern.value)
    return text if text.startswith(".") else repr(text)


def _word(source: Source, token: Token) -> str:
    line = source.lines[(token.line or 1) - 1][(token.column or 1) - 1 :]
    return line.split()[0] if line.split() else ""
