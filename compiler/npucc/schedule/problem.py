"""What the scheduler has to decide about: one group as a loop nest with tensors, engines and element sizes.

A `Problem` is plain data, hashable, free of IR: equal layers give equal problems and are planned once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from npuisa.dtypes import dtype_named

from npucc.tiling import Access, Affine, Dim

Engine = Literal["mx", "vx"]
Location = Literal["dram", "sram"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An operand or the result of a group: how the loops touch it and where it lives between groups."""

    label: str
    access: Access
    location: Location = "dram"
    constant: bool = False
    epilogue: bool = False
    """Read by the epilogue's kernel only, not by the root."""
    in_place: bool = False
    """Accessed where it lies, also in DRAM: it has no tiles in a pool."""

    @property
    def pooled(self) -> bool:
        """Whether its tiles are brought into (or leave from) a pool in SRAM."""
        return self.location == "dram" and not self.in_place

    @property
    def element_bytes(self) -> int:
        """Bytes of one element in memory."""
        return dtype_named(self.access.dtype).bytes


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine computes per tile. `micro_cycles`: interval sum of the kernel per vector of lanes."""

    kind: str
    """matmul | conv | depthwise_conv | window_reduce | reduce | softmax | argsort | scan | compress | gather | scatter
    | map"""
    engine: Engine
    micro_cycles: float = 0.0
    epilogue: bool = False
    """A kernel runs between the root's intermediate result and the output tile."""
    dtype: str = "f32"
    """Element type of the root's first operand (sets the matrix rate)."""
    rows: bool = False
    """gather, scatter: an index selects a whole row."""
    passes: int = 1
    """gather, scatter: accesses to each selected element."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One group. `intermediate` is the root's own result (accumulator, or f32 in SRAM), if it needs a buffer."""

    work: Work
    dims: tuple[Dim, ...]
    operands: tuple[Tensor, ...]
    result: Tensor
    intermediate: Access | None
    macs: int = 0
    workspace: int = 0
    """64-bit words in SRAM that the root's instruction works in."""

    def tensors(self) -> tuple[Tensor, ...]:
        """Operands, then the result."""
        return (*self.operands, self.result)

    def reduction(self, dim: int) -> bool:
        """Whether loop `dim` accumulates."""
        return self.dims[dim].kind == "reduction"


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule of a problem with its predicted cost.

    `tiles[d]` tile size of dim d; `order` the dims with more than one tile, outermost first; `depths` the
    number of slots per label (operands copied to SRAM, "acc", "out").
    """

    tiles: tuple[int, ...]
    order: tuple[int, ...]
    depths: tuple[tuple[str, int], ...]
    cycles: float
    sram_bytes: int
    acc_bytes: int
    dram_bytes: float

    def depth(self, label: str) -> int:
        """Slots of the pool of `label`."""
        return dict(self.depths).get(label, 1)


def is_strided(expr: Affine) -> bool:
    """A slice with a step: the tile holds only the elements taken (the copy or the view skips the others)."""
    return len(expr.terms) == 1 and expr.terms[0][1] != 1


def load_level(access: Access, order: tuple[int, ...]) -> int:
    """How many of the loops in `order` (outermost first) enclose the load: up to the last one that moves the tile."""
    used = access.dims_used()
    return max((level + 1 for level, dim in enumerate(order) if dim in used), default=0)


def default_depths(problem: Problem, order: tuple[int, ...]) -> dict[str, int]:
    """Slots per pool under the loops `order`: two where a loop refills it (one in use, one being filled), else one."""
    depths = {t.label: 2 if load_level(t.access, order) else 1 for t in problem.operands if t.pooled}
    parallel = any(not problem.reduction(dim) for dim in order)
    if problem.intermediate is not None:
        depths["acc"] = 2 if parallel and problem.work.engine == "mx" else 1
    if problem.result.pooled:
        depths["out"] = 2 if parallel else 1
    return depths
