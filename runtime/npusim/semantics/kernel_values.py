"""Micro-kernels as typed values: checks a kernel and rewrites its registers to single assignment.

The result is independent of shapes; `elementwise` evaluates it over views. `mov` disappears and `fma` becomes a
product and a sum (the machine rounds after both).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from npuisa.kernel import Kernel, MicroOp, MicroType, result_type
from npuisa.kernel_rules import check_kernel

from npusim.views import Type

NUMPY_TYPE: dict[MicroType, Type] = {
    MicroType.F32: np.dtype(np.float32),
    MicroType.F64: np.dtype(np.float64),
    MicroType.I32: np.dtype(np.int32),
    MicroType.I64: np.dtype(np.int64),
    MicroType.PRED: np.dtype(np.bool_),
}


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a kernel: source number `source`, a `constant`, or `opcode` applied to earlier values."""

    type: MicroType
    opcode: str = ""
    args: tuple[int, ...] = ()
    source: int = -1
    constant: float | int | None = None


@dataclass(frozen=True, slots=True)
class KernelValues:
    """The values of a kernel in evaluation order and the number of the result."""

    values: tuple[Value, ...]
    result: int

    @property
    def sources(self) -> int:
        """Number of sources, used or not."""
        return sum(value.source >= 0 for value in self.values)


def kernel_values(kernel: Kernel) -> KernelValues:
    """Check `kernel` and rewrite it; raises NpuError naming the micro-operation that breaks a rule."""
    check_kernel(kernel)
    values = [Value(type_, source=i) for i, type_ in enumerate(kernel.source_types)]
    registers = {i: i for i in range(len(kernel.source_types))}
    for op in kernel.ops:
        registers[op.dst] = _rewrite(kernel, op, [registers[source] for source in op.sources], values)
    return KernelValues(tuple(values), registers[kernel.result])


def _rewrite(kernel: Kernel, op: MicroOp, args: list[int], values: list[Value]) -> int:
    """Append what `op` computes from the values `args`; the number of its value."""
    if op.opcode == "mov":
        return args[0]
    if op.opcode == "const":
        values.append(Value(op.type, constant=kernel.constants[op.index]))
    elif op.opcode == "fma":
        values.append(Value(op.type, "mul", tuple(args[:2])))
        values.append(Value(op.type, "add", (len(values) - 1, args[2])))
    else:
        values.append(Value(result_type(op), op.opcode, tuple(args)))
    return len(values) - 1
