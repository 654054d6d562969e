"""Where buffers start, in DRAM and on chip."""

from __future__ import annotations

BUFFER_ALIGNMENT = 64
"""Bytes: a DRAM burst, a multiple of every bank width and of all element sizes."""


def align(value: int, unit: int = BUFFER_ALIGNMENT) -> int:
    """`value` rounded up to a multiple of `unit`."""
    return -(-value // unit) * unit
