"""Values for a model's inputs: read from `.npz` files (checked before they are loaded) or drawn from a seed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from npuisa.descriptor_encoding import integer_limits
from npuisa.errors import USAGE, ExitCode, NpuError, error_code
from npuisa.program import Port
from numpy.lib import format as npy

from npucc.element_conversion import converted
from npucc.results import Array
from npucc.stored_types import readable, restored, storable
from npucc.token_inputs import token_inputs

BAD_NPZ = error_code("NPU-E0010", ExitCode.BAD_INPUT, "The .npz file cannot be read")
BAD_VALUES = error_code("NPU-E0011", ExitCode.BAD_INPUT, "The input values do not fit the model's inputs")

MAX_HEADER_BYTES = 4096
"""More than the header of an array takes that is no structure of many fields."""
MAX_NPZ_BYTES = 512 * 2**20
"""Uncompressed bytes accepted from one file."""


def load_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, Array]:
    """Arrays of an `.npz` file (only `names`, if given). Headers are checked first; nothing is unpickled."""
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
        shape, dtype = _read_header(archive, info)
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


def _read_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    with archive.open(info) as file:
        stream = io.BytesIO(readable(file.read(MAX_HEADER_BYTES)))
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    return shape, dtype


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as file:
        start = file.read(MAX_HEADER_BYTES)
        mended = readable(start)
        if mended == start:
            file.seek(0)
            return restored(npy.read_array(file, allow_pickle=False))
        return restored(npy.read_array(io.BytesIO(mended + file.read()), allow_pickle=False))


def save_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name; types that NumPy's files lack as structures, which `load_npz` reads back."""
    try:
        with path.open("wb") as file:
            named = {name: storable(array) for name, array in arrays.items()}
            np.savez(file, **named)  # pyright: ignore[reportArgumentType]  (a name may equal a parameter of savez)
    except OSError as error:
        raise NpuError(USAGE, "cannot write", where=str(path), found=str(error), remedy="check the path") from None


def check_inputs(ports: Sequence[Port], arrays: Mapping[str, Array]) -> None:
    """NPU-E0011 with every problem: missing or unknown names, element types or shapes that differ from `ports`."""
    known = {port.name: port for port in ports}
    names = ", ".join(known)
    problems = [
        NpuError(BAD_VALUES, "no such input", where=name, remedy=f"inputs of the model: {names}")
        for name in arrays
        if name not in known
    ]
    for port in ports:
        if port.name not in arrays:
            problems.append(NpuError(BAD_VALUES, "input missing", where=port.name, remedy="add it to the .npz file"))
            continue
        array = arrays[port.name]
        if array.dtype != port.dtype.numpy:
            found, remedy = str(array.dtype), f"convert it to {port.dtype.numpy}"
            problems.append(NpuError(BAD_VALUES, "wrong element type", where=port.name, found=found, remedy=remedy))
        if array.shape != port.shape:
            found, remedy = str(array.shape), f"the program takes {port.shape}"
            problems.append(NpuError(BAD_VALUES, "wrong shape", where=port.name, found=found, remedy=remedy))
    if problems:
        raise NpuError(BAD_VALUES, "the given inputs do not fit the model", problems=problems)


InputKind = Literal["normal", "wide", "edges", "picture", "tokens"]


def input_kind(name: str) -> InputKind:
    """`name` checked; NPU-E0001 when there is no such kind."""
    for kind in get_args(InputKind):
        if kind == name:
            return kind
    raise NpuError(USAGE, "no such kind of inputs", found=name, remedy=f"use one of {', '.join(get_args(InputKind))}")


def seeded_inputs(
    ports: Sequence[Port], seed: int, kind: InputKind = "normal", fixed: Mapping[str, int] | None = None
) -> dict[str, Array]:
    """Random values; inputs in `fixed` are full of that number instead.

    `normal`: floats from N(0, 1), integers from 0..7 (small enough for indices), booleans evenly. `wide`: floats of
    either sign (float8_e8m0: positive), magnitudes spread evenly in the logarithm from 1e-6 to 1e4, with zeros;
    integers over the whole range of their type. `edges`: as normal, with 0, -0, subnormals, infinities and NaN
    sprinkled in; integers at the ends of their range. Models that use integers as indices accept `normal` only.
    `picture`: images (float, four axes, one or three channels in front) are pages of handwritten digits, dark on
    light, pixels 0 to 255; other inputs as normal. Detectors answer noise with scores near 0, where a logarithmic
    error is all that is left to see. `tokens`: tokens, masks and positions by the inputs' names (`token_inputs`).
    """
    rng = np.random.default_rng(seed)
    drawn = token_inputs(ports, rng) if kind == "tokens" else {port.name: _draw(port, rng, kind) for port in ports}
    return {name: np.full_like(array, (fixed or {}).get(name, array)) for name, array in drawn.items()}


def _draw(port: Port, rng: np.random.Generator, kind: InputKind) -> Array:
    dtype = port.dtype.numpy
    if dtype.kind == "b":
        return np.asarray(rng.random(port.shape) < 0.5)
    if not port.dtype.is_float:
        return _integers(port, rng, kind)
    if kind == "picture" and len(port.shape) == 4 and port.shape[1] in (1, 3):
        return np.broadcast_to(_page(port.shape[2], port.shape[3], rng), port.shape).astype(dtype)
    values = np.asarray(rng.standard_normal(port.shape))
    if kind == "wide":
        values = np.sign(values) * 10.0 ** rng.uniform(-6, 4, port.shape) * (rng.random(port.shape) > 0.05)
    if kind == "edges":
        special = np.array([0.0, -0.0, 1e-40, -1e-40, np.inf, -np.inf, np.nan])
        values = np.where(rng.random(port.shape) < 0.1, rng.choice(special, port.shape), values)
    if port.dtype.name == "f8e8m0":
        values = np.abs(values)
    return converted(np.asarray(values), dtype)


def _integers(port: Port, rng: np.random.Generator, kind: InputKind) -> Array:
    low, high = integer_limits(port.dtype)
    if kind == "normal":
        return np.asarray(rng.integers(0, min(high, 7), port.shape, endpoint=True)).astype(port.dtype.numpy)
    wide = np.uint64 if port.dtype.is_unsigned else np.int64
    if kind == "wide":
        return np.asarray(rng.integers(low, high, port.shape, dtype=wide, endpoint=True)).astype(port.dtype.numpy)
    return np.asarray(rng.choice(np.array([low, low + 1, 0, 1, high - 1, high], wide), port.shape)).astype(
        port.dtype.numpy
    )


def _page(height: int, width: int, rng: np.random.Generator) -> Array:
    """Test images of the built-in model side by side, each pixel three wide and high; 255 is paper."""
    from npucc.demo import demo_images  # the demo itself needs this module

    digits = demo_images()[0].astype(np.float64)[:, 0]
    cell = 3 * digits.shape[1]
    rows, columns = -(-height // cell), -(-width // cell)
    chosen = digits[rng.integers(0, len(digits), (rows, columns))]
    page = chosen.transpose(0, 2, 1, 3).reshape(rows * digits.shape[1], columns * digits.shape[2])
    return (255.0 * (1 - page / digits.max())).repeat(3, axis=0).repeat(3, axis=1)[:height, :width]
