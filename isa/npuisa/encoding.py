"""Instruction words: 256 bits, little-endian, derived from the field declarations of the instruction table.

Bits 0-7 opcode, 8-11 engine, 12-25 two waits, 26-39 two posts (7 bits each: semaphore + 1, 0 = none), then
the fields of the class in the order of declaration; every bit after the last field is reserved and 0.
An operand is a descriptor index (16 bits, 0xFFFF = absent) and a register (5 bits).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from operator import index
from typing import Any

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import (
    HEADER_BITS,
    MAX_POSTS,
    MAX_WAITS,
    NO_OPERAND,
    SEMAPHORES,
    TABLE,
    WORD_BITS,
    Engine,
    FieldSpec,
    Instruction,
    Operand,
)

WORD_BYTES = WORD_BITS // 8
OPCODE_BITS, ENGINE_BITS, SEMAPHORE_BITS, DESC_BITS = 8, 4, 7, 16
WAIT_OFFSET = OPCODE_BITS + ENGINE_BITS
POST_OFFSET = WAIT_OFFSET + MAX_WAITS * SEMAPHORE_BITS

FIELD_RANGE = error_code("NPU-E0305", ExitCode.BAD_INPUT, "A value does not fit its field of the instruction")
BAD_WORD = error_code("NPU-E0306", ExitCode.BAD_INPUT, "Not a legal instruction word")


@dataclass(frozen=True, slots=True)
class FieldSlot:
    """Where a field lies in the word: bits `offset` to `offset + spec.width - 1`."""

    name: str
    spec: FieldSpec
    offset: int


@cache
def layout(cls: type[Instruction]) -> tuple[FieldSlot, ...]:
    """The fields of `cls` after the header with their bit offsets."""
    slots: list[FieldSlot] = []
    offset = HEADER_BITS
    for name, spec in cls.fields():
        slots.append(FieldSlot(name, spec, offset))
        offset += spec.width
    return tuple(slots)


@cache
def used_bits(cls: type[Instruction]) -> int:
    """Bits of the word that `cls` gives a meaning; the rest is reserved."""
    return HEADER_BITS + sum(spec.width for _, spec in cls.fields())


def field_limits(spec: FieldSpec) -> tuple[int, int]:
    """Least and greatest legal value of a field (of the descriptor index for an operand)."""
    if spec.kind == "simm":
        return -(1 << (spec.width - 1)), (1 << (spec.width - 1)) - 1
    if spec.kind == "operand":
        return 0, (1 << DESC_BITS) - 2
    return 0, (1 << spec.width) - 1


def encode(instruction: Instruction) -> int:
    """The 256-bit word of `instruction`; NpuError (NPU-E0305) when a value does not fit its field."""
    cls = type(instruction)
    word = cls.opcode | _engine_code(instruction) << OPCODE_BITS
    word |= _encode_semaphores(cls, "waits", instruction.waits, MAX_WAITS) << WAIT_OFFSET
    word |= _encode_semaphores(cls, "posts", instruction.posts, MAX_POSTS) << POST_OFFSET
    for slot in layout(cls):
        word |= _encode_field(cls, slot, getattr(instruction, slot.name)) << slot.offset
    return word


def encode_bytes(instruction: Instruction) -> bytes:
    """The word of `instruction` as 32 bytes, little-endian."""
    return encode(instruction).to_bytes(WORD_BYTES, "little")


def decode(word: int, where: str = "") -> Instruction:
    """The instruction that `word` encodes; NpuError (NPU-E0306) for anything `encode` would not produce."""
    cls = TABLE.get(word & 0xFF)
    if cls is None:
        raise NpuError(BAD_WORD, "unknown opcode", where, f"{word & 0xFF:#04x}", "see the instruction reference")
    engine = _decode_engine(cls, word >> OPCODE_BITS & 0xF, where)
    if word >> used_bits(cls):
        raise _bad_word(cls, where, "reserved bits are not 0", f"{word >> used_bits(cls):#x}")
    values: dict[str, Any] = {slot.name: _decode_field(cls, slot, word, where) for slot in layout(cls)}
    if cls.fixed_engine is None:
        values["unit"] = engine
    values["waits"] = _decode_semaphores(cls, "waits", word >> WAIT_OFFSET, MAX_WAITS, where)
    values["posts"] = _decode_semaphores(cls, "posts", word >> POST_OFFSET, MAX_POSTS, where)
    return cls(**values)


def decode_bytes(data: bytes, where: str = "") -> Instruction:
    """The instruction in 32 little-endian bytes."""
    if len(data) != WORD_BYTES:
        raise NpuError(BAD_WORD, f"an instruction word has {WORD_BYTES} bytes", where, f"{len(data)} bytes")
    return decode(int.from_bytes(data, "little"), where)


def _engine_code(instruction: Instruction) -> int:
    cls, unit = type(instruction), instruction.unit
    if cls.fixed_engine is None:
        if unit not in cls.units:
            legal = ", ".join(engine.name.lower() for engine in cls.units)
            raise _range_error(cls, "unit", getattr(unit, "name", repr(unit)), f"one of {legal}")
    elif unit not in (Engine.SEQ, cls.fixed_engine):
        raise _range_error(cls, "unit", unit.name, f"always {cls.fixed_engine.name.lower()}; leave unit out")
    return int(instruction.engine)


def _encode_semaphores(cls: type[Instruction], name: str, semaphores: tuple[int, ...], limit: int) -> int:
    if len(semaphores) > limit:
        raise _range_error(cls, name, str(semaphores), f"at most {limit}; put more into a q.sync")
    bits = 0
    for position, semaphore in enumerate(semaphores):
        number = _integer(cls, name, semaphore)
        if not 0 <= number < SEMAPHORES:
            raise _range_error(cls, name, str(semaphore), f"0..{SEMAPHORES - 1}")
        bits |= (number + 1) << position * SEMAPHORE_BITS
    return bits


def _encode_field(cls: type[Instruction], slot: FieldSlot, value: Any) -> int:
    spec = slot.spec
    if spec.kind == "operand":
        return _encode_operand(cls, slot, value)
    number = _integer(cls, slot.name, value)
    if spec.enum is not None and number not in spec.enum.__members__.values():
        raise _range_error(cls, slot.name, str(value), _choices(spec))
    low, high = field_limits(spec)
    if not low <= number <= high:
        raise _range_error(cls, slot.name, str(value), f"{low}..{high}")
    return number & (1 << spec.width) - 1


def _encode_operand(cls: type[Instruction], slot: FieldSlot, value: Any) -> int:
    if not isinstance(value, Operand):
        raise _range_error(cls, slot.name, repr(value), "an Operand")
    if value == NO_OPERAND:
        if not slot.spec.optional:
            raise _range_error(cls, slot.name, "no operand", "a descriptor: this operand is not optional")
        return NO_OPERAND.desc
    desc, register = _integer(cls, slot.name, value.desc), _integer(cls, slot.name, value.reg)
    low, high = field_limits(slot.spec)
    if not low <= desc <= high:
        raise _range_error(cls, slot.name, f"descriptor {desc}", f"{low}..{high}")
    registers = 1 << (slot.spec.width - DESC_BITS)
    if not 0 <= register < registers:
        raise _range_error(cls, slot.name, f"register {register}", f"0..{registers - 1}")
    return desc | register << DESC_BITS


def _integer(cls: type[Instruction], name: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError:
        raise _range_error(cls, name, repr(value), "an integer") from None


def _decode_engine(cls: type[Instruction], code: int, where: str) -> Engine:
    if code not in Engine.__members__.values() or Engine(code) not in cls.units:
        legal = ", ".join(f"{engine.name} ({int(engine)})" for engine in cls.units)
        raise _bad_word(cls, where, "this engine does not execute the instruction", str(code), f"legal: {legal}")
    return Engine(code)


def _decode_semaphores(cls: type[Instruction], name: str, bits: int, limit: int, where: str) -> tuple[int, ...]:
    mask = (1 << SEMAPHORE_BITS) - 1
    codes = [bits >> position * SEMAPHORE_BITS & mask for position in range(limit)]
    used = [code for code in codes if code]
    if codes[: len(used)] != used:
        raise _bad_word(cls, where, f"{name}: the first slot is empty and the second is not", str(codes))
    if any(code > SEMAPHORES for code in used):
        raise _bad_word(cls, where, f"{name}: no such semaphore", str(max(used) - 1), f"0..{SEMAPHORES - 1}")
    return tuple(code - 1 for code in used)


def _decode_field(cls: type[Instruction], slot: FieldSlot, word: int, where: str) -> Any:
    spec = slot.spec
    bits = word >> slot.offset & (1 << spec.width) - 1
    if spec.kind == "operand":
        return _decode_operand(cls, slot, bits, where)
    if spec.kind == "simm" and bits >> (spec.width - 1):
        return bits - (1 << spec.width)
    if spec.enum is not None:
        if bits not in spec.enum.__members__.values():
            raise _bad_word(cls, where, f"field {slot.name}: no such choice", str(bits), _choices(spec))
        return spec.enum(bits)
    return bits


def _decode_operand(cls: type[Instruction], slot: FieldSlot, bits: int, where: str) -> Operand:
    desc, register = bits & (1 << DESC_BITS) - 1, bits >> DESC_BITS
    if desc != NO_OPERAND.desc:
        return Operand(desc, register)
    if not slot.spec.optional:
        raise _bad_word(cls, where, f"operand {slot.name} is missing and not optional", "0xffff")
    if register:
        raise _bad_word(cls, where, f"operand {slot.name} is absent but has a register", f"r{register}")
    return NO_OPERAND


def _choices(spec: FieldSpec) -> str:
    assert spec.enum is not None
    return ", ".join(f"{member.name} ({int(member)})" for member in spec.enum)


def _range_error(cls: type[Instruction], name: str, found: str, legal: str) -> NpuError:
    message = f"{cls.mnemonic}: field {name} cannot hold this value"
    return NpuError(FIELD_RANGE, message, found=found, remedy=f"legal: {legal}")


def _bad_word(cls: type[Instruction], where: str, message: str, found: str, remedy: str = "") -> NpuError:
    return NpuError(BAD_WORD, f"{cls.mnemonic}: {message}", where, found, remedy or "the program file is damaged")
