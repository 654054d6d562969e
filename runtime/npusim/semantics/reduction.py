"""v.reduce and v.norm."""

from __future__ import annotations

import numpy as np
from npuisa.instructions import NormFn, ReduceFn, VNorm, VReduce

from npusim.scratch import Scratch
from npusim.semantics.conversion import F32, F64, converter, copy
from npusim.semantics.plan import Context, Prepared, nothing
from npusim.semantics.product import FREE_SLOT, is_float
from npusim.sequence import StaticInstruction
from npusim.views import Array, Type, View

_SOURCE, _TOTAL, _OLD = range(FREE_SLOT, FREE_SLOT + 3)

REDUCTIONS: dict[ReduceFn, np.ufunc] = {
    ReduceFn.SUM: np.add,
    ReduceFn.MAX: np.maximum,
    ReduceFn.MIN: np.minimum,
    ReduceFn.PROD: np.multiply,
}


def accumulation_type(fn: ReduceFn, src: Type, dst: Type) -> Type:
    """Type in which a reduction runs: f32 for narrower floats, f64 for f64, integers in the wider of both types.

    MAX and MIN need no wider type than the source's.
    """
    if is_float(src):
        return F64 if F64 in (src, dst) else F32
    if fn in (ReduceFn.MAX, ReduceFn.MIN) or is_float(dst):
        return src
    return dst if dst.itemsize > src.itemsize else src


def neutral(fn: ReduceFn, dtype: Type) -> float | int | bool:
    """The value that does not change a reduction: 0, 1, or the least / greatest value of the type."""
    if fn in (ReduceFn.SUM, ReduceFn.PROD):
        return 0 if fn is ReduceFn.SUM else 1
    if is_float(dtype):
        return -np.inf if fn is ReduceFn.MAX else np.inf
    if dtype.kind == "b":
        return fn is ReduceFn.MIN
    limits = np.iinfo(dtype)
    return int(limits.min if fn is ReduceFn.MAX else limits.max)


def prepare_reduce(static: StaticInstruction, context: Context) -> Prepared:
    """dst = fn(src over `axes`), or fn(dst, ...) when accumulating; dst has size 1 on the axes."""
    instruction = static.instruction
    assert isinstance(instruction, VReduce)
    dst, src = context.view(static, "dst"), context.view(static, "src")
    axes = tuple(axis for axis in range(src.rank) if instruction.axes >> axis & 1)
    if dst.elements == 0:
        return Prepared((), nothing)
    compute = accumulation_type(instruction.fn, src.dtype, dst.dtype)
    reduction = _Reduction(context.scratch, instruction.fn, axes, src, compute)
    return Prepared((dst, src), reduction.run)


class _Reduction:
    def __init__(self, scratch: Scratch, fn: ReduceFn, axes: tuple[int, ...], src: View, compute: Type) -> None:
        self._scratch, self._axes, self._compute = scratch, axes, compute
        self._function, self._neutral = REDUCTIONS[fn], neutral(fn, compute)
        self._empty = src.elements == 0
        self._convert = converter(src.dtype, compute) if src.dtype != compute else None

    def run(self, accumulate: bool, dst: Array, src: Array) -> None:
        """Execute one issue."""
        if self._convert is not None:
            converted = self._scratch.take(_SOURCE, src.shape, self._compute)
            self._convert(src, converted)
            src = converted
        if not accumulate and dst.dtype == self._compute:
            self._reduce(src, dst)
            return
        total = self._scratch.take(_TOTAL, dst.shape, self._compute)
        self._reduce(src, total)
        if accumulate:
            old = self._scratch.take(_OLD, dst.shape, self._compute)
            copy(dst, old)
            self._function(old, total, out=total)
        copy(total, dst)

    def _reduce(self, src: Array, out: Array) -> None:
        if self._empty:
            out.fill(self._neutral)
        else:
            self._function.reduce(src, axis=self._axes, dtype=self._compute, keepdims=True, out=out)


def prepare_norm(static: StaticInstruction, context: Context) -> Prepared:
    """dst = softmax or its logarithm over the last axis: e = exp(x - max x); e / sum e, or x - max x - log sum e."""
    instruction = static.instruction
    assert isinstance(instruction, VNorm)
    dst, src = context.view(static, "dst"), context.view(static, "src")
    if dst.elements == 0:
        return Prepared((), nothing)
    compute = F64 if F64 in (src.dtype, dst.dtype) else F32
    load, store, scratch = converter(src.dtype, compute), converter(compute, dst.dtype), context.scratch
    normalise = _NORMS[instruction.fn]

    def run(accumulate: bool, out: Array, source: Array) -> None:
        work = scratch.take(_SOURCE, source.shape, compute)
        load(source, work)
        np.subtract(work, np.maximum.reduce(work, axis=-1, keepdims=True), out=work)
        store(normalise(work, scratch), out)

    return Prepared((dst, src), run)


def _softmax(shifted: Array, scratch: Scratch) -> Array:
    np.exp(shifted, out=shifted)
    return np.divide(shifted, np.add.reduce(shifted, axis=-1, keepdims=True), out=shifted)


def _log_softmax(shifted: Array, scratch: Scratch) -> Array:
    exponentials = scratch.take(_TOTAL, shifted.shape, shifted.dtype)
    np.exp(shifted, out=exponentials)
    return np.subtract(shifted, np.log(np.add.reduce(exponentials, axis=-1, keepdims=True)), out=shifted)


_NORMS = {NormFn.SOFTMAX: _softmax, NormFn.LOG_SOFTMAX: _log_softmax}
