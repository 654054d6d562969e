"""From a schedule attribute (perhaps edited by a person) back to a plan, checked against the group and the machine."""

from __future__ import annotations

import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.target import Target

from npucc.dialects.graph import ScheduleAttr
from npucc.schedule.candidates import contiguous
from npucc.schedule.cost import CostModel
from npucc.schedule.problem import Plan, Problem, default_depths

BAD_SCHEDULE = error_code("NPU-E0702", ExitCode.DOES_NOT_FIT, "The schedule written on a group cannot run")


def plan_of(schedule: ScheduleAttr, problem: Problem, target: Target, nodes: tuple[str, ...] = ()) -> Plan:
    """The plan that `schedule` describes, priced by the cost model.

    NpuError (NPU-E0702) when it names a dim that the group does not have, misses a split dim in its order, puts
    a parallel loop inside a reduction loop, or does not fit the machine.
    """
    where = ", ".join(nodes)
    names = [dim.name for dim in problem.dims]
    sizes = schedule.tile_sizes()
    _check_names(schedule, names, sizes, where)
    tiles = tuple(min(sizes.get(dim.name, dim.size), max(dim.size, 1)) for dim in problem.dims)
    order = tuple(
        names.index(name)
        for name in schedule.loop_order()
        if tiles[names.index(name)] < problem.dims[names.index(name)].size
    )
    _check_loops(problem, tiles, order, where)
    depths = _depths(schedule, problem, order, where)
    grid = np.array(tiles, dtype=np.int64).reshape(-1, 1)
    if not contiguous(problem, grid)[0]:
        found = ", ".join(f"{name} = {tile}" for name, tile in zip(names, tiles))
        raise _bad(
            "a tile of a tensor is not one box", where, found, "split g or the channels within a group, not both"
        )
    full = (*order, *(d for d in range(len(names)) if d not in order))
    estimate = CostModel(problem, target).evaluate(grid, full, target.sram.bytes, depths)
    if not np.isfinite(estimate.cycles[0]):
        found = f"{estimate.sram_bytes[0]} bytes of SRAM, {estimate.acc_bytes[0]} of accumulators"
        raise _bad("the schedule does not fit the machine", where, found, "take smaller tiles or fewer buffers")
    return Plan(
        tiles,
        order,
        tuple(depths.items()),
        float(estimate.cycles[0]),
        int(estimate.sram_bytes[0]),
        int(estimate.acc_bytes[0]),
        float(estimate.dram_bytes[0]),
    )


def _depths(schedule: ScheduleAttr, problem: Problem, order: tuple[int, ...], where: str) -> dict[str, int]:
    """Slots of every pool: as written, else the default."""
    depths = default_depths(problem, order)
    for label, depth in schedule.depths().items():
        if label not in depths:
            raise _bad(f"the group has no buffer {label}", where, label, f"its buffers are {', '.join(depths)}")
        depths[label] = depth
    return depths


def _check_names(schedule: ScheduleAttr, names: list[str], sizes: dict[str, int], where: str) -> None:
    unknown = [name for name in (*schedule.loop_order(), *sizes) if name not in names]
    if unknown:
        raise _bad(f"the group has no dim {unknown[0]}", where, unknown[0], f"its dims are {', '.join(names)}")


def _check_loops(problem: Problem, tiles: tuple[int, ...], order: tuple[int, ...], where: str) -> None:
    for dim, (spec, tile) in enumerate(zip(problem.dims, tiles)):
        if tile < spec.size and dim not in order:
            raise _bad(
                f"dim {spec.name} is split but not in the loop order",
                where,
                str(tile),
                f"add {spec.name} to order",
            )
        if tile < spec.size and not spec.tileable:
            raise _bad(f"dim {spec.name} cannot be split", where, str(tile), f"leave it whole ({spec.size})")
    kinds = [problem.reduction(dim) for dim in order]
    if kinds != sorted(kinds):
        raise _bad(
            "a parallel loop stands inside a reduction loop",
            where,
            str(order),
            "put reduction loops innermost",
        )


def _bad(message: str, where: str, found: str, remedy: str) -> NpuError:
    return NpuError(BAD_SCHEDULE, message, where=where, found=found, remedy=remedy)
