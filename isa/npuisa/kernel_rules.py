"""Rules of element-wise kernels: limits, registers, types and constants."""

from __future__ import annotations

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.kernel import (
    INTEGERS,
    MAX_CONSTANTS,
    MAX_MICRO_OPS,
    MAX_SOURCES,
    MICRO_BY_NAME,
    VECTOR_REGISTERS,
    Kernel,
    MicroOp,
    MicroType,
    operand_types,
    result_type,
)

BAD_KERNEL = error_code("NPU-E0308", ExitCode.BAD_INPUT, "An element-wise kernel is not legal")


def check_kernel(kernel: Kernel, where: str = "") -> None:
    """Raise NpuError (NPU-E0308) for a kernel over a limit or with a micro-operation that is not legal.

    Every register is written before it is read, and holds the type in which it is read.
    """
    _check_limits(kernel, where)
    held = dict(enumerate(kernel.source_types))
    for position, op in enumerate(kernel.ops):
        name = f"{kernel.name}, micro-operation {position}"
        _check_form(kernel, op, name, where)
        _check_reads(op, held, name, where)
        held[op.dst] = result_type(op)
    if kernel.result not in held:
        raise kernel_error(kernel.name, where, "the result register is never written", f"v{kernel.result}")


def _check_limits(kernel: Kernel, where: str) -> None:
    sizes = (
        ("sources", len(kernel.source_types), MAX_SOURCES),
        ("micro-operations", len(kernel.ops), MAX_MICRO_OPS),
        ("constants", len(kernel.constants), MAX_CONSTANTS),
    )
    for what, size, limit in sizes:
        if size > limit:
            raise kernel_error(kernel.name, where, f"more than {limit} {what}", str(size), "split the kernel")
    for value in kernel.constants:
        if not isinstance(value, float) and not _fits(value, 64):
            raise kernel_error(kernel.name, where, "an integer constant does not fit 64 bits", str(value))


def _check_form(kernel: Kernel, op: MicroOp, name: str, where: str) -> None:
    opcode = MICRO_BY_NAME.get(op.opcode)
    if opcode is None:
        raise kernel_error(name, where, "unknown micro-operation", op.opcode)
    if op.type not in opcode.types:
        legal = ", ".join(sorted(kind.name.lower() for kind in opcode.types))
        message = f"{op.opcode} does not exist in {op.type.name.lower()}"
        raise kernel_error(name, where, message, op.type.name.lower(), f"legal: {legal}")
    if len(op.sources) != opcode.arity:
        message = f"{op.opcode} takes {opcode.arity} sources"
        raise kernel_error(name, where, message, str(len(op.sources)), opcode.doc)
    if any(not 0 <= register < VECTOR_REGISTERS for register in (op.dst, *op.sources)):
        message = f"registers are v0..v{VECTOR_REGISTERS - 1}"
        raise kernel_error(name, where, message, f"{op.dst}, {op.sources}")
    if op.opcode == "const":
        _check_constant(kernel, op, name, where)
    elif op.index:
        raise kernel_error(name, where, f"{op.opcode} takes no constant", str(op.index))


def _check_constant(kernel: Kernel, op: MicroOp, name: str, where: str) -> None:
    if not 0 <= op.index < len(kernel.constants):
        message = f"the kernel has {len(kernel.constants)} constants"
        raise kernel_error(name, where, message, str(op.index))
    value = kernel.constants[op.index]
    width = 32 if op.type is MicroType.I32 else 64
    if op.type in INTEGERS and (isinstance(value, float) or not _fits(value, width)):
        message = f"not a constant of type {op.type.name.lower()}"
        raise kernel_error(name, where, message, repr(value), f"give an integer of {width} bits")


def _check_reads(op: MicroOp, held: dict[int, MicroType], name: str, where: str) -> None:
    for source, wanted in zip(op.sources, operand_types(op)):
        found = held.get(source)
        if found is None:
            message = f"{op.opcode} reads a register that nothing has written"
            raise kernel_error(name, where, message, f"v{source}")
        if found is not wanted:
            message = f"{op.opcode} reads {wanted.name.lower()} from a register that holds another type"
            raise kernel_error(name, where, message, f"v{source}: {found.name.lower()}", "convert it first")


def _fits(value: int, width: int) -> bool:
    return -(1 << (width - 1)) <= value < 1 << (width - 1)


def kernel_error(name: str, where: str, message: str, found: str, remedy: str = "") -> NpuError:
    """The error (NPU-E0308) of a rule that the kernel `name` breaks."""
    return NpuError(BAD_KERNEL, f"kernel {name}: {message}", where, found, remedy)
