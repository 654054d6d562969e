"""Tensor descriptors in the program: one 256-bit slot each, and extension slots for those that are wide.

Every slot begins with the same 58 bits: base 40, space 3, dtype 5, wide 1, format 5 (0 = dense; others are
reserved for packed and compressed data), rank 4.

Narrow form (rank <= 5): dims 5 x 16; strides of axes 0-3 4 x 24, signed; stride of axis 4 6, signed;
fill 16: for float types the upper half of the f32 pattern (bfloat16), else a two's-complement integer.

Wide form (rank <= 8): fill 64 (f64 pattern for float types, else two's complement, unsigned for u64);
index 24 of its first slot in the extension table; 110 reserved bits. The extension has one slot per four
axes, each axis dim 32 and stride 32, signed: rank <= 4 is 512 bits in all, rank 5-8 is 768.

The narrow form is used whenever it represents the descriptor exactly, so the encoding is unique.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from npuisa.descriptor import Descriptor, Space
from npuisa.dtypes import DTYPES, DType, dtype_of_code
from npuisa.errors import ExitCode, NpuError, error_code

SLOT_BITS = 256
SLOT_BYTES = SLOT_BITS // 8
MAX_RANK, NARROW_RANK = 8, 5
BASE_BITS, SPACE_BITS, DTYPE_BITS, FORMAT_BITS, RANK_BITS = 40, 3, 5, 5, 4
DIM_BITS, STRIDE_BITS, LAST_STRIDE_BITS, FILL_BITS = 16, 24, 6, 16
WIDE_FILL_BITS, EXTENSION_BITS, AXIS_BITS, AXES_PER_SLOT = 64, 24, 32, 4

BAD_DESCRIPTOR = error_code("NPU-E0307", ExitCode.BAD_INPUT, "A tensor descriptor is not legal")


class BitWriter:
    """Appends fields to an integer, least significant first."""

    def __init__(self) -> None:
        self.word, self.used = 0, 0

    def put(self, value: int, width: int) -> None:
        """Append `value` (two's complement when negative) in `width` bits."""
        self.word |= (value & (1 << width) - 1) << self.used
        self.used += width


class BitReader:
    """Takes fields off an integer, least significant first."""

    def __init__(self, word: int) -> None:
        self.word = word

    def take(self, width: int) -> int:
        """The next `width` bits as an unsigned integer."""
        value = self.word & (1 << width) - 1
        self.word >>= width
        return value

    def take_signed(self, width: int) -> int:
        """The next `width` bits as a two's-complement integer."""
        value = self.take(width)
        return value - (1 << width) if value >> (width - 1) else value


@dataclass(frozen=True, slots=True)
class DescriptorTable:
    """Encoded descriptors: `slots[i]` is descriptor i, `extension` what the wide ones refer to."""

    slots: list[int]
    extension: list[int]


def encode_descriptors(descriptors: Sequence[Descriptor]) -> DescriptorTable:
    """All descriptors of a program; NpuError (NPU-E0307) for one that no form can hold."""
    slots: list[int] = []
    extension: list[int] = []
    for descriptor in descriptors:
        slot, extra = encode_descriptor(descriptor, len(extension))
        slots.append(slot)
        extension.extend(extra)
    return DescriptorTable(slots, extension)


def encode_descriptor(descriptor: Descriptor, extension_index: int = 0) -> tuple[int, list[int]]:
    """Slot and extension slots of one descriptor; the extension begins at slot `extension_index`."""
    check_descriptor(descriptor)
    if is_narrow(descriptor):
        return _encode_narrow(descriptor), []
    return _encode_wide(descriptor, extension_index)


def decode_descriptor(slot: int, extension: Sequence[int], name: str, where: str = "") -> Descriptor:
    """The descriptor in `slot`; NpuError for a slot that `encode_descriptor` would not produce."""
    reader = BitReader(slot)
    base = reader.take(BASE_BITS)
    space, dtype = _space(reader.take(SPACE_BITS), where), _dtype(reader.take(DTYPE_BITS), where)
    wide, form, rank = reader.take(1), reader.take(FORMAT_BITS), reader.take(RANK_BITS)
    limit = MAX_RANK if wide else NARROW_RANK
    if rank > limit:
        raise _error(name, where, f"rank is above {limit}", str(rank))
    if form:
        raise _error(name, where, "unknown format", str(form))
    read = _read_wide if wide else _read_narrow
    dims, strides, fill = read(reader, rank, dtype, extension, name, where)
    if reader.word:
        raise _error(name, where, "reserved bits are not 0", f"{reader.word:#x}")
    descriptor = Descriptor(name, space, dtype, base, dims, strides, fill)
    check_descriptor(descriptor, where)
    if wide and is_narrow(descriptor):
        raise _error(name, where, "wide form of a descriptor that fits the narrow one", "wide bit 1")
    return descriptor


def check_descriptor(descriptor: Descriptor, where: str = "") -> None:
    """Raise NpuError (NPU-E0307) unless the wide form can hold `descriptor`."""
    name, dims, strides = descriptor.name, descriptor.dims, descriptor.strides
    if len(dims) != len(strides):
        raise _error(name, where, "dims and strides differ in length", f"{len(dims)} and {len(strides)}")
    if len(dims) > MAX_RANK:
        raise _error(name, where, f"rank is above {MAX_RANK}", str(len(dims)), "merge axes")
    if not 0 <= descriptor.base < 1 << BASE_BITS:
        raise _error(name, where, f"base is outside 0..2^{BASE_BITS} - 1", str(descriptor.base))
    for axis, (dim, stride) in enumerate(zip(dims, strides)):
        if not 0 <= dim < 1 << AXIS_BITS:
            raise _error(name, where, f"dim {axis} is outside 0..2^{AXIS_BITS} - 1", str(dim))
        if not _fits_signed(stride, AXIS_BITS):
            raise _error(name, where, f"stride {axis} is outside +-2^{AXIS_BITS - 1}", str(stride))
    check_fill(descriptor, where)


def is_narrow(descriptor: Descriptor) -> bool:
    """Whether the 256-bit form represents a legal `descriptor` exactly."""
    strides = descriptor.strides
    return (
        len(strides) <= NARROW_RANK
        and all(dim < 1 << DIM_BITS for dim in descriptor.dims)
        and all(_fits_signed(stride, STRIDE_BITS) for stride in strides[:4])
        and all(_fits_signed(stride, LAST_STRIDE_BITS) for stride in strides[4:])
        and _narrow_fill(descriptor) is not None
    )


def _fits_signed(value: int, width: int) -> bool:
    return -(1 << (width - 1)) <= value < 1 << (width - 1)


def check_fill(descriptor: Descriptor, where: str = "") -> None:
    """Raise NpuError (NPU-E0307) unless the element type holds the fill value."""
    fill, dtype = descriptor.fill, descriptor.dtype
    if dtype.is_float:
        if isinstance(fill, int) and (abs(fill) >= 1 << 1023 or int(float(fill)) != fill):
            raise _error(descriptor.name, where, "fill is not exact in f64", str(fill), "give a float")
        return
    low, high = integer_limits(dtype)
    if not math.isfinite(fill) or fill != int(fill) or not low <= fill <= high:
        raise _error(descriptor.name, where, f"fill is not a value of {dtype}", str(fill), f"legal: {low}..{high}")


def integer_limits(dtype: DType) -> tuple[int, int]:
    """Least and greatest value of an integer or bool type."""
    if dtype.name == "bool":
        return 0, 1
    if dtype.is_unsigned:
        return 0, (1 << dtype.bits) - 1
    return -(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1


def _narrow_fill(descriptor: Descriptor) -> int | None:
    """The 16-bit fill field, or None when 16 bits do not hold the value exactly."""
    if not descriptor.dtype.is_float:
        return int(descriptor.fill) if _fits_signed(int(descriptor.fill), FILL_BITS) else None
    wanted = struct.pack("<d", float(descriptor.fill))
    try:
        upper = struct.unpack("<I", struct.pack("<f", float(descriptor.fill)))[0] >> 16
    except OverflowError:
        return None
    return upper if struct.pack("<d", _from_upper_half(upper)) == wanted else None


def _from_upper_half(upper: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", upper << 16))[0])


def _prefix(descriptor: Descriptor, wide: int) -> BitWriter:
    writer = BitWriter()
    writer.put(descriptor.base, BASE_BITS)
    writer.put(int(descriptor.space), SPACE_BITS)
    writer.put(descriptor.dtype.code, DTYPE_BITS)
    writer.put(wide, 1)
    writer.put(0, FORMAT_BITS)
    writer.put(len(descriptor.dims), RANK_BITS)
    return writer


def _encode_narrow(descriptor: Descriptor) -> int:
    writer = _prefix(descriptor, wide=0)
    missing = (0,) * (NARROW_RANK - len(descriptor.dims))
    strides = descriptor.strides + missing
    for dim in descriptor.dims + missing:
        writer.put(dim, DIM_BITS)
    for stride in strides[:4]:
        writer.put(stride, STRIDE_BITS)
    writer.put(strides[4], LAST_STRIDE_BITS)
    fill = _narrow_fill(descriptor)
    assert fill is not None
    writer.put(fill, FILL_BITS)
    return writer.word


def _encode_wide(descriptor: Descriptor, extension_index: int) -> tuple[int, list[int]]:
    if extension_index >= 1 << EXTENSION_BITS:
        raise _error(descriptor.name, "", "the extension table is full", str(extension_index))
    writer = _prefix(descriptor, wide=1)
    if descriptor.dtype.is_float:
        writer.put(int.from_bytes(struct.pack("<d", float(descriptor.fill)), "little"), WIDE_FILL_BITS)
    else:
        writer.put(int(descriptor.fill), WIDE_FILL_BITS)
    writer.put(extension_index, EXTENSION_BITS)
    axes = list(zip(descriptor.dims, descriptor.strides))
    extension = [_axes_slot(axes[first : first + AXES_PER_SLOT]) for first in range(0, len(axes), AXES_PER_SLOT)]
    return writer.word, extension


def _axes_slot(axes: list[tuple[int, int]]) -> int:
    writer = BitWriter()
    for dim, stride in axes:
        writer.put(dim, AXIS_BITS)
        writer.put(stride, AXIS_BITS)
    return writer.word


_Contents = tuple[tuple[int, ...], tuple[int, ...], float | int]


def _read_narrow(
    reader: BitReader, rank: int, dtype: DType, extension: Sequence[int], name: str, where: str
) -> _Contents:
    dims = [reader.take(DIM_BITS) for _ in range(NARROW_RANK)]
    strides = [reader.take_signed(STRIDE_BITS) for _ in range(4)] + [reader.take_signed(LAST_STRIDE_BITS)]
    if any(dims[rank:]) or any(strides[rank:]):
        raise _error(name, where, "axes beyond the rank are not 0", f"rank {rank}, dims {dims}, strides {strides}")
    fill = _from_upper_half(reader.take(FILL_BITS)) if dtype.is_float else reader.take_signed(FILL_BITS)
    return tuple(dims[:rank]), tuple(strides[:rank]), fill


def _read_wide(
    reader: BitReader, rank: int, dtype: DType, extension: Sequence[int], name: str, where: str
) -> _Contents:
    fill: float | int
    if dtype.is_float:
        fill = float(struct.unpack("<d", reader.take(WIDE_FILL_BITS).to_bytes(8, "little"))[0])
    else:
        fill = reader.take(WIDE_FILL_BITS) if dtype.is_unsigned else reader.take_signed(WIDE_FILL_BITS)
    first, slots = reader.take(EXTENSION_BITS), math.ceil(rank / AXES_PER_SLOT)
    if first + slots > len(extension):
        raise _error(name, where, f"extension slots end at {len(extension)}", str(first + slots))
    dims: list[int] = []
    strides: list[int] = []
    for slot in extension[first : first + slots]:
        axes = BitReader(slot)
        for _ in range(min(AXES_PER_SLOT, rank - len(dims))):
            dims.append(axes.take(AXIS_BITS))
            strides.append(axes.take_signed(AXIS_BITS))
        if axes.word:
            raise _error(name, where, "axes beyond the rank are not 0", f"{axes.word:#x}")
    return tuple(dims), tuple(strides), fill


_DTYPE_CODES = frozenset(dtype.code for dtype in DTYPES)


def _dtype(code: int, where: str) -> DType:
    if code not in _DTYPE_CODES:
        raise _error("", where, "unknown element type", str(code))
    return dtype_of_code(code)


def _space(code: int, where: str) -> Space:
    if code not in Space.__members__.values():
        raise _error("", where, "unknown memory space", str(code))
    return Space(code)


def _error(name: str, where: str, message: str, found: str, remedy: str = "") -> NpuError:
    title = f"descriptor {name}: {message}" if name else f"descriptor: {message}"
    return NpuError(BAD_DESCRIPTOR, title, where, found, remedy)
