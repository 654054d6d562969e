"""Checks that buffers in use at the same time have bytes of their own: semaphores order accesses, they save no data."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.target import Target

from npucc.analysis.lifetimes import Lifetime, lifetimes
from npucc.analysis.tile_program import Outline
from npucc.dialects.tile import MemorySpace

BAD_ADDRESS = error_code(
    "NPU-E0824", ExitCode.BAD_INPUT, "Buffers in use at the same time share bytes, or leave the memory"
)


def check_addresses(program: Outline, target: Target) -> None:
    """NPU-E0824, naming every pool and alloc that takes bytes of one already alive, or ends beyond the memory.

    Buffers without address are left to those who need one.
    """
    capacities = {
        MemorySpace.SRAM: target.sram.bytes,
        MemorySpace.ACC: target.accumulator.bytes,
        MemorySpace.DRAM: target.dram.bytes,
    }
    planned = [each for each in lifetimes(program) if each.op.address is not None and each.size > 0]
    problems = [problem for each in planned for problem in _outside(each, capacities[each.space], program)]
    for space in MemorySpace:
        problems += _overlaps([each for each in planned if each.space is space], program)
    if problems:
        raise NpuError(BAD_ADDRESS, "the addresses of buffers are wrong", problems=problems)


def _address(lifetime: Lifetime) -> int:
    return 0 if lifetime.op.address is None else lifetime.op.address.value.data


def _outside(lifetime: Lifetime, capacity: int, program: Outline) -> list[NpuError]:
    low = _address(lifetime)
    if low >= 0 and low + lifetime.size <= capacity:
        return []
    message = f"a buffer leaves the {lifetime.space.value} memory of {capacity} bytes"
    return [_bad(message, lifetime, f"{lifetime} at {low}", program)]


def _overlaps(buffers: Sequence[Lifetime], program: Outline) -> list[NpuError]:
    """Walk through the groups; those alive are disjoint and sorted, so that a new one is compared with neighbours."""
    born: dict[int, list[Lifetime]] = defaultdict(list)
    dying: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    alive: list[tuple[int, int, int]] = []
    problems: list[NpuError] = []
    for lifetime in buffers:
        born[lifetime.start].append(lifetime)
    owners = list(buffers)
    number = {id(lifetime): index for index, lifetime in enumerate(owners)}
    for step in range(len(program.groups) + 1):
        for entry in dying.pop(step, ()):
            alive.remove(entry)
        for lifetime in born.get(step, ()):
            low = _address(lifetime)
            entry = (low, low + lifetime.size, number[id(lifetime)])
            clash = _neighbour(alive, entry)
            if clash is None:
                insort(alive, entry)
                dying[lifetime.end].append(entry)
            else:
                other = owners[clash]
                found = f"{lifetime} at {low}, {other} at {_address(other)}"
                message = f"two buffers share bytes of the {lifetime.space.value} memory"
                problems.append(_bad(message, lifetime, found, program))
    return problems


def _neighbour(alive: list[tuple[int, int, int]], entry: tuple[int, int, int]) -> int | None:
    """Number of a buffer in `alive` that shares bytes with `entry`."""
    low, high, _ = entry
    place = bisect_left(alive, entry)
    if place > 0 and alive[place - 1][1] > low:
        return alive[place - 1][2]
    return alive[place][2] if place < len(alive) and alive[place][0] < high else None


def _bad(message: str, lifetime: Lifetime, found: str, program: Outline) -> NpuError:
    where = f'group {lifetime.start} "{program.groups[lifetime.start].label.data}"' if program.groups else ""
    return NpuError(BAD_ADDRESS, message, where=where, found=found, remedy="run tile-plan-memory, or move one of them")
