"""From the cycle model's result to the typed report: bound, efficiency, engines, traffic, layers."""

from __future__ import annotations

from npuisa.program import Program
from npuisa.target import Target
from npusim.bounds import bounds
from npusim.timing_result import TimingResult

from npucc.model_bound import model_bound
from npucc.results import CycleResult, DramBytes, EngineResult, LayerCycles


def cycle_result(program: Program, timing: TimingResult, target: Target) -> CycleResult:
    """Report of one timing run."""
    limits = bounds(program, target, [times.executions for times in timing.instructions])
    ideal = model_bound(program, target, limits)
    return CycleResult(
        cycles=timing.cycles,
        bound_cycles=ideal.cycles,
        bound_by=ideal.bound_by,
        program_bound_cycles=limits.cycles,
        macs=ideal.macs,
        program_macs=limits.macs,
        efficiency=ideal.cycles / timing.cycles if timing.cycles else 1.0,
        seconds_at_clock=timing.cycles / (target.clock_ghz * 1e9),
        engines={
            name: EngineResult(busy_cycles=engine.busy, instructions=engine.instructions, causes=engine.causes)
            for name, engine in timing.engines.items()
        },
        critical_engine=timing.critical_engine,
        lost_cycles=timing.lost_cycles(),
        dram_bytes=DramBytes(read=timing.dram_read, written=timing.dram_written, compulsory=ideal.compulsory_bytes),
        sram_peak_bytes=int(program.metadata.get("sram_peak_bytes", "0")),
        instructions=timing.executed,
        layers=[
            LayerCycles(
                group=group.group,
                name=group.name,
                nodes=list(group.nodes),
                first_cycle=group.start,
                last_cycle=group.end,
                cycles=group.cycles,
                critical_engine=group.critical_engine,
                busy_cycles=group.busy,
            )
            for group in timing.groups
        ],
        notes=list(timing.notes),
    )
