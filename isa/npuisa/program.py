"""A program in memory: instructions, tables, DRAM regions, I/O signature, debug map."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from npuisa.descriptor import Descriptor
from npuisa.dtypes import DType
from npuisa.instructions import Instruction
from npuisa.kernel import Kernel


class RegionKind(StrEnum):
    """What a DRAM region holds."""

    INPUT = "input"
    OUTPUT = "output"
    CONSTANT = "constant"
    SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Region:
    """`size` bytes of DRAM at `base`. A constant region's bytes are in `Program.constants[name]`."""

    name: str
    kind: RegionKind
    base: int
    size: int


@dataclass(frozen=True, slots=True)
class Port:
    """A model input or output: ONNX name, shape, element type, dense row-major at DRAM byte `base`."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    base: int


@dataclass(frozen=True, slots=True)
class Increment:
    """At the end of a loop iteration `reg += step`; with a modulus, `reg = (reg + step) mod modulus`.

    When the loop ends, a register without modulus returns to its value at loop entry; one with modulus keeps
    its value (it walks a circular buffer across loops). |step| < modulus, so that the hardware needs one
    conditional correction and no division.
    """

    reg: int
    step: int
    modulus: int = 0


@dataclass(frozen=True, slots=True)
class LoopSpec:
    """Entry of the loop table: the registers that a hardware loop moves."""

    increments: tuple[Increment, ...] = ()


@dataclass(frozen=True, slots=True)
class DebugEntry:
    """Where an instruction comes from: group index and name, tile operation, ONNX node names."""

    group: int
    group_name: str
    tile_op: str
    nodes: tuple[str, ...]


@dataclass
class Program:
    """A complete program. `semaphores[i]` is the initial value of semaphore i; names are for reading."""

    target: str
    instructions: list[Instruction]
    descriptors: list[Descriptor]
    kernels: list[Kernel]
    loops: list[LoopSpec]
    semaphores: list[int]
    semaphore_names: list[str]
    regions: list[Region]
    inputs: list[Port]
    outputs: list[Port]
    constants: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    debug: list[DebugEntry] = field(default_factory=list)
    """One entry per instruction, or empty."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Free text such as the model's name, the precision, the compiler's version."""
