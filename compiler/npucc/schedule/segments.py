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
    count = -(-extent // tile)

    def signature(index: int) -> tuple[int, ...]:
        size = min(tile, extent - index * tile)
        return (size, *_padding(problem, dim, index * tile, size))

    # Padding only shrinks along the front and only grows along the back: between the two, all tiles are alike.
    front, back = 0, count
    while front < back and not _inner(signature(front), tile):
        front += 1
    while back > front and not _inner(signature(back - 1), tile):
        back -= 1
    ends = [(index, signature(index)) for index in (*range(front), *range(back, count))]
    found = [Segment(front * tile, tile, back - front, tile)] if back > front else []
    return tuple(sorted([*found, *_runs(ends, tile)], key=lambda segment: segment.start))


def _inner(signature: tuple[int, ...], tile: int) -> bool:
    return signature[0] == tile and not any(signature[1:])


def _runs(tiles: list[tuple[int, tuple[int, ...]]], tile: int) -> list[Segment]:
    """Neighbouring tiles of equal signature as segments."""
    found: list[Segment] = []
    last: tuple[int, tuple[int, ...]] | None = None
    for index, signature in tiles:
        if last is not None and last == (index - 1, signature):
            run = found[-1]
            found[-1] = Segment(run.start, tile, run.count + 1, run.size)
        else:
            found.append(Segment(index * tile, tile, 1, signature[0]))
        last = (index, signature)
    return found


def _padding(problem: Problem, dim: int, start: int, size: int) -> list[int]:
    low = tuple(start if d == dim else 0 for d in range(len(problem.dims)))
    sizes = tuple(size if d == dim else spec.size for d, spec in enumerate(problem.dims))
    missing: list[int] = []
    for tensor in problem.tensors():
        for axis, (_, _, before, after) in enumerate(tensor.access.box(low, sizes)):
            if any(d == dim for d, _ in tensor.access.exprs[axis].terms):
                missing += [before, after]
    return missing
