"""How few cycles a machine needs for the ONNX model: the bound that efficiency is measured against.

MACs and weights come from the model's nodes before decomposition (`frontend.model_work`), carried in the program's
metadata. The program only says which of the machine's types it computes in and how inputs and outputs are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from npuisa.dtypes import dtype_named
from npuisa.instructions import MxConv, MxDwconv, MxGemm, Operand
from npuisa.kernel import MicroClass
from npuisa.program import Program
from npuisa.target import Target
from npusim.bounds import Bounds


@dataclass(frozen=True, slots=True)
class ModelBound:
    """Lower bounds of the model on a machine, at the precision that the program uses."""

    macs: int
    mac_cycles: int
    compulsory_bytes: int
    """Inputs, outputs and the weights of products, each once."""
    dram_cycles: int
    fastest: str = "matrix engine"
    """The engine that bounds `mac_cycles`."""

    @property
    def bound_by(self) -> str:
        """What the bound is a bound of."""
        return "dram" if self.dram_cycles > self.mac_cycles else self.fastest

    @property
    def cycles(self) -> int:
        """The greater of the two."""
        return max(self.mac_cycles, self.dram_cycles)


def model_bound(program: Program, target: Target, limits: Bounds) -> ModelBound:
    """The model's bound; the program's own (`limits`) for a program that does not come from a model.

    Products run at the fastest rate of the operand types that the program's matrix instructions have; depthwise
    ones on whichever engine does most of them per cycle.
    """
    facts = program.metadata
    if "macs" not in facts:
        return ModelBound(limits.macs, limits.mac_cycles, limits.compulsory_bytes, limits.dram_cycles)
    dense, depthwise, weights = (_counts(facts.get(key, "")) for key in ("macs", "depthwise_macs", "weights"))
    peak = max((target.macs_per_cycle(name) for name in _operand_types(program, target)), default=0.0)
    vector_peak = target.vector.lanes / target.interval(MicroClass.ALU)
    depthwise_peak = max(vector_peak, target.matrix.depthwise_macs)
    if any(isinstance(instruction, MxConv) and instruction.groups > 1 for instruction in program.instructions):
        depthwise_peak = max(depthwise_peak, peak)
    cycles = {
        "matrix engine": sum(dense.values()) / peak,
        "vector engine": sum(depthwise.values()) / depthwise_peak,
    }
    slowest = max(cycles, key=lambda name: cycles[name])
    stored = sum(count * _stored_bytes(name, facts.get("precision", "")) for name, count in weights.items())
    compulsory = limits.port_bytes + min(stored, limits.constant_bytes)
    return ModelBound(
        sum(dense.values()) + sum(depthwise.values()),
        ceil(cycles[slowest] - 1e-6),
        compulsory,
        ceil(compulsory / target.dram_bytes_per_cycle - 1e-6),
        "matrix engine" if depthwise_peak > vector_peak else slowest,
    )


def _counts(text: str) -> dict[str, int]:
    """`f32:12 i8:3` as a dict."""
    return {name: int(count) for name, _, count in (item.partition(":") for item in text.split())}


def _operand_types(program: Program, target: Target) -> set[str]:
    """Operand types of the matrix instructions; without any, all that the engine knows."""
    operands = [
        operand
        for instruction in program.instructions
        if isinstance(instruction, MxGemm | MxConv | MxDwconv)
        for operand in _factors(instruction)
    ]
    return {program.descriptors[operand.desc].dtype.name for operand in operands} or set(target.matrix.rates)


def _factors(instruction: MxGemm | MxConv | MxDwconv) -> tuple[Operand, Operand]:
    if isinstance(instruction, MxGemm):
        return instruction.a, instruction.b
    return instruction.x, instruction.w


def _stored_bytes(dtype: str, precision: str) -> int:
    """Bytes of a weight of ONNX type `dtype` in a program of `precision` (f32 weights are narrowed)."""
    own = dtype_named(dtype)
    if own.is_float and precision in ("f16", "bf16", "f32", "f64"):
        return min(own.bytes, dtype_named(precision).bytes)
    return own.bytes
