"""mx.conv: 2-D convolution, channels last, as one matrix product per block of output rows.

Measured on one core (f32, ResNet, VGG and Inception shapes; `benchmarks/simulator_ops.py` repeats it): copying the
windows into a panel (im2col) and one product costs 1.02 to 1.15 times the bare product for 3 x 3 kernels and up to
1.25 times for a first layer of 3 channels; a sum of shifted products per tap costs 1.2 to 5 times, because each
adds a pass over the result and its products are shallow. So:

- a 1 x 1 kernel reads x in place where its rows can be merged, otherwise it is a panel of one tap;
- every other kernel copies windows, at most `PANEL_BYTES` at a time;
- x is copied first only where zeros lie around it or its type differs from the compute type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, prod

import numpy as np
from npuisa.descriptor import row_major
from npuisa.instructions import MxConv

from npusim.scratch import Scratch
from npusim.semantics.conversion import Convert, converter, copy
from npusim.semantics.plan import Context, Prepared, nothing
from npusim.semantics.product import FREE_SLOT, Arithmetic, Loader, Product, arithmetic, blasable, product_of
from npusim.semantics.windows2d import Axis, PaddedInput, axes_of
from npusim.sequence import StaticInstruction
from npusim.staging import Staging
from npusim.views import Array, Type, View

PANEL_BYTES = 2 << 20
_PADDED, _PANEL, _RESULT = range(FREE_SLOT, FREE_SLOT + 3)


def prepare_conv(static: StaticInstruction, context: Context) -> Prepared:
    """dst[n, i, j, o] (+)= sum over p, q, c of x[n, i*sh + p*dh - ph, j*sw + q*dw - pw, c] * w[p, q, c, o]."""
    dst, x, w = (context.view(static, name) for name in ("dst", "x", "w"))
    instruction = static.instruction
    assert isinstance(instruction, MxConv)
    rule = arithmetic(x.dtype, w.dtype, dst.dtype)
    if dst.elements == 0:
        return Prepared((), nothing)
    rows, columns = axes_of(instruction, dst, x, w)
    return _Convolution(context, rule, instruction.groups, rows, columns).prepare(dst, x, w)


class _Convolution:
    """Chooses the form of a convolution and builds its function. Groups are a batch axis of the product."""

    def __init__(self, context: Context, rule: Arithmetic, groups: int, rows: Axis, columns: Axis) -> None:
        self._scratch, self._staging = context.scratch, context.staging
        self._rule, self._groups = rule, groups
        self._rows, self._columns = rows, columns
        self._taps = rows.kernel * columns.kernel
        self._padded = rows.padded or columns.padded

    def prepare(self, dst: View, x: View, w: View) -> Prepared:
        """The views and the function for these operands."""
        weights = self._grouped(w).merged(1, 3) or self._grouped(w)
        windows = x.arranged(*self._window_axes(x.dims, x.strides))
        if self._taps == self._groups == 1 and not self._padded and x.dtype == self._rule.compute:
            pixels, result = windows.merged(1, 3), dst.merged(0, 2)
            if pixels is not None and result is not None:
                pixels = pixels.arranged((pixels.dims[1], pixels.dims[4]), (pixels.strides[1], pixels.strides[4]))
                matrix = weights.merged(0, weights.rank - 2)
                if matrix is not None and blasable(pixels):
                    return self._in_place(result, pixels, matrix)
        return self._by_panels(dst, x, windows, weights)

    def _grouped(self, view: View) -> View:
        """The last axis split into [groups, per group], groups moved to the front."""
        per_group = view.dims[-1] // self._groups
        dims = (self._groups, *view.dims[:-1], per_group)
        return view.arranged(dims, (per_group * view.strides[-1], *view.strides))

    def _window_axes(
        self, dims: tuple[int, ...], strides: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Axes of x as [groups, n, oh, ow, kh, kw, ci / groups]; windows overlap."""
        (batch, _, _, channels), (sn, sh, sw, sc) = dims, strides
        rows, columns, depth = self._rows, self._columns, channels // self._groups
        return (
            (self._groups, batch, rows.out, columns.out, rows.kernel, columns.kernel, depth),
            (depth * sc, sn, sh * rows.stride, sw * columns.stride, sh * rows.dilation, sw * columns.dilation, sc),
        )

    def _in_place(self, dst: View, pixels: View, weights: View) -> Prepared:
        """1 x 1: dst [m, co], pixels [m, ci], weights [ci, co]."""
        product = Product(self._rule, pixels.dims[1], self._scratch, blasable(dst))
        return product_of(product, dst, pixels, weights, self._rule, self._staging)

    def _by_panels(self, dst: View, x: View, windows: View, weights: View) -> Prepared:
        depth, compute = prod(windows.dims[4:]), self._rule.compute
        merged = dst.merged(0, 2)
        result = self._grouped(merged or dst)
        product = Product(self._rule, depth, self._scratch, merged is not None and blasable(result))
        loader = Loader(weights, compute, self._staging, dense=weights.rank > 3)
        staged = self._padded or (x.dtype != compute and self._taps > 1)
        stage = self._stage(x) if staged else None
        convert = copy if staged else converter(x.dtype, compute)
        blocks = _blocks(windows.dims, depth * compute.itemsize)
        views = (result, x if staged else windows, weights)
        if len(blocks) == 1 and merged is not None:
            return Prepared(views, _whole(blocks[0], product, loader, stage, convert, self._staging))
        panels = _Panels(blocks, compute, stage, convert, self._scratch, self._staging)
        store = _store_rows if merged is not None else _store_boxes
        matrix_dims, scratch = (self._groups, depth, result.dims[-1]), self._scratch

        def run(accumulate: bool, out: Array, source: Array, w: Array) -> None:
            matrix = loader.load(w).reshape(matrix_dims)
            for block, panel in panels.load(source):
                rows = panel.reshape(matrix_dims[0], block.rows, depth)
                store(product, accumulate, out, block, rows, matrix, scratch)

        return Prepared(views, run)

    def _stage(self, x: View) -> Callable[[Array], Array]:
        """Windows of a padded, converted copy of x."""
        padded, scratch = PaddedInput(x, self._rows, self._columns, self._rule.compute, _PADDED), self._scratch
        strides = tuple(stride * self._rule.compute.itemsize for stride in row_major(padded.dims))
        dims, strides = self._window_axes(padded.dims, strides)

        def windows(source: Array) -> Array:
            copied = padded.load(source, scratch)
            return np.ndarray(dims, copied.dtype, copied, 0, strides)

        return windows


def _whole(
    block: _Block,
    product: Product,
    loader: Loader,
    stage: Callable[[Array], Array] | None,
    convert: Convert,
    staging: Staging,
) -> Callable[..., None]:
    """One panel [groups, rows, depth] for the whole result, kept for the next tile that reads the same x."""
    dims, (groups, depth), owner = block.dims, (block.dims[0], prod(block.dims[4:])), object()
    panel_dims = (groups, block.rows, depth)

    def run(accumulate: bool, out: Array, source: Array, w: Array) -> None:
        matrix = loader.load(w)
        if matrix.ndim > 3:
            matrix = matrix.reshape(groups, depth, -1)
        panel, ready = staging.take(owner, source, panel_dims, product.compute)
        if not ready:
            convert(source if stage is None else stage(source), panel.reshape(dims))
        product.run(accumulate, out, panel, matrix)

    return run


class _Panels:
    """Windows of x collected block by block. A single block is kept for the next tile that reads the same x."""

    def __init__(
        self,
        blocks: list[_Block],
        compute: Type,
        stage: Callable[[Array], Array] | None,
        convert: Convert,
        scratch: Scratch,
        staging: Staging,
    ) -> None:
        self._blocks, self._compute, self._stage, self._convert = blocks, compute, stage, convert
        self._scratch, self._staging = scratch, staging

    def load(self, source: Array) -> Iterator[tuple[_Block, Array]]:
        """Every block with its panel, which lives until the next one is asked for."""
        if len(self._blocks) == 1:
            panel, ready = self._staging.take(self, source, self._blocks[0].dims, self._compute)
            if not ready:
                self._convert(self._windows(source), panel)
            yield self._blocks[0], panel
            return
        windows = self._windows(source)
        for block in self._blocks:
            panel = self._scratch.take(_PANEL, block.dims, self._compute)
            self._convert(windows[:, block.images, block.lines], panel)
            yield block, panel

    def _windows(self, source: Array) -> Array:
        return source if self._stage is None else self._stage(source)


@dataclass(frozen=True, slots=True)
class _Block:
    """Output lines computed by one product: `dims` of their windows, `pixels` of the result as rows."""

    images: slice
    lines: slice
    pixels: slice
    dims: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of the panel."""
        return prod(self.dims[1:4])


def _blocks(dims: tuple[int, ...], row_bytes: int) -> list[_Block]:
    """Cut windows [groups, n, oh, ow, ...] into panels of at most `PANEL_BYTES`, of nearly equal height."""
    groups, images, lines, width = dims[:4]
    line_bytes = groups * width * row_bytes
    if images * lines * line_bytes <= PANEL_BYTES:
        return [_Block(slice(None), slice(None), slice(None), dims)]
    count = ceil(lines / max(1, PANEL_BYTES // line_bytes))
    edges = [lines * part // count for part in range(count + 1)]
    blocks: list[_Block] = []
    for image in range(images):
        for first, last in pairwise(edges):
            start = (image * lines + first) * width
            pixels = slice(start, start + (last - first) * width)
            block_dims = (groups, 1, last - first, *dims[3:])
            blocks.append(_Block(slice(image, image + 1), slice(first, last), pixels, block_dims))
    return blocks


def _store_rows(
    product: Product, accumulate: bool, out: Array, block: _Block, rows: Array, matrix: Array, scratch: Scratch
) -> None:
    """Result [groups, pixels, channels]: the product writes it."""
    product.run(accumulate, out[:, block.pixels], rows, matrix)


def _store_boxes(
    product: Product, accumulate: bool, out: Array, block: _Block, rows: Array, matrix: Array, scratch: Scratch
) -> None:
    """Result [groups, n, oh, ow, channels] whose lines do not follow each other: through a dense copy."""
    part = scratch.take(_RESULT, (rows.shape[0], rows.shape[1], matrix.shape[2]), out.dtype)
    product.run(False, part, rows, matrix)
    box = out[:, block.images, block.lines]
    if accumulate:
        np.add(box, part.reshape(box.shape), out=box)
    else:
        np.copyto(box, part.reshape(box.shape))
