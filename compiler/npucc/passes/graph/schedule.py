"""Choose the schedule of every group and the tensors that stay on chip; write both into the IR."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from npucc.context import target_of
from npucc.dialects import graph
from npucc.dialects.graph_ops.base import SPACE
from npucc.module_metadata import add_metadata
from npucc.passes.graph.functions import functions_of
from npucc.passes.graph.staging import insert_staging, remove_useless
from npucc.schedule.problem import Plan, Problem
from npucc.schedule.residency import FunctionSchedule
from npucc.schedule.spaces import keep_on_chip


@dataclass(frozen=True)
class GraphSchedulePass(ModulePass):
    """Before: groups whose concatenations and results are writable in place. After: each group has a `schedule`
    attribute, and groups and concatenations whose result stays in SRAM until its last use have `space = "sram"`.

    A group that already has a schedule keeps it (somebody wrote it by hand). NPU-E0701 when a group fits no
    schedule. `effort` 0 to 3 sets how many tile sizes are tried; `residency=false` keeps every tensor between groups in
    DRAM. What a loop reads in every step is copied into SRAM before it, and what it stacks out of it afterwards,
    where that pays. After `time_limit` seconds no further tensor is considered for residency, and the module's
    metadata says so (`time_limit_reached`).
    """

    name = "graph-schedule"

    target: str = ""
    effort: int = 2
    residency: bool = True
    time_limit: float | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = target_of(ctx, self.target)
        for function in functions_of(op):
            for each in function.walk():
                each.attributes.pop(SPACE, None)
            staging = insert_staging(function) if self.residency else {}
            schedule = FunctionSchedule(function, target, self.effort, self.time_limit, staging=staging)
            schedule.decide(resident=self.residency)
            if schedule.cut_short:
                add_metadata(op, {"time_limit_reached": self.name})
            for value in schedule.resident:
                keep_on_chip(value)
            for group in schedule.groups:
                if group.schedule is None:
                    group.schedule = schedule_attribute(schedule.problem(group), schedule.plan(group))
            remove_useless(function, staging)


def schedule_attribute(problem: Problem, plan: Plan) -> graph.ScheduleAttr:
    """The plan as text that a person can read and edit."""
    names = [dim.name for dim in problem.dims]
    tiles = {name: size for name, size in zip(names, plan.tiles)}
    return graph.ScheduleAttr.make([names[dim] for dim in plan.order], tiles, dict(plan.depths))
