"""Values for a model's inputs: read from `.npz` files (checked before they are loaded) or drawn from a seed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import ml_dtypes
import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from numpy.lib import format as npy

from npucc.results import Array

BAD_NPZ = error_code("NPU-E0010", ExitCode.BAD_INPUT, "The .npz file cannot be read")
BAD_VALUES = error_code("NPU-E0011", ExitCode.BAD_INPUT, "The input values do not fit the model's inputs")

MAX_NPZ_BYTES = 512 * 2**20
"""Uncompressed bytes accepted from one file."""


@dataclass(frozen=True)
class Signature:
    """A model input: ONNX name, NumPy type, and per axis a size or the name of a symbolic dimension."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int | str, ...]


def load_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, Array]:
    """Arrays of an `.npz` file (only `names`, if given). Headers are checked before any data is read; nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            wanted = [info for info in members if names is None or info.filename[:-4] in names]
            _check_sizes(path, archive, wanted)
            return {info.filename[:-4]: _read_member(archive, info) for info in wanted}
    except FileNotFoundError:
        raise NpuError(BAD_NPZ, "file not found", where=str(path), remedy="check the path") from None
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
        raise NpuError(
            BAD_NPZ, "not a readable .npz file", where=str(path), found=str(error),
            remedy="write it with numpy.savez(path, **{input name: array}) (no object arrays)",
        ) from None  # fmt: skip


def _check_sizes(path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    total = 0
    for info in members:
        with archive.open(info) as stream:
            version = npy.read_magic(stream)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read_header(stream)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects")
        size = prod(shape) * dtype.itemsize
        total += size
        if size > info.file_size:
            raise ValueError(f"{info.filename} declares {size} bytes but holds {info.file_size}")
    if total > MAX_NPZ_BYTES:
        raise NpuError(
            BAD_NPZ, "too large", where=str(path), found=f"{total} bytes uncompressed",
            remedy=f"inputs up to {MAX_NPZ_BYTES} bytes are accepted",
        )  # fmt: skip


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as stream:
        array = npy.read_array(stream, allow_pickle=False)
    # NumPy writes ml_dtypes' bfloat16 as two-byte void.
    return array.view(ml_dtypes.bfloat16) if array.dtype == np.dtype("V2") else array


def bind_dims(signatures: Sequence[Signature], arrays: Mapping[str, Array], dims: Mapping[str, int]) -> dict[str, int]:
    """Sizes of the symbolic dimensions: those of `dims`, and those that the given arrays imply.

    Raises NPU-E0011 with every problem: missing or unknown names, wrong types, ranks or sizes.
    """
    known = {signature.name: signature for signature in signatures}
    problems = [
        NpuError(BAD_VALUES, "no such input", where=name, remedy="inputs of the model: " + ", ".join(known))
        for name in arrays
        if name not in known
    ]
    bound = dict(dims)
    for signature in signatures:
        if signature.name not in arrays:
            problems.append(NpuError(BAD_VALUES, "input missing", where=signature.name, remedy="add it to the .npz file"))
        else:
            problems += _bind_one(signature, arrays[signature.name], bound)
    if problems:
        raise NpuError(BAD_VALUES, "the given inputs do not fit the model", problems=problems)
    return bound


def _bind_one(signature: Signature, array: Array, bound: dict[str, int]) -> list[NpuError]:
    where = signature.name
    if array.dtype != signature.dtype:
        remedy = f"convert it to {signature.dtype}"
        return [NpuError(BAD_VALUES, "wrong element type", where=where, found=str(array.dtype), remedy=remedy)]
    if array.ndim != len(signature.shape):
        remedy = f"the model takes {len(signature.shape)} axes: {list(signature.shape)}"
        return [NpuError(BAD_VALUES, "wrong rank", where=where, found=str(array.shape), remedy=remedy)]
    problems: list[NpuError] = []
    for axis, (size, expected) in enumerate(zip(array.shape, signature.shape)):
        required = bound.setdefault(expected, size) if isinstance(expected, str) else expected
        if size != required:
            remedy = f"axis {axis} ({expected}) must be {required}"
            problems.append(NpuError(BAD_VALUES, "wrong size", where=where, found=str(array.shape), remedy=remedy))
    return problems


def seeded_inputs(signatures: Sequence[Signature], seed: int) -> dict[str, Array]:
    """Values for static signatures: floats from N(0, 1), integers from 0..7 (small enough for indices), booleans evenly."""
    rng = np.random.default_rng(seed)
    return {signature.name: _draw(signature, rng) for signature in signatures}


def _draw(signature: Signature, rng: np.random.Generator) -> Array:
    shape = tuple(size for size in signature.shape if isinstance(size, int))
    if signature.dtype.kind == "b":
        return rng.random(shape) < 0.5
    if signature.dtype.kind in "iu":
        return rng.integers(0, 8, shape).astype(signature.dtype)
    return np.asarray(rng.standard_normal(shape)).astype(signature.dtype)
