"""Which tensors stay in SRAM between groups, and every group's schedule in the memory that is left.

Greedy: tensors in order of traffic saved per byte and group of lifetime; one is kept on chip when the predicted
cycles of all groups that live beside it fall. The groups' budgets are what the tensors alive during them leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

from npuisa.alignment import align
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.target import Target
from npusim.costs_dma import latency_cycles as dma_latency
from xdsl.dialects import func
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.dialects.graph_ops.base import nodes_of, tensor_type
from npucc.planning.allocate import Buffer, allocate
from npucc.schedule.attribute import plan_of
from npucc.schedule.groups import group_problem
from npucc.schedule.problem import Location, Plan, Problem, Tensor
from npucc.schedule.program_order import ProgramOrder
from npucc.schedule.search import search, smallest_footprint
from npucc.schedule.storage import Storage
from npucc.types import dtype_of

NO_SCHEDULE = error_code("NPU-E0701", ExitCode.DOES_NOT_FIT, "A group fits no schedule on the target")
BUDGET_STEP = 4096
"""Budgets are rounded down to multiples of it, so that equal layers meet equal problems and are planned once."""


@dataclass(frozen=True)
class Candidate:
    """A tensor that could stay on chip: its root value, bytes, lifetime in groups (inclusive), accesses (those in
    loops as often as they run)."""

    value: SSAValue
    bytes: int
    first: int
    last: int
    accesses: int

    def gain(self) -> float:
        """DRAM transfers saved per group that has to live beside it."""
        return self.accesses / (self.last - self.first + 1)


@dataclass
class FunctionSchedule:
    """Schedules of one function, built up by `decide`."""

    function: func.FuncOp
    target: Target
    effort: int = 2
    time_limit: float | None = None
    cut_short: bool = False
    """Whether the time limit ended the search."""
    staging: Mapping[graph.GroupOp, SSAValue] = field(default_factory=dict)
    """Copies that are dropped again if this value does not stay on chip: then they cost nothing."""
    resident: set[SSAValue] = field(default_factory=set)
    groups: list[graph.GroupOp] = field(default_factory=list)
    _plans: dict[int, Plan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._order = ProgramOrder(self.function)
        self.groups = self._order.groups
        self._index = self._order.index
        self._storage = Storage(self.function)
        self._kept: list[Candidate] = []
        self._beside = [0] * len(self.groups)
        dram = [group_problem(group, self.target, _in_dram, self._is_constant) for group in self.groups]
        self._problems = dict(zip(self.groups, dram))

    def decide(self, *, resident: bool) -> None:
        """Choose residency and all schedules; NpuError when a group fits none."""
        for index in range(len(self.groups)):
            self._plans[index] = self._required(index)
        started = perf_counter()
        for candidate in self._candidates() if resident else []:
            if self.time_limit is not None and perf_counter() - started > self.time_limit:
                self.cut_short = True
                break
            self._try(candidate)
        dropped: list[Candidate] = []
        while not self._packs():
            for candidate in sorted(self._kept, key=Candidate.gain)[: max(1, len(self._kept) // 8)]:
                dropped.append(candidate)
                self._drop(candidate)
        self._take_back(dropped)

    def problem(self, group: graph.GroupOp) -> Problem:
        """The group as a problem under the present residency."""
        problem = self._problems[group]
        operands = tuple(_moved(t, self._locate(value)) for t, value in zip(problem.operands, group.operands))
        return replace(problem, operands=operands, result=_moved(problem.result, self._locate(group.results[0])))

    def plan(self, group: graph.GroupOp) -> Plan:
        """The group's schedule."""
        return self._plans[self._index[group]]

    def _locate(self, value: SSAValue) -> Location:
        return "sram" if self._storage.root(value) in self.resident else "dram"

    def _budget(self, index: int) -> int:
        return (self.target.sram.bytes - self._beside[index]) // BUDGET_STEP * BUDGET_STEP

    def _keep(self, candidate: Candidate) -> None:
        self.resident.add(candidate.value)
        self._kept.append(candidate)
        self._occupy(candidate, align(candidate.bytes))

    def _release(self, candidate: Candidate) -> None:
        self.resident.discard(candidate.value)
        self._kept.remove(candidate)
        self._occupy(candidate, -align(candidate.bytes))

    def _occupy(self, candidate: Candidate, size: int) -> None:
        for index in range(candidate.first, candidate.last + 1):
            self._beside[index] += size

    def _search(self, index: int) -> Plan | None:
        group = self.groups[index]
        problem = self.problem(group)
        if group.schedule is not None:
            return plan_of(group.schedule, problem, self.target, nodes_of(group))
        return search(problem, self.target, max(self._budget(index), 0), self.effort)

    def _required(self, index: int) -> Plan:
        plan = self._search(index)
        if plan is None:
            raise self._no_schedule(index)
        return plan

    def _no_schedule(self, index: int) -> NpuError:
        group = self.groups[index]
        need = smallest_footprint(self.problem(group), self.target)
        found = (
            "no tile size meets the accumulator and loop limits" if need is None else f"{need} bytes of SRAM at least"
        )
        return NpuError(
            NO_SCHEDULE,
            f"no schedule fits {self.target.name}: {self.target.sram.bytes} bytes of SRAM, "
            f"{self.target.accumulator.bytes} of accumulators",
            where=", ".join(nodes_of(group)) or group.name,
            found=found,
            remedy="choose a target with more on-chip memory or a narrower precision",
        )

    def _candidates(self) -> list[Candidate]:
        """Intermediate tensors that fit the SRAM at all, best first."""
        lifetimes: dict[SSAValue, list[int]] = {}
        accesses: dict[SSAValue, int] = {}
        for index, group in enumerate(self.groups):
            for value in (*group.operands, *group.results):
                if not self._storage.is_interface(value):
                    root = self._storage.root(value)
                    lifetimes.setdefault(root, []).extend(self._order.in_use(group, root))
                    accesses[root] = accesses.get(root, 0) + self._order.executions[index]
        found: list[Candidate] = []
        for value, touched in lifetimes.items():
            type_ = tensor_type(value)
            size = dtype_of(type_.element_type).bytes
            for extent in type_.get_shape():
                size *= extent
            if 0 < size < self.target.sram.bytes:
                found.append(Candidate(value, size, min(touched), max(touched), accesses[value]))
        return sorted(found, key=lambda c: (-c.gain(), -c.bytes))

    def _try(self, candidate: Candidate) -> None:
        """Keep the tensor on chip if the groups it lives beside get faster together."""
        span = range(candidate.first, candidate.last + 1)
        before = sum(self._cycles(index, self._plans[index]) for index in span)
        self._keep(candidate)
        plans: dict[int, Plan] = {}
        cycles = 0.0
        for index in span:
            plan = self._search(index)
            if plan is None or cycles + self._cycles(index, plan) >= before:
                break
            plans[index] = plan
            cycles += self._cycles(index, plan)
        if len(plans) == len(span):
            self._plans.update(plans)
        else:
            self._release(candidate)

    def _is_constant(self, value: SSAValue) -> bool:
        """Whether `value` is a constant, or a copy of one that is dropped if it does not stay on chip."""
        owner = value.owner
        if isinstance(owner, graph.GroupOp) and owner in self.staging:
            return self._storage.is_constant(owner.operands[0])
        return self._storage.is_constant(value)

    def _cycles(self, index: int, plan: Plan) -> float:
        """Cycles of a group in all its executions."""
        staged = self.staging.get(self.groups[index])
        if staged is not None and self._storage.root(staged) not in self.resident:
            return 0.0
        return (plan.cycles + self._latency(index)) * self._order.executions[index]

    def _latency(self, index: int) -> float:
        """What a group in a loop waits for the DRAM: no other step hides it, since each ends with all engines idle."""
        if self._order.executions[index] == 1:
            return 0.0
        group = self.groups[index]
        reads = any(self._locate(value) == "dram" for value in group.operands)
        writes = self._locate(group.results[0]) == "dram"
        read, write = (float(dma_latency(self.target, write=side)) for side in (False, True))
        return reads * read + writes * write

    def _packs(self) -> bool:
        """Whether the tensors and every group's buffers find addresses together (greedily: the result must not
        depend on the clock)."""
        buffers = [Buffer(align(c.bytes), c.first, c.last + 1) for c in self._kept]
        buffers += [Buffer(align(plan.sram_bytes), i, i + 1) for i, plan in self._plans.items() if plan.sram_bytes]
        return not self._kept or allocate(buffers, self.target.sram.bytes, time_limit=0.0) is not None

    def _take_back(self, dropped: Sequence[Candidate]) -> None:
        """Packing gives back several tensors at a time: those of them that find an address after all stay, the ones
        that save the most traffic first."""
        for candidate in sorted(dropped, key=lambda c: -c.accesses * c.bytes):
            if candidate not in self._kept:
                self._try(candidate)
                if candidate in self._kept and not self._packs():
                    self._drop(candidate)

    def _drop(self, candidate: Candidate) -> None:
        """Give a tensor back to DRAM; groups that no longer fit beside the others cost further tensors."""
        if candidate not in self._kept:
            return
        self._release(candidate)
        for index in range(candidate.first, candidate.last + 1):
            plan = self._search(index)
            beside = [c for c in self._kept if c.first <= index <= c.last]
            if plan is None and beside:
                self._drop(min(beside, key=Candidate.gain))
                plan = self._search(index)
            self._plans[index] = plan if plan is not None else self._required(index)


def _in_dram(_: SSAValue) -> Location:
    return "dram"


def _moved(tensor: Tensor, location: Location) -> Tensor:
    return tensor if tensor.location == location else replace(tensor, location=location)
