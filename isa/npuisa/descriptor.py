"""Tensor descriptors: N-dimensional strided views of a memory, the operands of every engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import prod

from npuisa.dtypes import DType


class Space(IntEnum):
    """Memory spaces. `L2` exists only on targets that have one."""

    DRAM = 0
    L2 = 1
    SRAM = 2
    ACC = 3


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A strided view: element `(i0, i1, ...)` lies at byte `base + dtype.bytes * sum(i * stride)`.

    `dims` and `strides` (in elements, signed; 0 broadcasts a source) have the same length, 0 to 8.
    `base` is a byte address in `space`; an operand may add a scalar register to it.
    """

    name: str
    space: Space
    dtype: DType
    base: int
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    fill: float | int = 0

    @property
    def elements(self) -> int:
        """Number of elements of the view."""
        return prod(self.dims)

    @property
    def bytes(self) -> int:
        """Bytes of all elements of the view (not the span it covers)."""
        return self.elements * self.dtype.bytes

    def byte_range(self, offset: int = 0) -> tuple[int, int]:
        """Lowest byte and one past the highest byte touched, with `offset` bytes added to the base."""
        low = high = 0
        for dim, stride in zip(self.dims, self.strides):
            if dim == 0:
                return self.base + offset, self.base + offset
            reach = (dim - 1) * stride
            low, high = low + min(reach, 0), high + max(reach, 0)
        width = self.dtype.bytes
        start = self.base + offset
        return start + low * width, start + (high + 1) * width


def row_major(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in elements of a dense row-major tensor of shape `dims`."""
    strides: list[int] = []
    step = 1
    for dim in reversed(dims):
        strides.append(step)
        step *= dim
    return tuple(reversed(strides))
