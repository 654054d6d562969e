"""Outputs whose shape depends on data: a program writes them into a buffer of the bound's shape, beside their extents.

The program's metadata says which outputs these are: `{"y": ["y.extent.0", 3]}` means that axis 0 of `y` has the size
that output `y.extent.0` holds (one i64 element), and axis 1 always 3 elements. The valid part is the leading box.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from npuisa.program import Program

from npucc.types import Array

BOUNDED = "bounded_outputs"
"""Key of the metadata."""


def bounded_text(extents: Mapping[str, list[str | int]]) -> str:
    """The metadata entry."""
    return json.dumps(extents)


def crop_outputs(program: Program, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of the model: bounded ones cut to their extents, which are no outputs of the model themselves."""
    text = program.metadata.get(BOUNDED)
    if text is None:
        return dict(outputs)
    bounded: dict[str, list[str | int]] = json.loads(text)
    hidden = {extent for extents in bounded.values() for extent in extents if isinstance(extent, str)}
    cropped: dict[str, Array] = {}
    for name, array in outputs.items():
        if name in bounded:
            sizes = [int(outputs[e].reshape(-1)[0]) if isinstance(e, str) else e for e in bounded[name]]
            cropped[name] = array[tuple(slice(0, size) for size in sizes)]
        elif name not in hidden:
            cropped[name] = array
    return cropped
