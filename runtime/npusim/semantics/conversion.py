"""Element type conversion between memories and the types in which engines compute.

NumPy converts f16 in software: about 1 ns per element to f32, 1.5 ns back and 10 ns where the result is subnormal.
`widen_f16` and `narrow_f16` do it with whole-vector integer and float operations, 2 to 3 times faster (10 times for
subnormals) and bit for bit the same; blocks that hold infinities, NaN or values near overflow take NumPy's way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from npusim.semantics.narrow_types import is_narrow, narrow_converter
from npusim.views import Array, Type

Convert = Callable[[Array, Array], int | None]
"""`convert(source, out)`; the source broadcasts."""

F16, F32, F64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
_BLOCK = 16384
_SMALL = 2048
"""Below this size the calls of `narrow_f16` cost more than the mispredicted branches of NumPy's conversion."""
_POSITIVE_SPECIAL, _NEGATIVE_SPECIAL = 0x7C00, 0xFC00
"""Bit patterns from which on an f16 is infinite or NaN, read as signed and as unsigned numbers."""
_SHIFTED_BITS = np.int32(-0x70002000)
"""Sign, exponent and mantissa of an f16 that was sign-extended to 32 bits and shifted left by 13."""
_REBIAS = np.float32(2.0**112)
"""Moves the exponent bias from 15 to 127; the product is exact, also for subnormal f16."""

_EXPONENT, _NEAR_OVERFLOW = np.int32(0x7F800000), 0x47000000
"""Exponent bits of f32, and those of 2^15: from there on a result may be infinite or NaN."""
_LEAST_EXPONENT = np.full(_BLOCK, 0x38800000, np.int32)
"""Exponent bits of 2^-14, the least normal f16, as a vector: NumPy's maximum is slow on scalars."""
_TO_MAGIC = np.int32((13 << 23) + (1 << 22))
_UNBIAS = np.float32(2.0**-112)
_SIGN = np.uint16(0x8000)


def copy(source: Array, out: Array) -> None:
    """C-style conversion: floats to integers truncate toward zero, integers wrap, to floats round to even."""
    np.copyto(out, source, casting="unsafe")


def widen_f16(source: Array, out: Array) -> None:
    """Exact conversion of f16 to f32, any strides."""
    source = np.broadcast_to(source, out.shape) if source.shape != out.shape else source
    for part, target in _blocks(source, out):
        _widen_block(part, target)


def narrow_f16(source: Array, out: Array) -> int:
    """Conversion of f32 to f16, rounding to nearest even, any strides; how many finite elements became infinite."""
    source = np.broadcast_to(source, out.shape) if source.shape != out.shape else source
    return sum(_narrow_block(part, target) for part, target in _blocks(source, out))


def _blocks(source: Array, out: Array) -> Iterator[tuple[Array, Array]]:
    """Pieces of equal place, cut along the first axis, that stay in the cache."""
    if source.flags.c_contiguous and out.flags.c_contiguous:
        source, out = source.reshape(-1), out.reshape(-1)
    if out.size <= _BLOCK:
        yield source, out
        return
    step = max(1, _BLOCK * len(out) // out.size)
    for first in range(0, len(out), step):
        yield source[first : first + step], out[first : first + step]


def _widen_block(source: Array, out: Array) -> None:
    signed = source.view(np.int16)
    if out.size == 0 or signed.max() >= _POSITIVE_SPECIAL or source.view(np.uint16).max() >= _NEGATIVE_SPECIAL:
        np.copyto(out, source)
        return
    bits = out.view(np.int32)
    np.left_shift(signed, 13, out=bits, dtype=np.int32)
    np.bitwise_and(bits, _SHIFTED_BITS, out=bits)
    np.multiply(out, _REBIAS, out=out)


def _narrow_by_numpy(source: Array, out: Array) -> int:
    np.copyto(out, source, casting="same_kind")
    infinite = np.isinf(out)
    return int(np.count_nonzero(infinite & np.isfinite(source))) if infinite.any() else 0


def _narrow_block(source: Array, out: Array) -> int:
    """Adding and subtracting 1.5 * 2^(e + 13) rounds a number of exponent e to 11 significant bits, half to even;
    with e at least -14 this is also the rounding of subnormal f16."""
    if out.size < _SMALL:
        return _narrow_by_numpy(source, out)
    exponent = np.bitwise_and(source.view(np.int32), _EXPONENT)
    if exponent.max() >= _NEAR_OVERFLOW:
        return _narrow_by_numpy(source, out)
    least = _LEAST_EXPONENT[: exponent.size].reshape(exponent.shape) if exponent.size <= _BLOCK else _LEAST_EXPONENT[0]
    np.maximum(exponent, least, out=exponent)
    np.add(exponent, _TO_MAGIC, out=exponent)
    magic = exponent.view(np.float32)
    rounded = np.add(source, magic)
    np.subtract(rounded, magic, out=rounded)
    np.multiply(rounded, _UNBIAS, out=rounded)
    bits = np.right_shift(rounded.view(np.int32), 13, out=exponent)
    magnitude = bits.astype(np.uint16)
    sign = np.right_shift(source.view(np.int32), 16, out=bits).astype(np.uint16)
    np.bitwise_and(sign, _SIGN, out=sign)
    np.bitwise_or(magnitude, sign, out=out.view(np.uint16))
    return 0


def converter(source: Type, target: Type) -> Convert:
    """The fastest conversion from `source` to `target` elements."""
    special: dict[tuple[Type, Type], Convert] = {(F16, F32): widen_f16, (F32, F16): narrow_f16}
    if is_narrow(source) or is_narrow(target):
        return narrow_converter(source, target)
    return special.get((source, target), copy)


def counting(convert: Convert, overflows: Counter[int], index: int) -> Convert:
    """`convert`, but where it narrows to f16 it adds the elements that left the range to `overflows[index]`."""
    if convert is not narrow_f16:
        return convert

    def narrow(source: Array, out: Array) -> None:
        count = narrow_f16(source, out)
        if count:
            overflows[index] += count

    return narrow
