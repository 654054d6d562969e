"""Bytes of constants beside an assembly text: a `.safetensors` file of `U8` vectors named like their regions."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from npuisa.container import CHUNK, replacing
from npuisa.errors import ExitCode, NpuError, error_code

CONSTANTS_FILE = error_code("NPU-E0206", ExitCode.BAD_INPUT, "Bytes of a constant are missing or not the ones meant")


def digest_of(data: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of a constant, in hex."""
    digest = hashlib.sha256()
    for start in range(0, len(data), CHUNK):
        digest.update(np.ascontiguousarray(data[start : start + CHUNK]).data)
    return digest.hexdigest()


def check_digest(data: npt.NDArray[np.uint8], digest: str) -> str:
    """What is wrong with the bytes of a constant, or nothing."""
    if data.ndim != 1 or data.dtype != np.uint8:
        return f"not a vector of uint8 but {data.dtype} of shape {data.shape}"
    found = digest_of(data)
    return "" if found == digest else f"these are other bytes than the text means (their SHA-256 is {found})"


def save_constants(constants: Mapping[str, npt.NDArray[np.uint8]], path: Path) -> None:
    """Write `constants` in the safetensors format, straight from the arrays."""
    table: dict[str, object] = {}
    end = 0
    for name, data in constants.items():
        table[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [end, end + len(data)]}
        end += len(data)
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 64)
    try:
        with replacing(path) as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for data in constants.values():
                file.write(np.ascontiguousarray(data).data)
    except OSError as error:
        raise NpuError(CONSTANTS_FILE, "cannot write the constants", str(path), str(error), "check the path") from None


def load_constants(path: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """Read what `save_constants` wrote; NpuError (NPU-E0206) for any other file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError) as error:
        raise NpuError(CONSTANTS_FILE, "cannot read the constants", str(path), str(error), "check the path") from None
