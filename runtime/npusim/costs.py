"""What an instruction costs on a target: the table of the functions, one per instruction, and the formulas behind them.

`instruction_cost` serves the cycle model. The formulas (`gemm_cycles`, `dma_cycles`, `map_cycles`, ...) take
sizes or arrays of sizes, so that a scheduler can price thousands of candidate tiles at once with the numbers
that the simulator will charge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import BY_MNEMONIC, DmaCopy, DmaFill, Engine, Instruction
from npuisa.program import Program
from npuisa.target import Target

from npusim.banks import sram_bytes_per_cycle
from npusim.cost import Cost, Traffic
from npusim.costs_dma import (
    burst_bytes,
    channel_bytes_per_cycle,
    copy_cost,
    dma_cycles,
    dma_stream_cycles,
    fill_cost,
)
from npusim.costs_indexed import INDEXED_COSTS
from npusim.costs_lane_instructions import LANE_COSTS
from npusim.costs_matrix import depthwise_cycles, gemm_cycles, gemm_parts, gemm_stream_cycles
from npusim.costs_mx_instructions import MATRIX_COSTS
from npusim.costs_order import ORDER_COSTS, compress_cycles, scan_cycles, sort_cycles
from npusim.costs_sequencer import BRANCH_TAKEN_CYCLES, SEQUENCER_COSTS
from npusim.costs_vector import (
    dwconv_cycles,
    kernel_interval,
    map_cycles,
    norm_cycles,
    passes_interval,
    reduce_cycles,
    window_cycles,
)
from npusim.register_steps import register_values

__all__ = [
    "BRANCH_TAKEN_CYCLES",
    "COSTS",
    "Cost",
    "Traffic",
    "burst_bytes",
    "channel_bytes_per_cycle",
    "compress_cycles",
    "depthwise_cycles",
    "dma_cycles",
    "dma_stream_cycles",
    "dwconv_cycles",
    "gemm_cycles",
    "gemm_parts",
    "gemm_stream_cycles",
    "instruction_cost",
    "kernel_interval",
    "map_cycles",
    "missing_costs",
    "norm_cycles",
    "passes_interval",
    "reduce_cycles",
    "scan_cycles",
    "sort_cycles",
    "sram_bytes_per_cycle",
    "window_cycles",
]

NO_COST = error_code("NPU-E0420", ExitCode.INTERNAL, "An instruction has no cost function")

ENGINE_LABELS = {engine: engine.name.lower() for engine in Engine}
"""Names of engines in reports and causes (`wait_mx`, ...)."""


def _copy(instruction: DmaCopy, program: Program, target: Target) -> Cost:
    dst, src = program.descriptors[instruction.dst.desc], program.descriptors[instruction.src.desc]
    moved = (register_values(program, instruction, operand.reg) for operand in (instruction.dst, instruction.src))
    return copy_cost(target, dst, src, *moved)


def _fill(instruction: DmaFill, program: Program, target: Target) -> Cost:
    moved = register_values(program, instruction, instruction.dst.reg)
    return fill_cost(target, program.descriptors[instruction.dst.desc], moved)


CostFunction = Callable[[Any, Program, Target], Cost]
COSTS: dict[type[Instruction], CostFunction] = {
    DmaCopy: _copy,
    DmaFill: _fill,
    **SEQUENCER_COSTS,
    **MATRIX_COSTS,
    **LANE_COSTS,
    **ORDER_COSTS,
    **INDEXED_COSTS,
}
"""The cost function of every instruction."""


def missing_costs() -> list[str]:
    """Mnemonics of the instruction table that have no cost function."""
    return sorted(name for name, cls in BY_MNEMONIC.items() if cls not in COSTS)


def instruction_cost(instruction: Instruction, program: Program, target: Target) -> Cost:
    """Cost of `instruction`, whose operands are in the tables of `program`, on `target`.

    Static: registers move bases only. Raises NpuError where the target cannot execute it.
    """
    function = COSTS.get(type(instruction))
    if function is None:
        raise NpuError(NO_COST, f"{instruction.mnemonic} has no cost: add it to runtime/npusim/costs.py")
    return function(instruction, program, target)
