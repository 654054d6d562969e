"""Concrete values between segments: arrays, arrays of strings, sequences as lists, empty optionals as None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from npucc.types import Array, element_of_numpy

Concrete = Any
"""An array of numbers or of Python strings, a list of values (a sequence), None (an empty optional), or what else a
host node makes (maps of ai.onnx.ml)."""


def kind_of(value: Concrete) -> str:
    """What a value is if it is no tensor of numbers (see `HostValue`); "" for those."""
    if value is None:
        return "an optional"
    if isinstance(value, list | tuple):
        return "a sequence"
    if isinstance(value, np.ndarray | np.generic):
        return "strings" if np.asarray(value).dtype.kind in "OUS" else ""
    return f"a {type(value).__name__}"


def is_machine_tensor(value: Concrete) -> bool:
    """Whether the value can be an input of a program."""
    if kind_of(value):
        return False
    try:
        element_of_numpy(np.asarray(value).dtype)
    except KeyError:
        return False
    return True


def normalized(value: Concrete) -> Concrete:
    """NumPy scalars as arrays of rank 0, strings as objects; sequences element by element."""
    if isinstance(value, list | tuple):
        return [normalized(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic | bool | int | float | str):
        array = np.asarray(value)
        return array.astype(object) if array.dtype.kind in "US" else array
    return value


@dataclass
class Bindings:
    """What the nodes of a graph see.

    `known` are arrays that stay the same between runs (weights; results of folding): they are constants of the
    programs, told apart by identity. `values` are computed or given per run.
    """

    known: dict[str, Array] = field(default_factory=dict[str, Array])
    values: dict[str, Concrete] = field(default_factory=dict[str, Concrete])

    def __contains__(self, name: str) -> bool:
        return name in self.known or name in self.values

    def __getitem__(self, name: str) -> Concrete:
        return self.known[name] if name in self.known else self.values[name]

    def only(self, names: frozenset[str]) -> Bindings:
        """The part that an inner graph captures."""
        return Bindings(_part(self.known, names), _part(self.values, names))


def _part(mapping: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name in names}
