"""Constant tensors beside the IR: a symbol in the module, the bytes in a store (never copied into attributes)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from npuisa.errors import ExitCode, NpuError, error_code
from safetensors.numpy import load_file, save_file

MISSING = error_code("NPU-E0804", ExitCode.BAD_INPUT, "A constant has no value")
Tensor = npt.NDArray[np.generic]


class ConstantStore:
    """Symbol -> array. Arrays are treated as read-only; a pass that changes a constant adds a new symbol."""

    def __init__(self) -> None:
        self._arrays: dict[str, Tensor] = {}

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __getitem__(self, symbol: str) -> Tensor:
        if symbol not in self._arrays:
            remedy = "put the .safetensors file that was written with the IR text beside it"
            raise NpuError(MISSING, "the constant has no value", where=f"@{symbol}", found="nothing", remedy=remedy)
        return self._arrays[symbol]

    def add(self, symbol: str, array: Tensor) -> str:
        """Store `array` under `symbol`, made unique with a suffix if taken; returns the name used."""
        name, count = symbol, 1
        while name in self._arrays:
            name, count = f"{symbol}.{count}", count + 1
        self._arrays[name] = array
        return name

    def keep_only(self, symbols: set[str]) -> None:
        """Forget arrays that no op names any more, so that their memory is freed."""
        for symbol in [name for name in self._arrays if name not in symbols]:
            del self._arrays[symbol]

    def save(self, path: Path) -> None:
        """Write as safetensors (names and arrays)."""
        save_file({name: np.ascontiguousarray(array) for name, array in self._arrays.items()}, path)

    @staticmethod
    def load(path: Path) -> ConstantStore:
        """Read a safetensors file."""
        store = ConstantStore()
        for name, array in load_file(path).items():
            store._arrays[name] = array
        return store
