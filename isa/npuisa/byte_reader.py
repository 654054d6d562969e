"""Reading the records of a section: every step is checked against the bytes that are left."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from npuisa.container import damaged


class ByteReader:
    """Takes values off the contents of a section that claims to hold `claimed` records.

    Nothing is allocated from a claimed number before the bytes for it have been seen, so memory is bounded
    by the size of the file.
    """

    def __init__(self, contents: npt.NDArray[np.uint8], claimed: int, where: str) -> None:
        self._contents, self._claimed, self._position = contents, claimed, 0
        self.where = where

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return len(self._contents) - self._position

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > self.left:
            raise damaged(self.where, "the section ends in the middle of a record", f"{self.left} of {size} bytes")
        start = self._position
        self._position += size
        return self._contents[start : start + size].tobytes()

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """The next values in a `struct` layout."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def text(self, size: int) -> str:
        """The next `size` bytes as UTF-8."""
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise damaged(self.where, "not UTF-8", str(error)) from None

    def numbers(self, dtype: str, count: int) -> list[int]:
        """The next `count` integers of a NumPy type such as "<u4"."""
        width = np.dtype(dtype).itemsize
        if count > self.left // width:
            raise damaged(self.where, "more numbers than the section has bytes for", f"{count}")
        return np.frombuffer(self.take(width * count), dtype).tolist()

    def counted(self, count: int, least_bytes: int) -> Iterator[int]:
        """0 .. count - 1, provided that `count` records of at least `least_bytes` can be there."""
        if count > self.left // least_bytes:
            raise damaged(self.where, f"{self.left} bytes cannot hold that many records", str(count))
        return iter(range(count))

    def records(self, least_bytes: int) -> Iterator[int]:
        """The numbers of the claimed records, each of at least `least_bytes`."""
        return self.counted(self._claimed, least_bytes)

    def fixed(self, size: int) -> list[bytes]:
        """All contents as the claimed number of records of `size` bytes."""
        if self._claimed * size != self.left:
            raise damaged(self.where, f"{self._claimed} records of {size} bytes", f"{self.left} bytes")
        return [self.take(size) for _ in range(self._claimed)]

    def rows(self, layout: str) -> list[tuple[int, ...]]:
        """All contents as the claimed number of records in a `struct` layout."""
        size = struct.calcsize(layout)
        if self._claimed * size != self.left:
            raise damaged(self.where, f"{self._claimed} records of {size} bytes", f"{self.left} bytes")
        return list(struct.iter_unpack(layout, self.take(self.left)))

    def end(self) -> None:
        """The section must be used up."""
        if self.left:
            raise damaged(self.where, "bytes after the last record", str(self.left))
