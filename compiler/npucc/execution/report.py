"""One report for an execution of many programs: they run one after the other, so cycles and traffic add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from npuisa.target import Target

from npucc.execution.device import ProgramRuns
from npucc.results import CycleResult, DramBytes, EngineResult, LayerCycles, SegmentResult


def combined(runs: Sequence[ProgramRuns], target: Target) -> CycleResult:
    """The sum over all runs. Layers are those of the first run of each program, one program after the other, with the
    cycles of all runs."""
    reports = [report for entry in runs for report in entry.reports]
    if len(reports) == 1:
        return reports[0]
    cycles = _sum(report.cycles for report in reports)
    bound = _sum(report.bound_cycles for report in reports)
    longest = max(reports, key=lambda report: report.bound_cycles, default=None)
    engines = _engines(reports)
    critical = max(engines, key=lambda name: engines[name].busy_cycles, default="")
    return CycleResult(
        cycles=cycles,
        bound_cycles=bound,
        bound_by=longest.bound_by if longest else "nothing",
        program_bound_cycles=_sum(report.program_bound_cycles for report in reports),
        macs=_sum(report.macs for report in reports),
        program_macs=_sum(report.program_macs for report in reports),
        efficiency=bound / cycles if cycles else 1.0,
        seconds_at_clock=cycles / (target.clock_ghz * 1e9),
        engines=engines,
        critical_engine=critical,
        lost_cycles=_lost(engines[critical]) if critical else {},
        dram_bytes=DramBytes(
            read=_sum(report.dram_bytes.read for report in reports),
            written=_sum(report.dram_bytes.written for report in reports),
            compulsory=_sum(report.dram_bytes.compulsory for report in reports),
        ),
        sram_peak_bytes=max((report.sram_peak_bytes for report in reports), default=0),
        instructions=_sum(report.instructions for report in reports),
        layers=_layers(runs),
        notes=list(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def segment_results(runs: Iterable[ProgramRuns]) -> list[SegmentResult]:
    """The programs of an execution."""
    return [
        SegmentResult(
            where="npu",
            nodes=_nodes(entry),
            runs=entry.runs,
            cycles=_sum(report.cycles for report in entry.reports),
            instructions=_sum(report.instructions for report in entry.reports),
        )
        for entry in runs
    ]


def _nodes(entry: ProgramRuns) -> list[str]:
    return list(dict.fromkeys(node for line in entry.program.debug for node in line.nodes))


def _lost(engine: EngineResult) -> dict[str, int]:
    """The causes for which an engine did not compute."""
    return {cause: cycles for cause, cycles in engine.causes.items() if cause != "compute" and cycles}


def _engines(reports: Sequence[CycleResult]) -> dict[str, EngineResult]:
    """Busy cycles, instructions and causes of every engine, added up."""
    found: dict[str, EngineResult] = {}
    for report in reports:
        for name, engine in report.engines.items():
            before = found.get(name, EngineResult(busy_cycles=0, instructions=0, causes={}))
            causes = Counter(before.causes)
            causes.update(engine.causes)
            found[name] = EngineResult(
                busy_cycles=before.busy_cycles + engine.busy_cycles,
                instructions=before.instructions + engine.instructions,
                causes=dict(causes),
            )
    return found


def _layers(runs: Sequence[ProgramRuns]) -> list[LayerCycles]:
    layers: list[LayerCycles] = []
    start = 0
    for entry in runs:
        if not entry.reports:
            continue
        total = _sum(report.cycles for report in entry.reports)
        for layer in entry.reports[0].layers:
            changes = {
                "group": len(layers),
                "first_cycle": layer.first_cycle + start,
                "last_cycle": layer.last_cycle + start,
                "cycles": layer.cycles * entry.runs,
                "busy_cycles": {name: busy * entry.runs for name, busy in layer.busy_cycles.items()},
            }
            layers.append(layer.model_copy(update=changes))
        start += total
    return layers


def _sum(numbers: Iterable[int]) -> int:
    return sum(numbers)
