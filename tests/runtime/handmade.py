"""Programs written by hand for the tests of the cycle model and the hazard checker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.dtypes import dtype_named
from npuisa.instructions import (
    DmaCopy,
    Engine,
    Instruction,
    MxGemm,
    Operand,
    OutStore,
    QSync,
    SFence,
    SHalt,
    SLoop,
)
from npuisa.kernel import Kernel, MicroOp, MicroType
from npuisa.program import DebugEntry, Increment, LoopSpec, Program, Region, RegionKind
from npuisa.target import Target, parse_target, target_files

IDENTITY = Kernel("identity", (MicroType.F32,), (MicroOp("mov", MicroType.F32, 0, (0,)),))


def edge(**sections: dict[str, object]) -> Target:
    """edge-4t with some keys of its sections changed: `edge(matrix={"rows": 16})`."""
    data = Target.load("edge-4t").model_dump()
    for section, values in sections.items():
        data[section] |= values
    return Target.model_validate(data)


assert parse_target(target_files()["edge-4t"], "edge-4t") == edge()


class Builder:
    """Collects the tables of a program; methods return what instructions refer to."""

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.descriptors: list[Descriptor] = []
        self.loops: list[LoopSpec] = []
        self.semaphores: dict[str, int] = {}
        self.initial: list[int] = []
        self.regions: list[Region] = []
        self.kernels: list[Kernel] = [IDENTITY]
        self.debug: list[DebugEntry] = []
        self.group = 0

    def sem(self, name: str, value: int = 0) -> int:
        self.semaphores[name] = len(self.initial)
        self.initial.append(value)
        return self.semaphores[name]

    def view(
        self,
        space: Space,
        dims: tuple[int, ...],
        base: int,
        dtype: str = "f16",
        strides: tuple[int, ...] | None = None,
        reg: int = 0,
        name: str = "",
    ) -> Operand:
        strides = row_major(dims) if strides is None else strides
        name = name or f"{space.name.lower()}{len(self.descriptors)}"
        self.descriptors.append(Descriptor(name, space, dtype_named(dtype), base, dims, strides))
        return Operand(len(self.descriptors) - 1, reg)

    def region(self, name: str, kind: RegionKind, base: int, size: int) -> None:
        self.regions.append(Region(name, kind, base, size))

    def emit(self, instruction: Instruction) -> int:
        self.code.append(instruction)
        self.debug.append(DebugEntry(self.group, f"group{self.group}", instruction.mnemonic, (f"node{self.group}",)))
        return len(self.code) - 1

    @contextmanager
    def loop(self, count: int, *increments: Increment) -> Iterator[None]:
        self.loops.append(LoopSpec(increments))
        place = self.emit(SLoop(count=count, end=0, step=len(self.loops) - 1))
        yield
        self.code[place] = SLoop(count=count, end=len(self.code), step=self.code[place].step)  # pyright: ignore

    def program(self) -> Program:
        names = list(self.semaphores)
        return Program(
            "edge-4t",
            self.code,
            self.descriptors,
            self.kernels,
            self.loops,
            self.initial,
            names,
            self.regions,
            [],
            [],
            debug=self.debug,
        )


DRAM_IN, DRAM_W, DRAM_OUT = 0, 1 << 20, 1 << 24


def matmul_program(m: int = 197, k: int = 768, n: int = 3072, tile: int = 64, depth: int = 2) -> Program:
    """x [m, k] resident, w [k, n] in column tiles, all buffers `depth` deep: the loop of a fused transformer group.

    DMA0 loads x, DMA1 the weight tiles, MX multiplies, OUT stores f16, DMA2 writes back.
    """
    b = Builder()
    b.region("x", RegionKind.INPUT, DRAM_IN, m * k * 2)
    b.region("w", RegionKind.CONSTANT, DRAM_W, k * n * 2)
    b.region("y", RegionKind.OUTPUT, DRAM_OUT, m * n * 2)
    x_full, w_free, w_full = b.sem("x_full"), b.sem("w_free", depth), b.sem("w_full")
    acc_free, acc_full = b.sem("acc_free", depth), b.sem("acc_full")
    y_free, y_full = b.sem("y_free", depth), b.sem("y_full")
    slot_w, slot_acc, slot_y = k * tile * 2, m * tile * 4, m * tile * 2
    base_w, base_y = m * k * 2, m * k * 2 + depth * slot_w
    x_dram, x = b.view(Space.DRAM, (m, k), DRAM_IN), b.view(Space.SRAM, (m, k), 0)
    w_dram = b.view(Space.DRAM, (k, tile), DRAM_W, strides=(n, 1), reg=1)
    w = b.view(Space.SRAM, (k, tile), base_w, reg=2)
    acc = b.view(Space.ACC, (m, tile), 0, "f32", reg=3)
    y = b.view(Space.SRAM, (m, tile), base_y, reg=4)
    y_dram = b.view(Space.DRAM, (m, tile), DRAM_OUT, strides=(n, 1), reg=1)
    b.emit(DmaCopy(unit=Engine.DMA0, dst=x, src=x_dram, posts=(x_full,)))
    b.emit(QSync(unit=Engine.MX, waits=(x_full,)))
    steps = (
        Increment(1, tile * 2),
        Increment(2, slot_w, depth * slot_w),
        Increment(3, slot_acc, depth * slot_acc),
        Increment(4, slot_y, depth * slot_y),
    )
    with b.loop(n // tile, *steps):
        b.emit(DmaCopy(unit=Engine.DMA1, dst=w, src=w_dram, waits=(w_free,), posts=(w_full,)))
        b.emit(MxGemm(dst=acc, a=x, b=w, waits=(w_full, acc_free), posts=(w_free, acc_full)))
        b.emit(OutStore(dst=y, kernel=0, acc=acc, waits=(acc_full, y_free), posts=(acc_free, y_full)))
        b.emit(DmaCopy(unit=Engine.DMA2, dst=y_dram, src=y, waits=(y_full,), posts=(y_free,)))
    b.emit(SFence())
    b.emit(SHalt())
    return b.program()
