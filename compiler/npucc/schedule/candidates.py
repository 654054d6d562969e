"""Candidate tile sizes and loop orders of a problem, as arrays: one row per dim, one column per candidate."""

from __future__ import annotations

from itertools import permutations
from math import prod

import numpy as np
import numpy.typing as npt
from npuisa.target import Target

from npucc.schedule.problem import Problem

Ints = npt.NDArray[np.int64]

MAX_CHOICES = 20
"""Tile sizes tried per dim."""


def tile_choices(extent: int, units: tuple[int, ...], limit: int) -> list[int]:
    """Tile sizes worth trying for a dim: balanced splits (`ceil(extent / q)`), and multiples of `units`.

    At most about `limit` of them, spread evenly on a logarithmic scale, always with 1 tile and the smallest.
    """
    balanced = {-(-extent // q) for q in range(1, min(extent, 512) + 1)} | {1}
    aligned = {unit * m for unit in units for m in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if unit * m < extent}
    choices = sorted(balanced | aligned)
    if len(choices) <= limit:
        return choices
    wanted = np.geomspace(1, extent, limit)
    kept = {choices[int(np.argmin(np.abs(np.log(np.array(choices)) - np.log(w))))] for w in wanted}
    return sorted(kept | {extent} | {c for c in aligned if c in units})


def tile_grid(problem: Problem, target: Target, most: int = 20_000) -> Ints:
    """Combinations of tile choices, at most about `most`, shape (dims, candidates); those that split a tensor axis
    with two loops unevenly (see `contiguous`) are left out."""
    units = (target.matrix.rows, target.matrix.cols) if problem.work.engine == "mx" else (target.vector.lanes,)
    limit = MAX_CHOICES
    while True:
        choices = [_choices(problem, index, target, tuple(set(units)), limit) for index in range(len(problem.dims))]
        if prod(len(c) for c in choices) <= most or limit <= 3:
            break
        limit -= 1
    grid = (
        np.stack([axis.ravel() for axis in np.meshgrid(*choices, indexing="ij")]) if choices else np.ones((0, 1), int)
    )
    return grid[:, contiguous(problem, grid)].astype(np.int64)


def _choices(problem: Problem, index: int, target: Target, units: tuple[int, ...], limit: int) -> list[int]:
    dim = problem.dims[index]
    if not dim.tileable:
        return [max(dim.size, 1)]
    granule = _granule(problem, index, target)
    found = tile_choices(dim.size, (*units, granule), limit)
    return [tile for tile in found if tile % granule == 0 or tile in (1, dim.size)]


def _granule(problem: Problem, index: int, target: Target) -> int:
    """Elements that fill a line of an SRAM bank, for dims that run along the innermost axis of a tensor; else 1.

    Splitting such a dim elsewhere makes vectors straddle lines (bank conflicts) and rows start inside DRAM bursts.
    A tile of 1 stays a candidate for machines on which nothing else fits.
    """
    along = [
        max(1, target.sram.bank_bytes // tensor.element_bytes)
        for tensor in problem.tensors()
        if tensor.access.exprs and any(d == index and abs(c) == 1 for d, c in tensor.access.exprs[-1].terms)
    ]
    return max(along, default=1)


def contiguous(problem: Problem, tiles: Ints) -> npt.NDArray[np.bool_]:
    """Whether each tile of every tensor is one box.

    An axis indexed by two loops (grouped channels: `g * size + c`) gives a box only if the inner loop is
    whole where the outer one takes more than one step. Overlapping windows (`oh * stride + kh`) always do.
    """
    good = np.ones(tiles.shape[1], dtype=np.bool_)
    for tensor in problem.tensors():
        for expr in tensor.access.exprs:
            for outer, step in expr.terms:
                for inner, smaller in expr.terms:
                    nested = smaller < step and smaller * problem.dims[inner].size == step
                    if inner != outer and nested:
                        good &= (tiles[outer] == 1) | (tiles[inner] == problem.dims[inner].size)
    return good


def loop_orders(problem: Problem) -> list[tuple[int, ...]]:
    """Orders of all dims, outermost first, reductions innermost.

    Dims that the same tensors depend on are interchangeable for reuse and stay together, so that only the
    order of such classes is permuted.
    """
    parallel = [d for d, dim in enumerate(problem.dims) if dim.kind == "parallel"]
    reduction = tuple(d for d, dim in enumerate(problem.dims) if dim.kind == "reduction")
    classes: dict[frozenset[str], list[int]] = {}
    for dim in parallel:
        users = frozenset(t.label for t in problem.operands if dim in t.access.dims_used())
        classes.setdefault(users, []).append(dim)
    members = list(classes.values())
    orders = permutations(members) if len(members) <= 4 else [tuple(members)]
    return [(*(dim for group in order for dim in group), *reduction) for order in orders]
