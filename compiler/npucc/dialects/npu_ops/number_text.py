"""Numbers in the text of the npu dialect: exact, and with infinities and NaN."""

from __future__ import annotations

import math

from xdsl.parser import AttrParser

_SPECIAL = {"inf": math.inf, "nan": math.nan}


def number_text(value: float | int) -> str:
    """The shortest text that `parse_number` turns back into `value` (a float always has a point)."""
    text = repr(value)
    if isinstance(value, int) or "." in text or not math.isfinite(value):
        return text
    return text.replace("e", ".0e")


def parse_number(parser: AttrParser) -> float | int:
    """An integer or float literal, `inf`, `-inf` or `nan`."""
    negative = parser.parse_optional_punctuation("-") is not None
    special = parser.parse_optional_keyword_in(list(_SPECIAL))
    value: float | int = _SPECIAL[special] if special else parser.parse_number()
    return -value if negative else value
