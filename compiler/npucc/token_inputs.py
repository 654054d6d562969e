"""Inputs of language models by the names that exporters give them: random tokens, with masks and positions that fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from npuisa.program import Port

from npucc.results import Array

VOCABULARY = 1000
"""Tokens are drawn below this: every published language model has more."""


def token_inputs(ports: Sequence[Port], rng: np.random.Generator) -> dict[str, Array]:
    """`*mask*`: ones, all tokens count; `*position*`: 0, 1, ... behind the past; `*type*`: zeros; other integers:
    tokens; floats (the cache of keys and values): from N(0, 1)."""
    past = _past_length(ports)
    return {port.name: _draw(port, rng, past) for port in ports}


def _past_length(ports: Sequence[Port]) -> int:
    """Tokens that the mask counts beyond the new ones; 0 without both."""
    lengths = {kind: port.shape[-1] for port in ports for kind in ("mask", "ids") if kind in port.name and port.shape}
    return max(lengths["mask"] - lengths["ids"], 0) if len(lengths) == 2 else 0


def _draw(port: Port, rng: np.random.Generator, past: int) -> Array:
    dtype = port.dtype.numpy
    if dtype.kind == "b" or (dtype.kind in "iu" and "mask" in port.name):
        return np.ones(port.shape, dtype)
    if dtype.kind not in "iu":
        return np.asarray(rng.standard_normal(port.shape)).astype(dtype)
    if "position" in port.name and port.shape:
        return np.broadcast_to(past + np.arange(port.shape[-1]), port.shape).astype(dtype)
    return np.zeros(port.shape, dtype) if "type" in port.name else rng.integers(0, VOCABULARY, port.shape).astype(dtype)
