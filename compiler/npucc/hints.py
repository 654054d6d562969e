"""What to try next, read off a report. Each rule names the figure it rests on; none promises a gain."""

from __future__ import annotations

from collections.abc import Callable

from npuisa.target import Target

from npucc.results import RunResult

NOTICEABLE = 0.1
"""Fraction of the run from which a cause deserves a hint."""


def hints(run: RunResult, target: Target) -> list[str]:
    """The hints that apply, in order of the rules below."""
    found = [rule(run, target) for rule in _RULES]
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
    return f"--precision {best}: {target.name} computes {faster[best] / now:g} x as many {best} MACs per cycle as f32, and moves half the bytes"


def _memory_traffic(run: RunResult, target: Target) -> str:
    moved, compulsory = run.dram_bytes.read + run.dram_bytes.written, run.dram_bytes.compulsory
    if not compulsory or moved < 1.5 * compulsory:
        return ""
    return f"{moved / compulsory:.1f} x the compulsory DRAM bytes are moved: more SRAM (now {target.sram.bytes:,} B) or a longer schedule search (-O3)"


def _bandwidth(run: RunResult, target: Target) -> str:
    share = _share(run, "dram_bandwidth", "wait_dma0", "wait_dma1", "wait_dma2", "wait_dma3")
    if share < NOTICEABLE:
        return ""
    return f"{run.critical_engine} loses {share:.0%} of the cycles waiting for data: more DRAM bandwidth (now {target.dram.bandwidth_gbs:g} GB/s), or narrower weights"


def _latency(run: RunResult, target: Target) -> str:
    share = _share(run, "dram_latency", "fill_drain")
    if share < NOTICEABLE:
        return ""
    return f"{share:.0%} of the cycles fill and drain pipelines or wait out latency: a larger batch (--dim) gives longer instructions"


def _padding(run: RunResult, target: Target) -> str:
    share = _share(run, "padding")
    if share < NOTICEABLE:
        return ""
    array = f"{target.matrix.rows} x {target.matrix.cols}"
    return f"{share:.0%} of the cycles of {run.critical_engine} are padding: sizes are no multiples of the {array} array or of the lanes"


def _vector_bound(run: RunResult, target: Target) -> str:
    if run.critical_engine != "vx":
        return ""
    return f"the vector engine is the busiest: more lanes (now {target.vector.lanes}) or an array with a depthwise mode would help"


_RULES: tuple[Callable[[RunResult, Target], str], ...] = (
    _at_bound,
    _narrower_type,
    _memory_traffic,
    _bandwidth,
    _latency,
    _padding,
    _vector_bound,
)
