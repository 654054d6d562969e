"""How active instructions share the DRAM and SRAM bandwidth (fluid processor sharing)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Demand:
    """What an instruction moves per cycle at full speed: DRAM bytes, SRAM lines."""

    dram: float
    sram: float
    writes: bool = False
    """Its DRAM bytes count as writes (a copy inside the DRAM: as reads)."""


@dataclass(frozen=True, slots=True)
class Share:
    """Speed of an instruction, 1 = as if alone: after sharing the DRAM, then after the SRAM as well."""

    dram_speed: float
    speed: float


def fair_rates(demands: Mapping[int, float], capacity: float) -> dict[int, float]:
    """Max-min fair rates: nobody gets more than it asks, the rest is shared equally by the others."""
    rates: dict[int, float] = {}
    left, waiting = capacity, len(demands)
    for key in sorted(demands, key=lambda key: (demands[key], key)):
        rates[key] = min(demands[key], left / waiting)
        left -= rates[key]
        waiting -= 1
    return rates


def share(
    demands: Mapping[int, Demand],
    dram_capacity: float,
    sram_capacity: float,
    ports: tuple[float, float] = (inf, inf),
) -> dict[int, Share]:
    """Speeds of the active instructions.

    DRAM: max-min fair among those that use it, each capped by what one channel reaches; `ports` limit all reads
    and all writes. SRAM: when the demands at those speeds exceed the capacity of all banks, every user slows down
    by the same factor (banks arbitrate round-robin, so each engine loses in proportion to its accesses).
    """
    dram = {key: demand.dram for key, demand in demands.items() if demand.dram > 0}
    asked_of_port = dict(dram)
    for writes, capacity in enumerate(ports):
        users = {key: rate for key, rate in dram.items() if demands[key].writes == bool(writes)}
        asked_of_port |= fair_rates(users, capacity)
    rates = fair_rates(asked_of_port, dram_capacity)
    dram_speed = {key: rates[key] / dram[key] if key in dram else 1.0 for key in demands}
    asked = sum(demand.sram * dram_speed[key] for key, demand in demands.items())
    factor = min(1.0, sram_capacity / asked) if asked > 0 else 1.0
    return {
        key: Share(dram_speed[key], dram_speed[key] * (factor if demand.sram > 0 else 1.0))
        for key, demand in demands.items()
    }
