"""Kernel table and loop table: variable-length records of the program.

Kernel record, little-endian: one 32-bit header (sources 3, four source types 3 each, micro-ops 6,
constants 7, result register 4), one 64-bit mask (bit i: constant i is an f64 pattern, else an integer),
the micro-ops (32 bits each: opcode 7, type 3, dst 4, three sources 4 each, constant index 6) and the
constants (64 bits each: f64 pattern or two's-complement integer).

Loop record: 32-bit count, then per increment 128 bits: register 5, 11 reserved, step 48 signed, modulus 48,
16 reserved.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from npuisa.descriptor_encoding import BitReader, BitWriter
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import SCALAR_REGISTERS
from npuisa.kernel import (
    MAX_CONSTANTS,
    MAX_MICRO_OPS,
    MAX_SOURCES,
    MICRO_BY_NAME,
    MICRO_OPCODES,
    Kernel,
    MicroOp,
    MicroType,
)
from npuisa.kernel_rules import check_kernel, kernel_error
from npuisa.program import Increment, LoopSpec

OPCODE_BITS, TYPE_BITS, REGISTER_BITS, CONSTANT_BITS, SLOTS = 7, 3, 4, 6, 3
STEP_BITS = 48
INCREMENT_BYTES = 16

BAD_LOOP = error_code("NPU-E0309", ExitCode.BAD_INPUT, "A loop table entry is not legal")

TakeBytes = Callable[[int], bytes]
"""Returns the next n bytes of a section or raises."""


def encode_micro_op(op: MicroOp) -> int:
    """The 32-bit word of a micro-operation (of a kernel that `check_kernel` accepts)."""
    writer = BitWriter()
    writer.put(MICRO_BY_NAME[op.opcode].code, OPCODE_BITS)
    writer.put(int(op.type), TYPE_BITS)
    writer.put(op.dst, REGISTER_BITS)
    for source in op.sources + (0,) * (SLOTS - len(op.sources)):
        writer.put(source, REGISTER_BITS)
    writer.put(op.index, CONSTANT_BITS)
    return writer.word


def decode_micro_op(word: int, name: str, where: str = "") -> MicroOp:
    """The micro-operation in a 32-bit word; NpuError for one that `encode_micro_op` would not produce."""
    reader = BitReader(word)
    code, kind, dst = reader.take(OPCODE_BITS), reader.take(TYPE_BITS), reader.take(REGISTER_BITS)
    if code >= len(MICRO_OPCODES):
        raise kernel_error(name, where, "unknown micro-operation", str(code))
    if kind not in MicroType.__members__.values():
        raise kernel_error(name, where, "unknown micro-operation type", str(kind))
    opcode = MICRO_OPCODES[code]
    sources = tuple(reader.take(REGISTER_BITS) for _ in range(SLOTS))
    index = reader.take(CONSTANT_BITS)
    if any(sources[opcode.arity :]) or (index and opcode.name != "const") or reader.word:
        raise kernel_error(name, where, f"{opcode.name}: unused bits are not 0", f"{word:#010x}")
    return MicroOp(opcode.name, MicroType(kind), dst, sources[: opcode.arity], index)


def encode_kernel(kernel: Kernel) -> bytes:
    """The record of `kernel`; NpuError (NPU-E0308) when it breaks a rule of `check_kernel`."""
    check_kernel(kernel)
    header = BitWriter()
    header.put(len(kernel.source_types), 3)
    for position in range(MAX_SOURCES):
        header.put(int(kernel.source_types[position]) if position < len(kernel.source_types) else 0, TYPE_BITS)
    header.put(len(kernel.ops), 6)
    header.put(len(kernel.constants), 7)
    header.put(kernel.result, REGISTER_BITS)
    floats = sum(1 << i for i, value in enumerate(kernel.constants) if isinstance(value, float))
    words = [encode_micro_op(op) for op in kernel.ops]
    return struct.pack(f"<IQ{len(words)}I", header.word, floats, *words) + b"".join(
        struct.pack("<d", value) if isinstance(value, float) else (value & (1 << 64) - 1).to_bytes(8, "little")
        for value in kernel.constants
    )


def decode_kernel(take: TakeBytes, name: str, where: str = "") -> Kernel:
    """The kernel whose record the callback `take` delivers."""
    word, floats = struct.unpack("<IQ", take(12))
    header = BitReader(word)
    sources = header.take(3)
    kinds = [header.take(TYPE_BITS) for _ in range(MAX_SOURCES)]
    ops, constants, result = header.take(6), header.take(7), header.take(REGISTER_BITS)
    if sources > MAX_SOURCES or ops > MAX_MICRO_OPS or constants > MAX_CONSTANTS:
        found = f"{sources} sources, {ops} micro-operations, {constants} constants"
        raise kernel_error(name, where, f"more than {MAX_SOURCES}, {MAX_MICRO_OPS} or {MAX_CONSTANTS}", found)
    if any(kind not in MicroType.__members__.values() for kind in kinds) or any(kinds[sources:]):
        raise kernel_error(name, where, "unknown type of a source", str(kinds))
    if floats >> constants:
        raise kernel_error(name, where, "the mask of float constants names more than there are", f"{floats:#x}")
    words = struct.unpack(f"<{ops}I", take(4 * ops))
    kernel = Kernel(
        name,
        tuple(MicroType(kind) for kind in kinds[:sources]),
        tuple(decode_micro_op(word, name, where) for word in words),
        tuple(struct.unpack("<d" if floats >> i & 1 else "<q", take(8))[0] for i in range(constants)),
        result,
    )
    check_kernel(kernel, where)
    return kernel


def encode_loop(loop: LoopSpec, where: str = "") -> bytes:
    """The record of one loop table entry; NpuError (NPU-E0309) when it breaks a rule of `check_loop`."""
    check_loop(loop, where)
    parts = [struct.pack("<I", len(loop.increments))]
    for increment in loop.increments:
        writer = BitWriter()
        for value, width in (
            (increment.reg, 5),
            (0, 11),
            (increment.step, STEP_BITS),
            (increment.modulus, STEP_BITS),
        ):
            writer.put(value, width)
        parts.append(writer.word.to_bytes(INCREMENT_BYTES, "little"))
    return b"".join(parts)


def decode_loop(take: TakeBytes, where: str = "") -> LoopSpec:
    """The loop table entry whose record the callback `take` delivers."""
    (count,) = struct.unpack("<I", take(4))
    if count >= SCALAR_REGISTERS:
        raise _loop_error(where, "more increments than registers", str(count))
    increments: list[Increment] = []
    for _ in range(count):
        reader = BitReader(int.from_bytes(take(INCREMENT_BYTES), "little"))
        register, reserved = reader.take(5), reader.take(11)
        increments.append(Increment(register, reader.take_signed(STEP_BITS), reader.take(STEP_BITS)))
        if reserved or reader.word:
            raise _loop_error(where, "reserved bits of an increment are not 0", f"{reserved:#x}, {reader.word:#x}")
    loop = LoopSpec(tuple(increments))
    check_loop(loop, where)
    return loop


def check_loop(loop: LoopSpec, where: str = "") -> None:
    """Raise NpuError (NPU-E0309) unless every increment names a register of its own and fits its record."""
    registers = [increment.reg for increment in loop.increments]
    if len(set(registers)) != len(registers):
        raise _loop_error(where, "a register is incremented twice", ", ".join(f"r{reg}" for reg in registers))
    for increment in loop.increments:
        if not 1 <= increment.reg < SCALAR_REGISTERS:
            raise _loop_error(
                where, f"registers that a loop moves are r1..r{SCALAR_REGISTERS - 1}", f"r{increment.reg}"
            )
        if not -(1 << (STEP_BITS - 1)) <= increment.step < 1 << (STEP_BITS - 1):
            raise _loop_error(where, f"a step has {STEP_BITS} bits", str(increment.step))
        if not 0 <= increment.modulus < 1 << STEP_BITS:
            raise _loop_error(where, f"a modulus is 0..2^{STEP_BITS} - 1", str(increment.modulus))
        if increment.modulus and abs(increment.step) >= increment.modulus:
            found = f"r{increment.reg} += {increment.step} mod {increment.modulus}"
            raise _loop_error(where, "a step is smaller than its modulus", found, "reduce the step by the modulus")


def _loop_error(where: str, message: str, found: str, remedy: str = "") -> NpuError:
    return NpuError(BAD_LOOP, message, where, found, remedy)
