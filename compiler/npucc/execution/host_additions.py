"""Host ops that onnx's reference evaluator lacks, as additions to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx.helper import tensor_dtype_to_np_dtype
from onnx.reference.op_run import OpRun

_CAST_TO: dict[str, Any] = {"TO_FLOAT": np.float32, "TO_INT64": np.int64, "TO_STRING": object}


class Multinomial(OpRun):
    """Draws `sample_size` classes for each row of unnormalized log probabilities: the largest of x + Gumbel noise."""

    op_domain = ""

    def _run(self, x: Any, dtype: int = 6, sample_size: int = 1, seed: float | None = None) -> tuple[Any]:
        rng = np.random.default_rng(None if seed is None else np.float32(seed).view(np.uint32))
        noise = rng.gumbel(size=(x.shape[0], sample_size, x.shape[1]))
        return (np.argmax(x[:, None, :] + noise, axis=-1).astype(tensor_dtype_to_np_dtype(dtype)),)


class CategoryMapper(OpRun):
    """Names to numbers or back, by two lists of equal length."""

    op_domain = "ai.onnx.ml"

    def _run(
        self,
        x: Any,
        cats_int64s: Sequence[int] = (),
        cats_strings: Sequence[str] = (),
        default_int64: int = -1,
        default_string: str = "_Unused",
    ) -> tuple[Any]:
        if x.dtype.kind in "OU":
            numbers = dict(zip(cats_strings, cats_int64s))
            mapped = [numbers.get(str(entry), default_int64) for entry in x.reshape(-1)]
            return (np.array(mapped, np.int64).reshape(x.shape),)
        names = dict(zip(cats_int64s, cats_strings))
        return (np.array([names.get(int(e), default_string) for e in x.reshape(-1)], object).reshape(x.shape),)


class ZipMap(OpRun):
    """Scores [N, C] (or [C]) as one map per row, from the class's label to its score."""

    op_domain = "ai.onnx.ml"

    def _run(
        self, x: Any, classlabels_int64s: Sequence[int] | None = None, classlabels_strings: Sequence[str] | None = None
    ) -> tuple[Any]:
        labels: Sequence[Any] = classlabels_strings or classlabels_int64s or ()
        rows = np.atleast_2d(x)
        if len(labels) != rows.shape[1]:
            raise ValueError(f"{len(labels)} labels for {rows.shape[1]} classes")
        return ([dict(zip(labels, row)) for row in rows],)


class CastMap(OpRun):
    """The values of a map from numbers, in the order of its keys (DENSE) or each at its key's place (SPARSE)."""

    op_domain = "ai.onnx.ml"

    def _run(
        self, x: Mapping[int, Any], cast_to: str = "TO_FLOAT", map_form: str = "DENSE", max_map: int = 1
    ) -> tuple[Any]:
        kind = _CAST_TO[cast_to]
        convert = str if kind is object else kind
        if map_form == "DENSE":
            return (np.array([[convert(x[key]) for key in sorted(x)]], kind),)
        row = np.full((1, max_map), "" if kind is object else 0, kind)
        for key, value in x.items():
            if 0 <= key < max_map:
                row[0, key] = convert(value)
        return (row,)


ADDITIONS: list[type[OpRun]] = [CastMap, CategoryMapper, Multinomial, ZipMap]
