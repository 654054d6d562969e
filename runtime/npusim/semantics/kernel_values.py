"""Micro-kernels as typed values: checks a kernel and rewrites its registers to single assignment.

The result is independent of shapes; `elementwise` evaluates it over views. `mov` disappears and `fma` becomes a
product and a sum (the machine rounds after both).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from npuisa.errors import NpuError
from npuisa.kernel import COMPARISONS, MICRO_BY_NAME, VECTOR_REGISTERS, Kernel, MicroOp, MicroType

from npusim.faults import BAD_KERNEL
from npusim.views import Type

NUMPY_TYPE: dict[MicroType, Type] = {
    MicroType.F32: np.dtype(np.float32),
    MicroType.F64: np.dtype(np.float64),
    MicroType.I32: np.dtype(np.int32),
    MicroType.I64: np.dtype(np.int64),
    MicroType.PRED: np.dtype(np.bool_),
}
CONVERSIONS = {
    "cvt_f32": MicroType.F32,
    "cvt_f64": MicroType.F64,
    "cvt_i32": MicroType.I32,
    "cvt_i64": MicroType.I64,
}
_FLOAT_ONLY = frozenset({"sqrt", "exp", "log", "tanh", "erf", "sin", "cos"})
_BITWISE = frozenset({"and", "or", "xor"})
_ANY_TYPE = frozenset({"const", "mov", "select", "eq", "ne"}) | _BITWISE | frozenset(CONVERSIONS)


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
    return _Rewriter(kernel).run()


class _Rewriter:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._values = [Value(type_, source=i) for i, type_ in enumerate(kernel.source_types)]
        self._registers: dict[int, int] = {i: i for i in range(len(kernel.source_types))}

    def run(self) -> KernelValues:
        for position, op in enumerate(self._kernel.ops):
            self._registers[op.dst] = self._rewrite(position, op)
            if not 0 <= op.dst < VECTOR_REGISTERS:
                raise self._error(position, "no such register", f"v{op.dst}")
        if self._kernel.result not in self._registers:
            raise self._error(len(self._kernel.ops), "the result register is never written", f"v{self._kernel.result}")
        return KernelValues(tuple(self._values), self._registers[self._kernel.result])

    def _rewrite(self, position: int, op: MicroOp) -> int:
        opcode = MICRO_BY_NAME.get(op.opcode)
        if opcode is None or len(op.sources) != opcode.arity:
            raise self._error(position, "unknown micro-operation or wrong number of sources", str(op))
        self._check_type(position, op)
        if op.opcode == "const":
            return self._append(Value(op.type, constant=self._constant(position, op)))
        expected = [op.type] * opcode.arity
        if op.opcode == "select":
            expected[0] = MicroType.PRED
        args = tuple(self._read(position, reg, type_) for reg, type_ in zip(op.sources, expected))
        if op.opcode == "mov":
            return args[0]
        if op.opcode == "fma":
            product = self._append(Value(op.type, "mul", args[:2]))
            return self._append(Value(op.type, "add", (product, args[2])))
        return self._append(Value(_result_type(op), op.opcode, args))

    def _check_type(self, position: int, op: MicroOp) -> None:
        is_float = op.type in (MicroType.F32, MicroType.F64)
        illegal = (op.opcode in _FLOAT_ONLY and not is_float) or (op.opcode in _BITWISE and is_float)
        illegal |= op.type is MicroType.PRED and op.opcode not in _ANY_TYPE
        if illegal:
            raise self._error(position, f"{op.opcode} does not exist in {op.type.name}", str(op))

    def _constant(self, position: int, op: MicroOp) -> float | int:
        if not 0 <= op.index < len(self._kernel.constants):
            found = f"index {op.index} of {len(self._kernel.constants)}"
            raise self._error(position, "the kernel has no such constant", found)
        return self._kernel.constants[op.index]

    def _read(self, position: int, register: int, expected: MicroType) -> int:
        value = self._registers.get(register)
        if value is None:
            raise self._error(position, "reads a register that was never written", f"v{register}")
        found = self._values[value].type
        if found is not expected:
            raise self._error(position, f"v{register} holds {found.name}, expected {expected.name}", f"v{register}")
        return value

    def _append(self, value: Value) -> int:
        self._values.append(value)
        return len(self._values) - 1

    def _error(self, position: int, message: str, found: str) -> NpuError:
        where = f"kernel {self._kernel.name}, micro-operation {position}"
        return NpuError(BAD_KERNEL, message, where, found, "see the reference of micro-operations")


def _result_type(op: MicroOp) -> MicroType:
    if op.opcode in COMPARISONS:
        return MicroType.PRED
    return CONVERSIONS.get(op.opcode, op.type)
