"""Builds one-instruction programs and runs them on data: memory in, memory out, no compiler involved."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.dtypes import dtype_of_numpy
from npuisa.instructions import Instruction, Operand
from npuisa.kernel import Kernel
from npuisa.program import LoopSpec, Program
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.memory import Memory

sys.path.insert(0, str(Path(__file__).parent))  # makes the builders of this directory importable

Array = npt.NDArray[np.generic]
TARGET = Target.load("edge-4t")


@dataclass
class Bench:
    """A machine whose SRAM and accumulators are laid out by hand."""

    descriptors: list[Descriptor] = field(default_factory=list)
    initial: list[tuple[Descriptor, Array]] = field(default_factory=list)
    next_free: dict[Space, int] = field(default_factory=lambda: {Space.SRAM: 0, Space.ACC: 0})
    kernels: list[Kernel] = field(default_factory=list)

    def place(
        self,
        dims: tuple[int, ...],
        dtype: object,
        *,
        space: Space = Space.SRAM,
        data: Array | None = None,
        strides: tuple[int, ...] | None = None,
        alignment: int = 64,
        shift: int = 0,
        fill: float = 0,
    ) -> Operand:
        """An operand of `dims` at a fresh place; `data` is what it holds at the start."""
        kind = dtype_of_numpy(dtype)
        strides = row_major(dims) if strides is None else strides
        probe = Descriptor("probe", space, kind, 0, dims, strides)
        low, high = probe.byte_range()
        base = -(-self.next_free[space] // alignment) * alignment + shift - low
        self.next_free[space] = base + high
        descriptor = Descriptor(f"d{len(self.descriptors)}", space, kind, base, dims, strides, fill)
        self.descriptors.append(descriptor)
        if data is not None:
            self.initial.append((descriptor, np.asarray(data, kind.numpy)))
        return Operand(len(self.descriptors) - 1)

    def program(self, *instructions: Instruction, loops: list[LoopSpec] | None = None) -> Program:
        return Program(
            "edge-4t", list(instructions), self.descriptors, self.kernels, loops or [], [0] * 64, [], [], [], []
        )

    def run(self, *instructions: Instruction, read: Operand, loops: list[LoopSpec] | None = None) -> Array:
        """Execute and return what `read` holds afterwards."""
        simulator = FunctionalSimulator(self.program(*instructions, loops=loops), TARGET)
        simulator.memory.reset()
        for descriptor, data in self.initial:
            np.copyto(view(simulator.memory, descriptor), data)
        simulator.execute()
        return view(simulator.memory, self.descriptors[read.desc]).copy()


def view(memory: Memory, descriptor: Descriptor) -> Array:
    """The bytes of a descriptor as an array, made independently of the simulator's views."""
    segment = memory.segment(descriptor.space, *descriptor.byte_range())
    assert segment is not None
    width = descriptor.dtype.bytes
    strides = tuple(stride * width for stride in descriptor.strides)
    return np.ndarray(descriptor.dims, descriptor.dtype.numpy, segment.data, descriptor.base, strides)


@pytest.fixture(scope="session")
def bench() -> type[Bench]:
    """The class, so that property tests can make a machine per example."""
    return Bench
