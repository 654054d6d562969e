"""DRAM regions of a program, and whether a descriptor lies inside the memory it names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from npuisa.descriptor import Descriptor, Space
from npuisa.descriptor_encoding import BASE_BITS
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.program import Region
from npuisa.target import Target

BAD_REGION = error_code("NPU-E0313", ExitCode.BAD_INPUT, "A DRAM region is not legal")


def check_regions(regions: Sequence[Region]) -> None:
    """Raise NpuError (NPU-E0313) unless regions lie in the address space and do not overlap."""
    for region in regions:
        if region.base < 0 or region.size < 0 or region.base + region.size > 1 << BASE_BITS:
            found = f"base {region.base}, size {region.size}"
            raise NpuError(BAD_REGION, f"region {region.name} leaves 0..2^{BASE_BITS}", found=found)
    occupied = sorted((region for region in regions if region.size), key=lambda region: region.base)
    for first, second in pairwise(occupied):
        if first.base + first.size > second.base:
            message = f"regions {first.name} and {second.name} overlap"
            found = f"{first.size} bytes at {first.base} and {second.size} bytes at {second.base}"
            raise NpuError(BAD_REGION, message, found=found, remedy="place them apart")


def enclosing(regions: Sequence[Region], low: int, high: int) -> Region | None:
    """The region that holds bytes `low` to `high` (exclusive), or None."""
    for region in regions:
        if region.base <= low and high <= region.base + region.size:
            return region
    return None


def memory_problem(descriptor: Descriptor, regions: Sequence[Region], fixed: bool, target: Target | None) -> str | None:
    """Which rule of the memory map `descriptor` breaks, or None.

    `fixed`: some operand uses it without a register, so that it must lie in one region as it stands. A
    descriptor that always moves with a register only has to lie within the extent of all regions.
    """
    low, high = descriptor.byte_range()
    if low < 0:
        return "the view begins below address 0"
    if descriptor.space is Space.DRAM:
        return _dram_problem(regions, low, high, fixed)
    if descriptor.space is Space.L2:
        return "the target has no l2 memory" if target is not None else None
    if target is None:
        return None
    size = target.sram.bytes if descriptor.space is Space.SRAM else target.accumulator.bytes
    return f"{target.name} has {size} bytes of {descriptor.space.name.lower()}" if high > size else None


def _dram_problem(regions: Sequence[Region], low: int, high: int, fixed: bool) -> str | None:
    if fixed:
        return None if enclosing(regions, low, high) else "the view lies outside of every DRAM region"
    first = min((region.base for region in regions), default=0)
    last = max((region.base + region.size for region in regions), default=0)
    return None if first <= low and high <= last else "the view lies outside of all DRAM regions"
