"""Pass `tile-plan-memory`: addresses of pools and buffers from their lifetimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from npuisa.alignment import BUFFER_ALIGNMENT
from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass

from npucc.analysis.lifetimes import Lifetime, lifetimes
from npucc.analysis.tile_program import Outline, acquires_of, outline, users
from npucc.analysis.views import root_of
from npucc.context import target_of
from npucc.dialects.tile import (
    AllocOp,
    ConstantOp,
    CopyOp,
    GroupOp,
    MemorySpace,
    PoolOp,
)
from npucc.planning.allocate import Buffer, peak, place

DOES_NOT_FIT = error_code("NPU-E0711", ExitCode.DOES_NOT_FIT, "The buffers of a group do not fit on chip")
FRAGMENTED = error_code("NPU-E0712", ExitCode.DOES_NOT_FIT, "No addresses were found for the buffers")

_ATTEMPTS = 24
_LEAD_OF_CONSTANTS = 8
"""Groups; how far ahead the sequencer gets is limited by the queues anyway."""


@dataclass(frozen=True)
class TilePlanMemoryPass(ModulePass):
    """Before: a tile program. After: every `tile.pool` and `tile.alloc` has an address in its memory.

    Buffers of overlapping lifetime do not overlap. The lifetime of a pool is its group, that of an alloc the
    groups from its first to its last user. Where there is room, a pool's lifetime begins some groups before its
    own, so that its first tiles can be loaded or computed while those still run. Addresses of DRAM buffers
    count from the start of the scratch region. Raises NpuError if the buffers do not fit.
    """

    name = "tile-plan-memory"

    target: str = ""
    prefetch: bool = True
    time_limit: float = 2.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = target_of(ctx, self.target)
        program = outline(op)
        capacities = {
            MemorySpace.SRAM: target.sram.bytes,
            MemorySpace.ACC: target.accumulator.bytes,
            MemorySpace.DRAM: target.dram.bytes,
        }
        for space, capacity in capacities.items():
            requests = _requests(program, space)
            plan = _Plan(program.groups, requests, space, capacity, self.time_limit)
            plan.solve(self.prefetch and space is not MemorySpace.DRAM)


@dataclass
class _Request:
    """A buffer that needs an address: alive in groups [start, end), and in `lead` groups before if it fits."""

    op: PoolOp | AllocOp
    size: int
    start: int
    end: int
    most_lead: int = 0
    lead: int = 0

    def buffer(self) -> Buffer:
        """What the allocator sees."""
        return Buffer(self.size, self.start - self.lead, self.end, BUFFER_ALIGNMENT)

    def __str__(self) -> str:
        return f'{self.op.name} "{self.op.label.data}" {self.size}'


def _requests(program: Outline, space: MemorySpace) -> list[_Request]:
    return [
        _Request(life.op, life.size, life.start, life.end, _lead_of(life, program))
        for life in lifetimes(program)
        if life.space is space
    ]


def _lead_of(life: Lifetime, program: Outline) -> int:
    """Nothing is loaded ahead across the border of a loop or branch."""
    if not isinstance(life.op, PoolOp):
        return 0
    border = max((place for place in program.borders if place <= life.start), default=0)
    return min(_most_lead(life.op), life.start - border)


def _most_lead(pool: PoolOp) -> int:
    """Groups before its own during which a pool profits from an address of its own.

    Constants can be loaded long before; tensors from DRAM when they have been written; other pools gain only
    that their first tile need not wait for the last one of the group before.
    """
    sources = [
        root_of(user.src).owner
        for acquire in acquires_of(pool)
        for user in users(acquire.result)
        if isinstance(user, CopyOp) and root_of(user.dst) is acquire.result
    ]
    if sources and all(isinstance(source, ConstantOp) for source in sources):
        return _LEAD_OF_CONSTANTS
    return 2 if sources else 1


@dataclass
class _Plan:
    """Allocation in one memory space."""

    groups: Sequence[GroupOp]
    requests: list[_Request]
    space: MemorySpace
    capacity: int
    time_limit: float

    def solve(self, extend: bool) -> None:
        """Set the addresses, with lifetimes that begin as early as fits; NpuError if it fits with none."""
        if not self.requests:
            return
        self._check_sums()
        if extend:
            self._extend()
        for attempts_left in reversed(range(_ATTEMPTS)):
            if attempts_left == 0:
                for request in self.requests:
                    request.lead = 0
            last = not any(request.lead for request in self.requests)
            limit = self.time_limit if last else 0.0
            placement = place([r.buffer() for r in self.requests], self.capacity, limit)
            if not placement.failed:
                for request, address in zip(self.requests, placement.addresses):
                    request.op.address = IntegerAttr(address, i64)
                return
            failed = [self.requests[index] for index in placement.failed]
            if last:
                raise self._fragmented(failed)
            self._shorten(failed)

    def _check_sums(self) -> None:
        most, step = peak([request.buffer() for request in self.requests])
        if most > self.capacity:
            raise self._too_large(step, most)

    def _alive(self, step: int) -> list[_Request]:
        return [r for r in self.requests if r.start - r.lead <= step < r.end]

    def _extend(self) -> None:
        """Let lifetimes begin earlier, one group at a time for all, where the sums permit."""
        used = [0] * len(self.groups)
        for request in self.requests:
            for step in range(request.start, request.end):
                used[step] += request.size
        for lead in range(1, _LEAD_OF_CONSTANTS + 1):
            for request in sorted(self.requests, key=lambda r: (-r.most_lead, r.start)):
                step = request.start - lead
                wanted = request.lead == lead - 1 < request.most_lead
                if wanted and used[step] + request.size <= self.capacity:
                    request.lead = lead
                    used[step] += request.size

    def _shorten(self, failed: list[_Request]) -> None:
        """Halve the longest extensions of the requests that are alive together with those that failed."""
        around = [
            r
            for r in self.requests
            if r.lead and any(r.start - r.lead < f.end and f.start - f.lead < r.end for f in failed)
        ]
        around = around or [r for r in self.requests if r.lead]
        longest = max(r.lead for r in around)
        for request in around:
            if request.lead == longest:
                request.lead //= 2

    def _name(self, step: int) -> str:
        return f'group {step} "{self.groups[step].label.data}"' if self.groups else "func.func @main"

    def _too_large(self, step: int, most: int) -> NpuError:
        largest = sorted(self._alive(step), key=lambda r: -r.size)
        return NpuError(
            DOES_NOT_FIT,
            f"buffers do not fit the {self.space.value} memory",
            where=self._name(step),
            found=f"{most} bytes of {self.capacity}: " + ", ".join(str(r) for r in largest[:8]),
            remedy="use smaller tiles or shallower pools in the group's schedule, fewer resident tensors, or a "
            "target with more memory",
        )

    def _fragmented(self, failed: list[_Request]) -> NpuError:
        steps = {step for request in failed for step in range(request.start, request.end)}
        crowd = {step: sum(request.size for request in self._alive(step)) for step in sorted(steps)}
        step = max(crowd, key=lambda s: crowd[s])
        return NpuError(
            FRAGMENTED,
            f"no placement of the buffers in the {self.space.value} memory was found in {self.time_limit} s",
            where=self._name(step),
            found=f"{crowd[step]} bytes alive, capacity {self.capacity}; "
            f"without address: {', '.join(str(r) for r in failed[:8])}",
            remedy="raise time_limit of tile-plan-memory, or use smaller tiles or fewer resident tensors",
        )
