"""Arithmetic of the matrix engine: exact products, and accumulation in the accumulator's type, through BLAS.

Floats: f16 / bf16 products are exact in f32 and are summed in f32; f32 sums in f32; f64 in f64.
Integers: sums are exact (modulo the width of the accumulator). An f32 BLAS sum of products is exact while
k * max|a| * max|b| <= 2^24, so K is cut there - at 1024 for i8 x i8, 514 for u8 x i8 - and the parts are added as
integers; wider operands go through f64 (2^53), and those that do not fit even that through NumPy's integer matmul.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.scratch import Scratch
from npusim.semantics.conversion import F32, F64, Convert, converter, copy
from npusim.semantics.plan import Prepared
from npusim.staging import Staging
from npusim.views import Array, Type, View

_WHOLE_VECTORS = 64
"""Columns that BLAS kernels treat alike (a multiple of every vector and unroll width in use)."""
_PARTIAL, _INTEGER_PARTIAL, _PADDED = range(3)
"""Scratch slots of this module; users start at `FREE_SLOT`."""
FREE_SLOT = 3
_SHORTEST_F32_CUT = 128


def is_float(dtype: Type) -> bool:
    """Whether elements are floating point (NumPy reports kind 'V' for bfloat16)."""
    return dtype.kind not in "iub"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How products of two element types are computed: operand type for BLAS, longest K of one call."""

    compute: Type
    longest_k: int | None
    target: Type


def arithmetic(a: Type, b: Type, dst: Type) -> Arithmetic:
    """The arithmetic for operand types and an accumulator type that go together (see `npuisa.operand_rules`)."""
    if is_float(a):
        return Arithmetic(F64 if F64 in (a, b, dst) else F32, None, dst)
    largest = _magnitude(a) * _magnitude(b)
    for compute, exact in ((F32, 1 << 24), (F64, 1 << 53)):
        cut = exact // largest
        if cut >= _SHORTEST_F32_CUT:
            return Arithmetic(compute, cut, dst)
    return Arithmetic(np.dtype(np.int64), None, dst)


def _magnitude(dtype: Type) -> int:
    limits = np.iinfo(dtype) if dtype.kind != "b" else np.iinfo(np.uint8)
    return max(-int(limits.min), int(limits.max))


class Loader:
    """Brings an operand into the type and layout that BLAS takes, copying only where it must."""

    def __init__(self, view: View, compute: Type, staging: Staging, *, dense: bool = False) -> None:
        """`dense`: the rows have to be contiguous although BLAS could take them."""
        self._dims, self._compute, self._staging = view.dims, compute, staging
        self._convert: Convert = converter(view.dtype, compute)
        self.in_place = view.dtype == compute and (not dense and blasable(view))

    def load(self, array: Array) -> Array:
        """The operand as BLAS takes it."""
        if self.in_place:
            return array
        out, ready = self._staging.take(self, array, self._dims, self._compute)
        if not ready:
            self._convert(array, out)
        return out


def blasable(view: View) -> bool:
    """Whether BLAS can read the last two axes in place: one of them contiguous, the other not overlapping."""
    width = view.dtype.itemsize
    (rows, columns), (outer, inner) = view.dims[-2:], view.strides[-2:]

    def ordered(long: int, stride: int, short_stride: int, short: int) -> bool:
        unit = short_stride == width or short == 1
        return unit and (long == 1 or (stride % width == 0 and stride >= short * width))

    return ordered(rows, outer, inner, columns) or ordered(columns, inner, outer, rows)


def _ragged(dst: Array) -> bool:
    """A row vector whose columns are not a whole number of vectors: BLAS sums the last columns in another way, so that
    columns that are equal would give sums that are not. A classifier's tied scores must stay ties."""
    return dst.shape[-2] == 1 and dst.shape[-1] % _WHOLE_VECTORS != 0


class Product:
    """dst[..., m, n] (+)= a[..., m, k] @ b[..., k, n] for operands in the arithmetic's compute type."""

    def __init__(self, rule: Arithmetic, k: int, scratch: Scratch, direct: bool) -> None:
        """`direct`: BLAS may write the destination itself (`blasable` holds for it)."""
        self._rule, self._k, self._scratch = rule, k, scratch
        self.compute = rule.compute
        whole = rule.longest_k is None or k <= rule.longest_k
        cut = k if whole or rule.longest_k is None else rule.longest_k
        self._cuts = [slice(start, min(start + cut, k)) for start in range(0, k, max(cut, 1))]
        self._direct = direct and whole and rule.compute == rule.target

    def run(self, accumulate: bool, dst: Array, a: Array, b: Array) -> None:
        """Execute one issue."""
        if self._k == 0:
            if not accumulate:
                dst.fill(0)
        elif self._direct and not accumulate and not _ragged(dst):
            np.matmul(a, b, out=dst)
        elif len(self._cuts) == 1:
            self._add_part(accumulate, dst, a, b)
        else:
            for cut in self._cuts:
                self._add_part(accumulate, dst, a[..., cut], b[..., cut, :])
                accumulate = True

    def _add_part(self, accumulate: bool, dst: Array, a: Array, b: Array) -> None:
        part = self._multiply(dst, a, b)
        if not is_float(self._rule.target):
            part = self._to_integer(part)
        if accumulate:
            np.add(dst, part, out=dst, casting="same_kind")
        else:
            copy(part, dst)

    def _multiply(self, dst: Array, a: Array, b: Array) -> Array:
        """a @ b in the compute type; a ragged row vector with columns of zeros added up to whole vectors."""
        if not _ragged(dst):
            part = self._scratch.take(_PARTIAL, dst.shape, self._rule.compute)
            return np.matmul(a, b, out=part)
        columns = dst.shape[-1]
        width = -(-columns // _WHOLE_VECTORS) * _WHOLE_VECTORS
        padded = self._scratch.take(_PADDED, (*b.shape[:-1], width), self._rule.compute)
        padded[..., :columns] = b
        padded[..., columns:] = 0
        part = self._scratch.take(_PARTIAL, (*dst.shape[:-1], width), self._rule.compute)
        return np.matmul(a, padded, out=part)[..., :columns]

    def _to_integer(self, part: Array) -> Array:
        if self._rule.compute == F64:  # may exceed the accumulator, which wraps: a float conversion would not
            part = part.astype(np.int64)
        converted = self._scratch.take(_INTEGER_PARTIAL, part.shape, self._rule.target)
        copy(part, converted)
        return converted


def product_of(product: Product, dst: View, a: View, b: View, rule: Arithmetic, staging: Staging) -> Prepared:
    """The product of operands as they lie in memory, brought into BLAS's form where needed."""
    left, right = Loader(a, rule.compute, staging), Loader(b, rule.compute, staging)
    if left.in_place and right.in_place:
        return Prepared((dst, a, b), product.run)

    def run(accumulate: bool, out: Array, x: Array, y: Array) -> None:
        product.run(accumulate, out, left.load(x), right.load(y))

    return Prepared((dst, a, b), run)
