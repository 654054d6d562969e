"""When each buffer of a tile program is in use, counted in groups: what memory planning and its check share."""

from __future__ import annotations

from dataclasses import dataclass

from npucc.analysis.tile_program import Outline, enclosing_group, users
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
    """A pool lives in its group, an alloc from the first to the last group that uses it."""
    position = {group: index for index, group in enumerate(program.groups)}
    found: list[Lifetime] = []
    for group, index in position.items():
        found += [Lifetime(pool, pool.space.data, pool.bytes, index, index + 1) for pool in group.pools]
    for alloc in program.allocs:
        type_ = memref_of(alloc.result)
        groups = [enclosing_group(user) for user in users(alloc.result)]
        steps = [position[group] for group in groups if group is not None] or [0]
        found.append(Lifetime(alloc, space_of(type_), memref_bytes(type_), min(steps), max(steps) + 1))
    return found
