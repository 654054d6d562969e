"""Time of single instructions in the functional simulator against the NumPy call that does the same arithmetic.

For products and convolutions the yardstick is `np.matmul` on dense matrices with the same M, N and K, measured in
the same run; for element-wise work it is the chain of NumPy calls with preallocated results; for memory movement
`np.copyto`. The memory holds bytes 0x38 to 0x3F, which are ordinary numbers in every type.

    python benchmarks/simulator_ops.py

CPU time of one thread. Each execution finds one element of every source written anew, so that no copy of an operand
is reused. Exit code 1 when a ratio exceeds its limit.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy is imported

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
from npuisa.descriptor import Descriptor, Space, row_major
from npuisa.dtypes import dtype_of_numpy
from npuisa.instructions import (
    AccMode,
    DmaCopy,
    DmaFill,
    Engine,
    Instruction,
    MxConv,
    MxGemm,
    NormFn,
    Operand,
    OutStore,
    ReduceFn,
    ScatterFn,
    SLoop,
    VDwconv,
    VGather,
    VNorm,
    VReduce,
    VScatter,
    VWindow,
)
from npuisa.kernel import Kernel, MicroOp, MicroType
from npuisa.program import LoopSpec, Program
from npuisa.target import Target
from npusim.functional import FunctionalSimulator

F32 = MicroType.F32
REPEATS = 30
RELU = Kernel(
    "bias_relu",
    (F32, F32),
    (MicroOp("add", F32, 2, (0, 1)), MicroOp("const", F32, 3), MicroOp("max", F32, 2, (2, 3))),
    (0.0,),
    2,
)
GELU = Kernel(
    "bias_gelu",
    (F32, F32),
    (
        MicroOp("add", F32, 2, (0, 1)),
        MicroOp("const", F32, 3, (), 0),
        MicroOp("mul", F32, 4, (2, 3)),
        MicroOp("erf", F32, 4, (4,)),
        MicroOp("const", F32, 5, (), 1),
        MicroOp("fma", F32, 4, (4, 5, 5)),
        MicroOp("mul", F32, 4, (4, 2)),
    ),
    (0.7071067811865476, 0.5),
    4,
)


@dataclass
class Layout:
    """Operands placed one after the other in SRAM and in the accumulators of a large enough machine."""

    descriptors: list[Descriptor] = field(default_factory=list)
    used: dict[Space, int] = field(default_factory=lambda: {Space.SRAM: 0, Space.ACC: 0})

    def place(
        self,
        dims: tuple[int, ...],
        dtype: object = np.float32,
        space: Space = Space.SRAM,
        strides: tuple[int, ...] | None = None,
    ) -> Operand:
        """A new operand."""
        name, strides = f"d{len(self.descriptors)}", strides or row_major(dims)
        descriptor = Descriptor(name, space, dtype_of_numpy(dtype), self.used[space], dims, strides)
        self.used[space] = -(-descriptor.byte_range()[1] // 64) * 64
        self.descriptors.append(descriptor)
        return Operand(len(self.descriptors) - 1)


def seconds(function: Callable[[], object], repeats: int) -> float:
    """CPU seconds of one call: best of five means over `repeats` calls."""
    function()
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(repeats):
            function()
        best = min(best, (time.process_time() - start) / repeats)
    return best


def simulated(layout: Layout, instruction: Instruction, kernels: list[Kernel] | None = None) -> float:
    """Seconds per execution of `instruction` in a hardware loop, sequencer and binding included."""
    target = Target.load("edge-4t")
    sram = target.sram.model_copy(update={"bytes": max(64, layout.used[Space.SRAM])})
    accumulator = target.accumulator.model_copy(update={"bytes": max(64, layout.used[Space.ACC])})
    target = target.model_copy(update={"sram": sram, "accumulator": accumulator})
    descriptors = [*layout.descriptors]
    code = [SLoop(count=REPEATS, end=0, step=0), *_touch_sources(instruction, descriptors), instruction]
    code[0] = SLoop(count=REPEATS, end=len(code), step=0)
    program = Program("edge-4t", code, descriptors, kernels or [], [LoopSpec()], [], [], [], [], [])
    simulator = FunctionalSimulator(program, target)
    for space in (Space.SRAM, Space.ACC):
        segment = simulator.memory.segment(space, 0, 64)
        assert segment is not None
        segment.data[:] = np.random.default_rng(0).integers(0x38, 0x40, segment.data.size, dtype=np.uint8)
    return seconds(simulator.execute, 1) / REPEATS


def _touch_sources(instruction: Instruction, descriptors: list[Descriptor]) -> list[Instruction]:
    """Fills of the first element of every SRAM source; their descriptors are appended."""
    fills: list[Instruction] = []
    for name, spec in type(instruction).fields():
        operand = getattr(instruction, name)
        if spec.kind == "operand" and spec.access == "r" and operand.desc < len(descriptors):
            source = descriptors[operand.desc]
            if source.space is Space.SRAM:
                fills.append(DmaFill(unit=Engine.DMA0, dst=Operand(len(descriptors))))
                descriptors.append(replace(source, dims=(1,), strides=(1,), fill=1))
    return fills


def matmul_seconds(m: int, k: int, n: int, batch: int = 1) -> float:
    """Seconds of the bare product."""
    a, b = np.random.rand(batch, m, k).astype(np.float32), np.random.rand(batch, k, n).astype(np.float32)
    out = np.empty((batch, m, n), np.float32)
    return seconds(lambda: np.matmul(a, b, out=out), REPEATS)


LIMITS = {
    "mx.gemm float32": 1.3,
    "mx.conv float32": 1.7,
    "mx.gemm": 4,
    "mx.conv": 3,
    "v.dwconv": 6,
    "out.store bias_relu": 6,
    "out.store bias_gelu": 12,
    "v.window": 14,
    "v.reduce": 2,
    "v.norm": 8,
    "dma.copy f4 -> f4": 2,
}
"""Greatest ratio by beginning of the name, the first that fits; about twice what a quiet machine shows, less where
the yardstick is BLAS. Products below 1 MMAC have none: there the ratio is the overhead of an instruction."""
BROKEN: list[str] = []


def report(name: str, measured: float, yardstick: float, work: str, limited: bool = True) -> None:
    """One line of the table; notes a broken limit."""
    ratio = measured / yardstick
    limit = next((value for prefix, value in LIMITS.items() if name.startswith(prefix)), None) if limited else None
    print(f"{name:44s} {measured * 1e6:9.1f} us {yardstick * 1e6:9.1f} us  {ratio:5.2f} {limit or '-':>5}  {work}")
    if limit is not None and ratio > limit:
        BROKEN.append(name)


def gemm(m: int, k: int, n: int, dtype: object = np.float32, mode: AccMode = AccMode.SET) -> None:
    """mx.gemm against np.matmul in f32."""
    layout = Layout()
    accumulator = np.int32 if np.dtype(dtype).kind == "i" else np.float32
    dst = layout.place((m, n), accumulator, Space.ACC)
    instruction = MxGemm(dst=dst, a=layout.place((m, k), dtype), b=layout.place((k, n), dtype), mode=mode)
    name = f"mx.gemm {np.dtype(dtype)} {m}x{k}x{n} {mode.name.lower()}"
    work = m * k * n
    report(name, simulated(layout, instruction), matmul_seconds(m, k, n), f"{work / 1e6:.1f} MMAC", work >= 1e6)


def conv(out: tuple[int, int], ci: int, co: int, kernel: int, stride: int, dtype: object = np.float32) -> None:
    """mx.conv with padding kernel // 2 above and left, against the bare product of its matrices."""
    layout, pad = Layout(), kernel // 2
    size = tuple((dim - 1) * stride + kernel - pad for dim in out)
    instruction = MxConv(
        dst=layout.place((1, *out, co), np.int32 if np.dtype(dtype).kind == "i" else np.float32, Space.ACC),
        x=layout.place((1, *size, ci), dtype),
        w=layout.place((kernel, kernel, ci, co), dtype),
        stride_h=stride,
        stride_w=stride,
        pad_h=pad,
        pad_w=pad,
    )
    m, k = prod(out), kernel * kernel * ci
    name = f"mx.conv {np.dtype(dtype)} {kernel}x{kernel}/{stride} {out[0]}x{out[1]}x{ci} -> {co}"
    report(name, simulated(layout, instruction), matmul_seconds(m, k, co), f"{m * k * co / 1e6:.1f} MMAC")


def depthwise(out: tuple[int, int], channels: int, kernel: int, stride: int) -> None:
    """v.dwconv against one multiplication and one addition of the result's size per tap."""
    layout, pad = Layout(), kernel // 2
    size = tuple((dim - 1) * stride + kernel - pad for dim in out)
    instruction = VDwconv(
        dst=layout.place((1, *out, channels)),
        x=layout.place((1, *size, channels)),
        w=layout.place((kernel, kernel, channels)),
        stride_h=stride,
        stride_w=stride,
        pad_h=pad,
        pad_w=pad,
    )
    a, b = np.ones((2, prod(out) * channels), np.float32)

    def taps() -> None:
        for _ in range(kernel * kernel):
            np.multiply(a, b, out=b)
            np.add(a, b, out=b)

    name = f"v.dwconv {kernel}x{kernel}/{stride} {out[0]}x{out[1]}x{channels}"
    report(name, simulated(layout, instruction), seconds(taps, REPEATS), f"{a.size * kernel**2 / 1e6:.1f} MMAC")


def store(kernel: Kernel, rows: int, columns: int, dtype: object, chain: Callable[..., None]) -> None:
    """out.store of a fused kernel with a broadcast bias, against the same NumPy calls."""
    layout = Layout()
    dst, acc = layout.place((rows, columns), dtype), layout.place((rows, columns), np.float32, Space.ACC)
    bias = layout.place((rows, columns), np.float32, strides=(0, 1))
    x, b, out = (np.random.rand(*shape).astype(np.float32) for shape in ((rows, columns), (columns,), (rows, columns)))
    measured = simulated(layout, OutStore(dst=dst, kernel=0, acc=acc, s1=bias), [kernel])
    yardstick = seconds(lambda: chain(x, b, out), REPEATS)
    name = f"out.store {kernel.name} {rows}x{columns} {np.dtype(dtype)}"
    report(name, measured, yardstick, f"{rows * columns} elements")


def bias_relu(x: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """NumPy's bias and relu."""
    np.add(x, b, out=out)
    np.maximum(out, 0, out=out)


def bias_tanh_gelu(x: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """NumPy has no erf: the tanh form of GELU is the nearest chain of its calls."""
    np.add(x, b, out=out)
    inner = np.tanh(0.7978845608 * (out + 0.044715 * out * out * out))
    np.multiply(out, 0.5 * (1 + inner), out=out)


def vector_ops() -> None:
    """Pooling, reductions, softmax and copies."""
    x = np.random.rand(1, 56, 56, 64).astype(np.float32)
    out = np.empty_like(x)
    copy_seconds = seconds(lambda: np.copyto(out, x), REPEATS)
    layout = Layout()
    instruction: Instruction = VWindow(
        dst=layout.place((1, 28, 28, 64)), src=layout.place(x.shape), fn=ReduceFn.MAX, axis_a=1, axis_b=2,
        size_a=3, size_b=3, stride_a=2, stride_b=2, pad_a=1, pad_b=1,
    )  # fmt: skip
    report("v.window max 3x3/2 56x56x64 / copy", simulated(layout, instruction), copy_seconds, "")
    layout = Layout()
    instruction = VReduce(dst=layout.place((1, 1, 1, 64)), src=layout.place(x.shape), fn=ReduceFn.SUM, axes=6)
    sum_seconds = seconds(lambda: x.sum((1, 2)), REPEATS)
    report("v.reduce sum 56x56x64 / np.sum", simulated(layout, instruction), sum_seconds, "")
    layout = Layout()
    instruction = VNorm(dst=layout.place((128, 512)), src=layout.place((128, 512)), fn=NormFn.SOFTMAX)
    y = x.ravel()[:65536]
    report("v.norm softmax 128x512 / np.exp", simulated(layout, instruction), seconds(lambda: np.exp(y), REPEATS), "")
    for source, target in (("f4", "f4"), ("f2", "f4"), ("f4", "f2")):
        layout = Layout()
        dst, src = layout.place(x.shape, target), layout.place(x.shape, source)
        instruction = DmaCopy(unit=Engine.DMA0, dst=dst, src=src)
        name = f"dma.copy {source} -> {target} 200,704 elements / copy"
        report(name, simulated(layout, instruction), copy_seconds, "")


def indexed_ops() -> None:
    """Lookups and scatters, against NumPy's. The memory's bytes are indices from 56 to 63."""
    table, places = np.random.rand(1, 64, 256).astype(np.float32), np.random.randint(56, 64, (1, 512, 256))
    rows, part = places[0, :, 0], np.random.rand(1, 512, 256).astype(np.float32)
    for shared in (True, False):
        layout = Layout()
        strides = (0, 1, 0) if shared else None
        instruction: Instruction = VGather(
            dst=layout.place((1, 512, 256)), src=layout.place((1, 64, 256)),
            indices=layout.place((1, 512, 256), "u1", strides=strides),
        )  # fmt: skip
        yardstick = (lambda: table[:, rows]) if shared else (lambda: np.take_along_axis(table, places, 1))
        name = f"v.gather 131,072 elements, {'rows' if shared else 'each'} / np.take"
        report(name, simulated(layout, instruction), seconds(yardstick, REPEATS), "")
    layout = Layout()
    instruction = VScatter(
        dst=layout.place((1, 64, 256)), src=layout.place((1, 512, 256)),
        indices=layout.place((1, 512, 256), "u1", strides=(0, 1, 0)), fn=ScatterFn.ADD,
    )  # fmt: skip
    yardstick = seconds(lambda: np.add.at(table[0], rows, part[0]), REPEATS)
    report("v.scatter add 512 rows of 256 / np.add.at", simulated(layout, instruction), yardstick, "")


def main() -> None:
    """Print the table."""
    print(f"{'instruction':44s} {'simulator':>12s} {'yardstick':>12s}  ratio limit")
    for shape in ((196, 256, 64), (784, 128, 32), (49, 2048, 64), (197, 768, 64), (8, 16, 16)):
        gemm(*shape)
    gemm(196, 256, 64, mode=AccMode.ADD)
    gemm(196, 256, 64, np.float16)
    gemm(196, 256, 64, np.int8)
    for arguments in (
        ((56, 56), 64, 64, 1, 1),
        ((28, 28), 256, 32, 1, 2),
        ((28, 56), 64, 64, 3, 1),
        ((14, 14), 256, 32, 3, 1),
        ((7, 7), 512, 32, 3, 1),
        ((28, 28), 128, 64, 3, 2),
        ((16, 112), 3, 64, 7, 2),
    ):
        conv(*arguments)
    conv((14, 14), 256, 32, 3, 1, np.float16)
    conv((14, 14), 256, 32, 3, 1, np.int8)
    for geometry in (((56, 56), 64, 3, 1), ((28, 28), 96, 3, 2), ((14, 14), 64, 5, 1)):
        depthwise(*geometry)
    store(RELU, 196, 64, np.float32, bias_relu)
    store(RELU, 1568, 64, np.float32, bias_relu)
    store(RELU, 196, 64, np.float16, bias_relu)
    store(GELU, 128, 1024, np.float32, bias_tanh_gelu)
    vector_ops()
    indexed_ops()
    if BROKEN:
        print("over the limit: " + ", ".join(BROKEN))
        sys.exit(1)


if __name__ == "__main__":
    main()
