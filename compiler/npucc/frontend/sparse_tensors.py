"""Stored sparse tensors: the machine keeps them dense."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from npuisa.errors import NpuError
from onnx import SparseTensorProto

from npucc.frontend.problems import BAD_TENSOR, TOO_LARGE
from npucc.frontend.tensors import checked_elements, tensor_to_array
from npucc.types import Array

MAX_DENSE_BYTES = 1 << 31
"""Largest dense form of a sparse tensor."""


def sparse_to_array(tensor: SparseTensorProto, folder: Path | None, where: str) -> Array:
    """Zeros with the values at their indices, [count] into the flat tensor or [count, rank].

    Errors: those of `tensor_to_array`; E0503 for indices that do not fit, E0505 for a dense form that is too large.
    """
    shape = tuple(tensor.dims)
    values = tensor_to_array(tensor.values, folder, where)
    indices = tensor_to_array(tensor.indices, folder, where)
    if checked_elements(shape, where) * values.itemsize > MAX_DENSE_BYTES:
        found = f"shape {list(shape)} of {values.dtype}"
        remedy = "store only what the model reads"
        raise NpuError(TOO_LARGE, f"a sparse tensor has more than {MAX_DENSE_BYTES} bytes", where, found, remedy)
    flat = _flat_indices(indices, shape)
    if flat is None or values.ndim != 1 or flat.shape != values.shape:
        found = f"values {list(values.shape)}, indices {list(indices.shape)} of {indices.dtype} for shape {list(shape)}"
        raise NpuError(BAD_TENSOR, "the indices of a sparse tensor do not fit", where, found, "export the model again")
    dense = np.zeros(math.prod(shape), values.dtype)
    dense[flat] = values
    return dense.reshape(shape)


def _flat_indices(indices: Array, shape: tuple[int, ...]) -> Array | None:
    """One index per value into the flat tensor; None if some lie outside, or are no integers."""
    if indices.dtype != np.int64 or indices.ndim not in (1, 2):
        return None
    if indices.ndim == 1:
        inside = (indices >= 0) & (indices < math.prod(shape))
        return indices if inside.all() else None
    if indices.shape[1] != len(shape) or not ((indices >= 0) & (indices < np.array(shape))).all():
        return None
    strides = np.array([math.prod(shape[axis + 1 :]) for axis in range(len(shape))], np.int64)
    return (indices * strides).sum(axis=1)
