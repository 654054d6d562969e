"""The tiling interface: what a group's root computes, as a loop nest with affine tensor accesses.

As in Timeloop's problem description: named dims, and for each tensor one affine expression per axis. Tile sizes,
footprints, traffic, loop segments and DMA boxes all follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Dim:
    """One loop of the iteration space.."""

    name: str
    size: int
    kind: Literal["parallel", "reduction"] = "parallel"
    tileable: bool = True


@dataclass(frozen=True, slots=True)
class Affine:
    """`sum(coefficient * dim) + constant`; `terms` holds (dim index, coefficient != 0)."""

    terms: tuple[tuple[int, int], ...] = ()
    constant: int = 0

    def range(self, low: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, int]:
        """Least value and one past the greatest, for dims d in [low[d], low[d] + size[d])."""
        first = last = self.constant
        for dim, coefficient in self.terms:
            ends = (coefficient * low[dim], coefficient * (low[dim] + size[dim] - 1))
            first, last = first + min(ends), last + max(ends)
        return first, last + 1


@dataclass(frozen=True, slots=True)
class Access:
    """How a tensor of shape `shape` is read or written: axis i at `exprs[i]`.

    Positions outside the shape (padding) read as the neutral element of the op; only the window and
    convolution axes may produce them.
    """

    shape: tuple[int, ...]
    dtype: str
    exprs: tuple[Affine, ...]

    def box(self, low: tuple[int, ...], size: tuple[int, ...]) -> tuple[tuple[int, int, int, int], ...]:
        """Per axis of the tile: (start, length inside the tensor, positions missing before, and after)."""
        result: list[tuple[int, int, int, int]] = []
        for extent, expr in zip(self.shape, self.exprs):
            first, end = expr.range(low, size)
            start, stop = max(first, 0), min(end, extent)
            result.append((start, max(stop - start, 0), start - first, end - stop))
        return tuple(result)

    def dims_used(self) -> frozenset[int]:
        """The dims on which the tile's position depends."""
        return frozenset(d for expr in self.exprs for d, _ in expr.terms)


@dataclass(frozen=True, slots=True)
class TilingSpec:
    """Iteration space and accesses of an op. `operands` in the op's order; `result` uses parallel dims only."""

    op: str
    dims: tuple[Dim, ...]
    operands: tuple[Access, ...]
    result: Access
    macs: int = 0
    """Multiply-accumulates of the whole op (0 for other work)."""
    moves: bool = False
    """The result holds elements of the operands as they are: a result of its own keeps their type."""
    workspace: int = 0
    """64-bit words in SRAM that the instruction of one tile, of any size, works in."""


def identity_access(shape: tuple[int, ...], dtype: str, dims: tuple[int, ...] | None = None) -> Access:
    """Axis i is dim `dims[i]` (default i)."""
    order = dims if dims is not None else tuple(range(len(shape)))
    return Access(shape, dtype, tuple(Affine(((d, 1),)) for d in order))


def broadcast_access(shape: tuple[int, ...], dtype: str, result_shape: tuple[int, ...]) -> Access:
    """NumPy broadcasting of a tensor against the dims of the result: axes of extent 1 stay at 0."""
    lead = len(result_shape) - len(shape)
    exprs = tuple(
        Affine() if extent == 1 and result_shape[lead + axis] != 1 else Affine(((lead + axis, 1),))
        for axis, extent in enumerate(shape)
    )
    return Access(shape, dtype, exprs)
