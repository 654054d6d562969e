"""Loop segments: the tiles of a dim, cut into runs of equal size and padding; a run is one rolled loop."""

from __future__ import annotations

from dataclasses import dataclass

from npucc.schedule.problem import Problem


@dataclass(frozen=True, slots=True)
class Segment:
    """`count` tiles of `size` along a dim, starting at `start`: start, start + step, ..."""

    start: int
    step: int
    count: int
    size: int


def segments(problem: Problem, dim: int, tile: int) -> tuple[Segment, ...]:
    """Cut dim `dim` with tile size `tile` into segments.

    Two neighbouring tiles belong to one segment when they have the same size and every tensor misses the
    same number of positions (padding) before and after the box that the tile reads.
    """
    extent = problem.dims[dim].size
    found: list[Segment] = []
    last: tuple[int, ...] | None = None
    for start in range(0, extent, tile):
        size = min(tile, extent - start)
        signature = (size, *_padding(problem, dim, start, size))
        if signature == last:
            run = found[-1]
            found[-1] = Segment(run.start, tile, run.count + 1, size)
        else:
            found.append(Segment(start, tile, 1, size))
        last = signature
    return tuple(found)


def _padding(problem: Problem, dim: int, start: int, size: int) -> list[int]:
    low = tuple(start if d == dim else 0 for d in range(len(problem.dims)))
    sizes = tuple(size if d == dim else spec.size for d, spec in enumerate(problem.dims))
    missing: list[int] = []
    for tensor in problem.tensors():
        for axis, (_, _, before, after) in enumerate(tensor.access.box(low, sizes)):
            if any(d == dim for d, _ in tensor.access.exprs[axis].terms):
                missing += [before, after]
    return missing
