"""Which elements of which buffer a memref value of a tile program means.

Planning, synchronisation, the interpreter and the lowering to instructions share this analysis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from npuisa.descriptor import row_major
from npuisa.dtypes import DType
from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import memref
from xdsl.dialects.builtin import DYNAMIC_INDEX, ArrayAttr, DenseArrayBase, IntegerAttr, IntegerType
from xdsl.ir import Attribute, BlockArgument, Operation, SSAValue

from npucc.analysis.index import ZERO, LinearIndex, linear_index
from npucc.dialects.tile import (
    AcquireOp,
    AllocOp,
    BitcastOp,
    ConstantOp,
    MemorySpace,
    machine_dtype,
    memref_of,
    space_of,
)

BAD_VIEW = error_code("NPU-E0813", ExitCode.BAD_INPUT, "A memref is not a static strided view of a buffer")


@dataclass(frozen=True, slots=True)
class View:
    """A strided view: element (i0, i1, ..) is element `offset + sum(i * stride)` of the dense buffer `root`.

    `root` is the result of a `tile.alloc`, `tile.acquire` or `tile.constant`, or an argument of the function.
    `dims`, `strides` and `offset` count elements, which are those of the root or (`tile.bitcast`) others of the same
    width; strides may be negative.
    """

    root: SSAValue
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    offset: LinearIndex = ZERO
    element: Attribute | None = None

    @property
    def space(self) -> MemorySpace:
        """Memory space of the buffer."""
        return space_of(memref_of(self.root))

    @property
    def dtype(self) -> DType:
        """Element type of the view."""
        return machine_dtype(self.element or memref_of(self.root).element_type)

    @property
    def elements(self) -> int:
        """Number of elements of the view."""
        return prod(self.dims)

    def element_range(self) -> tuple[int, int]:
        """Least element relative to `offset`, and one past the greatest; (0, 0) for an empty view."""
        if 0 in self.dims:
            return 0, 0
        reaches = [(dim - 1) * stride for dim, stride in zip(self.dims, self.strides)]
        return sum(min(r, 0) for r in reaches), sum(max(r, 0) for r in reaches) + 1


def root_of(value: SSAValue) -> SSAValue:
    """The buffer that `value` is a view of (see `View.root`)."""
    while not isinstance(value, BlockArgument) and isinstance(value.owner, Operation):
        source = _source(value.owner)
        if source is None:
            break
        value = source
    return value


def _source(op: Operation) -> SSAValue | None:
    if isinstance(op, memref.SubviewOp | memref.CastOp | memref.ReinterpretCastOp | BitcastOp):
        return op.source
    if isinstance(op, memref.ExpandShapeOp | memref.CollapseShapeOp):
        return op.src
    return None


def resolve_view(value: SSAValue) -> View:
    """Follow subviews, casts and reshapes from `value` to the buffer.

    NpuError where the view is not strided (a collapse of strided dims), sizes or strides are dynamic, or an
    offset is not linear in the loop counters.
    """
    owner = value.owner
    if isinstance(value, BlockArgument) or isinstance(owner, AllocOp | AcquireOp | ConstantOp):
        dims = memref_of(value).get_shape()
        return View(value, dims, row_major(dims))
    if isinstance(owner, memref.SubviewOp):
        return _subview(owner)
    if isinstance(owner, memref.ReinterpretCastOp):
        return _reinterpret(owner)
    if isinstance(owner, memref.CastOp):
        return resolve_view(owner.source)
    if isinstance(owner, BitcastOp):
        return replace(resolve_view(owner.source), element=memref_of(value).element_type)
    if isinstance(owner, memref.ExpandShapeOp):
        return _expand(owner)
    if isinstance(owner, memref.CollapseShapeOp):
        return _collapse(owner)
    raise _bad_view(value, "the result of " + (owner.name if isinstance(owner, Operation) else "a block"))


def mixed_indices(static: DenseArrayBase[IntegerType], dynamic: tuple[SSAValue, ...]) -> list[LinearIndex]:
    """The list that a static array with markers and the operands for the markers stand for."""
    operands = iter(dynamic)
    return [
        linear_index(next(operands)) if number == DYNAMIC_INDEX else LinearIndex(int(number))
        for number in static.get_values()
    ]


def _static(value: SSAValue, what: str, array: DenseArrayBase[IntegerType]) -> list[int]:
    numbers = [int(number) for number in array.get_values()]
    if DYNAMIC_INDEX in numbers:
        raise _bad_view(value, f"dynamic {what}")
    return numbers


def _subview(op: memref.SubviewOp) -> View:
    source = resolve_view(op.source)
    sizes = _static(op.result, "sizes", op.static_sizes)
    steps = _static(op.result, "strides", op.static_strides)
    offset = source.offset
    for index, stride in zip(mixed_indices(op.static_offsets, op.offsets), source.strides):
        offset = offset + index.scaled(stride)
    strides = [stride * step for stride, step in zip(source.strides, steps)]
    shape = memref_of(op.result).get_shape()
    if len(shape) != len(sizes):
        strides = _rank_reduced(op, sizes, strides, shape)
    return View(source.root, shape, tuple(strides), offset, source.element)


def _rank_reduced(
    op: memref.SubviewOp, sizes: list[int], strides: list[int], shape: tuple[int, ...]
) -> list[int]:
    """Strides of a result that drops axes of size 1; which ones does not matter (theirs are unused)."""
    if [size for size in sizes if size != 1] != [extent for extent in shape if extent != 1]:
        raise _bad_view(op.result, f"sizes {sizes} for result shape {list(shape)}")
    used = iter(stride for size, stride in zip(sizes, strides) if size != 1)
    return [1 if extent == 1 else next(used) for extent in shape]


def _reinterpret(op: memref.ReinterpretCastOp) -> View:
    """The given offset counts from the start of the buffer, whatever view the source is (as in MLIR)."""
    (offset,) = mixed_indices(op.static_offsets, op.offsets)
    sizes = _static(op.result, "sizes", op.static_sizes)
    strides = _static(op.result, "strides", op.static_strides)
    root, element = root_of(op.source), memref_of(op.result).element_type
    seen_as = None if element == memref_of(root).element_type else element
    return View(root, tuple(sizes), tuple(strides), offset, seen_as)


def _groups(value: SSAValue, reassociation: ArrayAttr[ArrayAttr[IntegerAttr]]) -> list[list[int]]:
    return [[index.value.data for index in group] for group in reassociation]


def _expand(op: memref.ExpandShapeOp) -> View:
    source = resolve_view(op.src)
    dims = memref_of(op.result).get_shape()
    strides = [0] * len(dims)
    for axis, group in enumerate(_groups(op.result, op.reassociation)):
        inner = source.strides[axis]
        for position in reversed(group):
            strides[position] = inner
            inner *= dims[position]
    return replace(source, dims=dims, strides=tuple(strides))


def _collapse(op: memref.CollapseShapeOp) -> View:
    source = resolve_view(op.src)
    dims: list[int] = []
    strides: list[int] = []
    for group in _groups(op.result, op.reassociation):
        axes = [axis for axis in group if source.dims[axis] != 1]
        for outer, inner in pairwise(axes):
            if source.strides[outer] != source.strides[inner] * source.dims[inner]:
                raise _bad_view(op.result, f"collapse of dims {group} with strides {list(source.strides)}")
        dims.append(prod(source.dims[axis] for axis in group))
        strides.append(source.strides[axes[-1]] if axes else 1)
    return replace(source, dims=tuple(dims), strides=tuple(strides))


def _bad_view(value: SSAValue, found: str) -> NpuError:
    return NpuError(
        BAD_VIEW,
        "a memref of a tile program is not a static strided view of a buffer",
        where=f"%{value.name_hint}" if value.name_hint else str(value.type),
        found=found,
        remedy="use memref.subview, expand_shape, collapse_shape, reinterpret_cast or cast with static sizes",
    )
