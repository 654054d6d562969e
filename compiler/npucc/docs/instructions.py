"""Page: the instruction set, from the instruction table."""

from __future__ import annotations

from npuisa.reference import reference_page


def instructions_page() -> str:
    """Word format, instructions with their fields, descriptors, micro-operations."""
    return reference_page()
