"""What to try next, read off a report. Each rule names the figure it rests on; none promises a gain."""

from __future__ import annotations

from collections.abc import Callable

from npuisa.target import Target

from npucc.results import RunResult

NOTICEABLE = 0.1
"""Fraction of the run from which a cause deserves a hint."""


def hints(run: RunResult, target: Target) -> list[str]:
    """The hints that apply, in order of the rules below."""
    found = [rule(run, target) for rule in _RULES if run.cycles]
    return [hint for hint in found if hint]


def _share(run: RunResult, *causes: str) -> float:
    lost = sum(cycles for cause, cycles in run.lost_cycles.items() if cause in causes)
    return lost / run.cycles if run.cycles else 0.0


def _at_bound(run: RunResult, target: Target) -> str:
    if run.efficiency < 0.9:
        return ""
    return f"within 10% of the bound: only less work, a faster {run.bound_by} or a narrower type helps"


def _narrower_type(run: RunResult, target: Target) -> str:
    now = target.macs_per_cycle(run.precision)
    faster = {d: target.macs_per_cycle(d) for d in ("f16", "bf16") if now and target.macs_per_cycle(d) > now}
    if not faster or run.precision != "f32":
        return ""
    best = max(faster, key=lambda d: faster[d])
    gain = faster[best] / now
    return f"--precision {best}: {gain:g} x the MACs per cycle of f32 on {target.name}, and half the bytes"


def _memory_traffic(run: RunResult, target: Target) -> str:
    moved, compulsory = run.dram_bytes.read + run.dram_bytes.written, run.dram_bytes.compulsory
    if not compulsory or moved < 1.5 * compulsory:
        return ""
    size = f"{target.sram.bytes:,} B"
    return f"{moved / compulsory:.1f} x the compulsory DRAM bytes: more SRAM (now {size}) or a wider search (-O3)"


def _bandwidth(run: RunResult, target: Target) -> str:
    share = _share(run, "dram_bandwidth", "wait_dma0", "wait_dma1", "wait_dma2", "wait_dma3")
    if share < NOTICEABLE:
        return ""
    now = f"{target.dram.bandwidth_gbs:g} GB/s"
    return (
        f"{run.critical_engine} waits for data {share:.0%} of the time: more DRAM bandwidth (now {now}), narrower types"
    )


def _latency(run: RunResult, target: Target) -> str:
    share = _share(run, "dram_latency", "fill_drain")
    if share < NOTICEABLE:
        return ""
    return f"{share:.0%} of the cycles are latency, fill and drain: a larger batch (--dim) gives longer instructions"


def _padding(run: RunResult, target: Target) -> str:
    share = _share(run, "padding")
    if share < NOTICEABLE:
        return ""
    array = target.array_text
    engine = run.critical_engine
    return f"{share:.0%} of the cycles of {engine} are padding: sizes do not fill the {array} array or the lanes"


def _vector_bound(run: RunResult, target: Target) -> str:
    if run.critical_engine != "vx":
        return ""
    lanes = target.vector.lanes
    return f"the vector engine is the busiest: more lanes (now {lanes}) or an array with a depthwise mode would help"


_RULES: tuple[Callable[[RunResult, Target], str], ...] = (
    _at_bound,
    _narrower_type,
    _memory_traffic,
    _bandwidth,
    _latency,
    _padding,
    _vector_bound,
)
