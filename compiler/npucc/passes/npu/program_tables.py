"""What the groups of a program share while it is built: tables without duplicates, the register file."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from npuisa.kernel import Kernel
from xdsl.ir import Operation, SSAValue

from npucc.dialects import tile
from npucc.dialects.npu import DescOp, KernelOp, OriginOp, PortOp, RegionOp, SemOp
from npucc.passes.npu.descriptors import DescriptorPool, Names
from npucc.passes.npu.kernels import lower_kernel
from npucc.passes.npu.layout import Layout
from npucc.passes.npu.registers import RegisterFile

KernelKey: TypeAlias = tuple[Kernel, tuple[bytes | int, ...]]


def kernel_key(kernel: Kernel) -> KernelKey:
    """Equal for kernels that compute the same bits: as numbers 0.0 and -0.0 are equal, and NaN is not itself."""
    bits = tuple(struct.pack("<d", value) if isinstance(value, float) else value for value in kernel.constants)
    return replace(kernel, name="", constants=()), bits


@dataclass
class ProgramTables:
    """Tables of the program under construction and its code so far."""

    layout: Layout
    names: Names
    code: list[Operation] = field(default_factory=list)
    registers: RegisterFile = field(default_factory=RegisterFile)
    kernels: dict[KernelKey, Kernel] = field(default_factory=dict)
    counters: dict[SSAValue, int] = field(default_factory=dict)
    """Registers that count the steps of loops around groups."""
    origins: dict[tuple[int, str, tuple[str, ...]], str] = field(default_factory=dict)
    descriptors: DescriptorPool = field(init=False)

    def __post_init__(self) -> None:
        self.descriptors = DescriptorPool(self.names)

    def declarations(self, semaphores: Mapping[str, int]) -> list[Operation]:
        """Everything that stands before the code."""
        layout = self.layout
        return [
            *(RegionOp(region) for region in layout.regions),
            *(PortOp("input", port) for port in layout.inputs),
            *(PortOp("output", port) for port in layout.outputs),
            *(OriginOp(symbol, title, group, nodes) for (group, title, nodes), symbol in self.origins.items()),
            *(DescOp(descriptor) for descriptor in self.descriptors.items),
            *(KernelOp(kernel) for kernel in self.kernels.values()),
            *(SemOp(name, initial) for name, initial in semaphores.items()),
        ]

    def kernel(self, op: tile.MapOp, where: str) -> str:
        """The symbol of the kernel that runs the body of `op`."""
        made = lower_kernel("", op.body.block, where)
        key = kernel_key(made)
        if key not in self.kernels:
            self.kernels[key] = replace(made, name=self.names.unique(f"k{len(self.kernels)}"))
        return self.kernels[key].name

    def origin(self, group: int, title: str, nodes: tuple[str, ...]) -> str:
        """The symbol of this origin."""
        key = (group, title, nodes)
        if key not in self.origins:
            self.origins[key] = self.names.unique(f"g{group}" if group >= 0 else "outside")
        return self.origins[key]
