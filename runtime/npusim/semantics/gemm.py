"""mx.gemm: batched matrix product of strided views."""

from __future__ import annotations

from npusim.semantics.plan import Context, Prepared, nothing
from npusim.semantics.product import Product, arithmetic, blasable, product_of
from npusim.sequence import StaticInstruction
from npusim.views import View


def prepare_gemm(static: StaticInstruction, context: Context) -> Prepared:
    """dst[..., m, n] (+)= a[..., m, k] @ b[..., k, n]; equal leading dims (stride 0 repeats an operand)."""
    dst, a, b = (context.view(static, name) for name in ("dst", "a", "b"))
    rule, k = arithmetic(a.dtype, b.dtype, dst.dtype), a.dims[-1]
    if dst.elements == 0:
        return Prepared((), nothing)
    dst, a, b = _flattened(dst, a, b)
    product = Product(rule, k, context.scratch, blasable(dst))
    return product_of(product, dst, a, b, rule, context.staging)


def _flattened(dst: View, a: View, b: View) -> tuple[View, View, View]:
    """One 2-D product where the batch can be part of m: all batches share b."""
    last = dst.rank - 2
    shared = all(dim == 1 or stride == 0 for dim, stride in zip(b.dims[:last], b.strides[:last]))
    merged_dst, merged_a = dst.merged(0, last), a.merged(0, last)
    if not shared or merged_dst is None or merged_a is None:
        return dst, a, b
    return merged_dst, merged_a, b.arranged(b.dims[last:], b.strides[last:])
