"""Index arithmetic and views of buffers, emitted as upstream arith and memref ops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from xdsl.builder import Builder
from xdsl.dialects import arith, memref
from xdsl.dialects.builtin import IndexType, IntegerAttr, MemRefType
from xdsl.ir import Attribute, SSAValue

from npucc.dialects.tile import SpaceAttr
from npucc.dialects.tile_ops.attributes import MemorySpace
from npucc.schedule.problem import is_strided
from npucc.tiling import Access


@dataclass(frozen=True, slots=True)
class Linear:
    """`constant + sum(coefficient * induction variable)`."""

    constant: int = 0
    terms: tuple[tuple[SSAValue, int], ...] = ()

    def scaled(self, factor: int) -> Linear:
        """`factor` times this."""
        return Linear(self.constant * factor, tuple((value, c * factor) for value, c in self.terms))

    def plus(self, other: Linear) -> Linear:
        """The sum."""
        return Linear(self.constant + other.constant, self.terms + other.terms)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a loop dim stands: first index (symbolic, and its value in the first iteration) and tile size."""

    low: Linear
    first: int
    size: int


@dataclass(frozen=True, slots=True)
class Box:
    """A tile of a tensor: per axis the first element, how many, their distance, and padding left out before."""

    offsets: tuple[Linear, ...]
    lengths: tuple[int, ...]
    steps: tuple[int, ...]
    before: tuple[int, ...]


def tile_box(access: Access, positions: list[Position]) -> Box:
    """The part of a tensor that a tile touches, clipped to the tensor."""
    low = tuple(position.first for position in positions)
    size = tuple(position.size for position in positions)
    offsets: list[Linear] = []
    lengths: list[int] = []
    steps: list[int] = []
    before: list[int] = []
    for expr, (_, length, missing, _) in zip(access.exprs, access.box(low, size)):
        start = Linear(expr.constant)
        for dim, coefficient in expr.terms:
            start = start.plus(positions[dim].low.scaled(coefficient))
        if is_strided(expr):
            dim, step = expr.terms[0]
            offsets.append(start)
            lengths.append(size[dim])
            steps.append(step)
            before.append(0)
        else:
            offsets.append(start.plus(Linear(missing)))
            lengths.append(length)
            steps.append(1)
            before.append(missing)
    return Box(tuple(offsets), tuple(lengths), tuple(steps), tuple(before))


class IndexConstants:
    """`arith.constant`s of type index, one per value, at the head of a group."""

    def __init__(self, head: Builder) -> None:
        self._head = head
        self._values: dict[int, SSAValue] = {}

    def __getitem__(self, value: int) -> SSAValue:
        if value not in self._values:
            self._values[value] = self._head.insert(arith.ConstantOp(IntegerAttr(value, IndexType()))).result
        return self._values[value]

    def materialise(self, builder: Builder, index: Linear) -> SSAValue | int:
        """Emit the arithmetic of an index; a plain int when it is constant."""
        total: SSAValue | None = None
        for value, coefficient in index.terms:
            term = value if coefficient == 1 else builder.insert(arith.MuliOp(value, self[coefficient])).result
            total = term if total is None else builder.insert(arith.AddiOp(total, term)).result
        if total is None:
            return index.constant
        return builder.insert(arith.AddiOp(total, self[index.constant])).result if index.constant else total


def subview(builder: Builder, constants: IndexConstants, source: SSAValue, box: Box) -> SSAValue:
    """The part `box` of a buffer; the buffer itself when the box is all of it."""
    type_ = cast("MemRefType[Attribute]", source.type)
    whole = tuple(type_.get_shape()) == box.lengths and all(o == Linear() for o in box.offsets)
    if whole and all(step == 1 for step in box.steps):
        return source
    offsets = [constants.materialise(builder, offset) for offset in box.offsets]
    result = memref.SubviewOp.infer_result_type(type_, offsets, box.lengths, box.steps)
    return builder.insert(memref.SubviewOp.get(source, offsets, box.lengths, box.steps, result)).result


def dense(shape: tuple[int, ...], element: Attribute, space: str) -> MemRefType[Attribute]:
    """A dense row-major memref in a memory space."""
    return MemRefType(element, shape, memory_space=SpaceAttr(MemorySpace(space)))
