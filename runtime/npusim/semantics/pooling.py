"""v.window: sliding-window reduction over two axes (pooling, and LRN's sum over channels).

Separable: all four functions are, so the window runs along one axis after the other, each as `size` passes of a
ufunc over shifted slices. The axis whose pass shrinks the data more goes first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from npuisa.instructions import ReduceFn, VWindow

from npusim.scratch import Scratch
from npusim.semantics.conversion import converter, copy
from npusim.semantics.plan import Context, Prepared, nothing
from npusim.semantics.product import FREE_SLOT
from npusim.semantics.reduction import REDUCTIONS, accumulation_type, neutral
from npusim.sequence import StaticInstruction
from npusim.views import Array, Type, View

_SOURCE, _FIRST, _SECOND = range(FREE_SLOT, FREE_SLOT + 3)


@dataclass(frozen=True, slots=True)
class _Pass:
    """A window along one axis: per tap, the output range it reaches and the input range it reads."""

    axis: int
    taps: tuple[tuple[slice, slice], ...]
    dims: tuple[int, ...]
    covered: bool
    """Whether the first tap reaches every output: then it is a copy instead of a neutral fill and an operation."""


def prepare_window(static: StaticInstruction, context: Context) -> Prepared:
    """dst[.., i, .., j, ..] = fn over the window of src; positions outside src do not take part."""
    instruction = static.instruction
    assert isinstance(instruction, VWindow)
    dst, src = context.view(static, "dst"), context.view(static, "src")
    axes = (instruction.axis_a, instruction.axis_b)
    if dst.elements == 0:
        return Prepared((), nothing)
    a = (instruction.size_a, instruction.stride_a, instruction.dilation_a, instruction.pad_a)
    b = (instruction.size_b, instruction.stride_b, instruction.dilation_b, instruction.pad_b)
    order = [
        (axis, window)
        for axis, window in zip(axes, (a, b))
        if window != (1, 1, 1, 0) or dst.dims[axis] != src.dims[axis]
    ]
    order.sort(key=lambda item: -item[1][1])
    passes: list[_Pass] = []
    dims = src.dims
    for axis, window in order:
        passes.append(_pass(dims, axis, dst.dims[axis], *window))
        dims = passes[-1].dims
    compute = accumulation_type(instruction.fn, src.dtype, dst.dtype)
    return Prepared((dst, src), _Window(context.scratch, instruction.fn, tuple(passes), src, compute).run)


def _pass(dims: tuple[int, ...], axis: int, outputs: int, size: int, stride: int, dilation: int, pad: int) -> _Pass:
    taps: list[tuple[slice, slice]] = []
    for tap in range(size):
        shift = tap * dilation - pad
        first = max(0, -(shift // stride))
        last = min(outputs, (dims[axis] - 1 - shift) // stride + 1)
        if first < last:
            start = first * stride + shift
            taps.append((slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)))
    taps.sort(key=lambda item: item[0].start - item[0].stop)
    covered = bool(taps) and taps[0][0] == slice(0, outputs)
    return _Pass(axis, tuple(taps), (*dims[:axis], outputs, *dims[axis + 1 :]), covered)


class _Window:
    def __init__(
        self, scratch: Scratch, fn: ReduceFn, passes: tuple[_Pass, ...], src: View, compute: Type
    ) -> None:
        self._scratch, self._passes, self._compute = scratch, passes, compute
        self._function, self._neutral = REDUCTIONS[fn], neutral(fn, compute)
        self._convert = converter(src.dtype, compute) if src.dtype != compute else None

    def run(self, accumulate: bool, dst: Array, src: Array) -> None:
        """Execute one issue."""
        if self._convert is not None:
            converted = self._scratch.take(_SOURCE, src.shape, self._compute)
            self._convert(src, converted)
            src = converted
        for number, step in enumerate(self._passes):
            last = number == len(self._passes) - 1 and dst.dtype == self._compute
            out = dst if last else self._scratch.take(_FIRST + number, step.dims, self._compute)
            self._slide(step, src, out)
            src = out
        if src is not dst:
            copy(src, dst)

    def _slide(self, step: _Pass, src: Array, out: Array) -> None:
        before = (slice(None),) * step.axis
        taps = iter(step.taps)
        if step.covered:
            np.copyto(out, src[(*before, next(taps)[1])])
        else:
            out.fill(self._neutral)
        for outputs, inputs in taps:
            part = out[(*before, outputs)]
            self._function(part, src[(*before, inputs)], out=part)
