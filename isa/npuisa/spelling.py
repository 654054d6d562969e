"""How tables and values are spelled in assembly text; the assembler and the disassembler share it.

An instruction that names its unit is spelled with it: `dma.copy` in the queue of DMA1 is `dma1.copy`, `q.sync`
of the matrix engine is `mx.sync`. Required fields are positional, in the order of the table: all of them
for scalar instructions; operands, registers and table indices for the others, whose numbers and choices
read better with their names. Every field may be given as `name=value`; those with a default only so.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from npuisa.instructions import TABLE, Engine, FieldSpec, Instruction

BARE_NAME = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_.]|-(?=[A-Za-z0-9_]))*")
RESERVED = frozenset({"wait", "post", "mod", "fill", "size", "inf", "nan", "_"})
ABSENT = "_"
"""Spelling of an optional operand that is absent, where a later one is present."""
QUIET_NAN = 0x7FF8000000000000


@dataclass(frozen=True, slots=True)
class Spelled:
    """An instruction class together with the unit that its spelling names (None: not part of it)."""

    cls: type[Instruction]
    unit: Engine | None


def _spellings() -> dict[str, Spelled]:
    found: dict[str, Spelled] = {}
    for cls in TABLE.values():
        units: Sequence[Engine | None] = (None,) if cls.fixed_engine is not None else cls.units
        for unit in units:
            text = spell_mnemonic(cls, unit)
            if text in found:
                raise ValueError(f"{text} is the spelling of two instructions")
            found[text] = Spelled(cls, unit)
    return found


def spell_mnemonic(cls: type[Instruction], unit: Engine | None) -> str:
    """Mnemonic of `cls` with the unit in place of the family name where the unit is a field."""
    if cls.fixed_engine is not None or unit is None:
        return cls.mnemonic
    return f"{unit.name.lower()}.{cls.mnemonic.partition('.')[2]}"


SPELLINGS = _spellings()
"""Every mnemonic that assembly text may use."""


@dataclass(frozen=True, slots=True)
class TextField:
    """A field as text sees it; `default` is `dataclasses.MISSING` for one that must be given."""

    name: str
    spec: FieldSpec
    default: Any
    positional: bool


@cache
def text_fields(cls: type[Instruction]) -> tuple[TextField, ...]:
    """The fields of `cls` in the order of the table."""
    defaults = {item.name: item.default for item in dataclasses.fields(cls)}
    scalar = all(spec.kind != "operand" for _, spec in cls.fields())
    found: list[TextField] = []
    for name, spec in cls.fields():
        required = defaults[name] is dataclasses.MISSING
        number = spec.kind in ("imm", "simm", "enum")
        positional = spec.kind == "operand" or (required and (scalar or not number))
        found.append(TextField(name, spec, defaults[name], positional))
    return tuple(found)


def spell_name(name: str) -> str:
    """`name` bare where that can be read back, else quoted."""
    if BARE_NAME.fullmatch(name) and name not in RESERVED:
        return name
    return json.dumps(name, ensure_ascii=False)


def spell_names(names: Sequence[str]) -> list[str]:
    """Names of a table; those that occur more than once carry their index as `name#index`."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [spell_name(name) + (f"#{i}" if counts[name] > 1 else "") for i, name in enumerate(names)]


def read_name(text: str) -> str:
    """The name that a NAME or STRING token spells, without `#index`; ValueError for a bad escape."""
    if text.startswith('"'):
        found: str = json.loads(text[: text.rindex('"') + 1])
        return found
    return text.partition("#")[0]


def spell_number(value: float | int) -> str:
    """A number that `read_number` reads back with its type and all its bits."""
    if not isinstance(value, float):
        return str(int(value))
    if math.isnan(value):
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        return "nan" if bits == QUIET_NAN else f"nan({bits:#x})"
    return repr(float(value))


def read_number(text: str) -> float | int:
    """The value of an INT or FLOAT token."""
    if text.startswith("nan("):
        return float(struct.unpack("<d", struct.pack("<Q", int(text[4:-1], 16) & (1 << 64) - 1))[0])
    if text.lstrip("-").startswith("0x"):
        return int(text, 16)
    try:
        return int(text)
    except ValueError:
        return float(text)
