"""When each buffer of a tile program is in use, counted in groups: what memory planning and its check share."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Operation

from npucc.analysis.tile_program import Outline, users
from npucc.dialects.tile import AllocOp, MemorySpace, PoolOp, memref_bytes, memref_of, space_of


@dataclass(frozen=True)
class Lifetime:
    """`size` bytes of `space` that belong to `op` in the groups [start, end)."""

    op: PoolOp | AllocOp
    space: MemorySpace
    size: int
    start: int
    end: int

    def __str__(self) -> str:
        return f'{self.op.name} "{self.op.label.data}" {self.size}'


def lifetimes(program: Outline) -> list[Lifetime]:
    """A pool lives in its group, an alloc from the first to the last group that uses it.

    An alloc in the body of a loop is another buffer in every step. One that stands outside is the same in all: it
    lives through every loop that uses it.
    """
    position = {group: index for index, group in enumerate(program.groups)}
    found: list[Lifetime] = []
    for group, index in position.items():
        found += [Lifetime(pool, pool.space.data, pool.bytes, index, index + 1) for pool in group.pools]
    for alloc in program.allocs:
        type_ = memref_of(alloc.result)
        spans = [span for user in users(alloc.result) if (span := _span(program, alloc, user)) is not None]
        start = min((first for first, _ in spans), default=0)
        end = max((end for _, end in spans), default=1)
        found.append(Lifetime(alloc, space_of(type_), memref_bytes(type_), start, max(end, start + 1)))
    return found


def _span(program: Outline, alloc: AllocOp, user: Operation) -> tuple[int, int] | None:
    """Positions [first, end) of the groups during which `alloc` is in use because `user` accesses it."""
    current: Operation | None = user
    while current is not None and current.parent_block() is not alloc.parent_block():
        current = current.parent_op()
    if current is None or current not in program.spans:
        return None
    first, end = program.spans[current]
    return first, max(end, first + 1)
