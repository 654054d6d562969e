"""Base of the tile operations that become one instruction of an engine."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

from npuisa.instructions import MAX_POSTS, MAX_WAITS, QUEUED_ENGINES
from xdsl.dialects.builtin import ArrayAttr, IndexType, MemRefType, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
)
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.attributes import MemorySpace, machine_dtype, memref_of, space_of

ENGINE_NAMES = tuple(engine.name.lower() for engine in QUEUED_ENGINES)
"""dma0 .. dma3, mx, out, vx."""
DMA_NAMES = tuple(name for name in ENGINE_NAMES if name.startswith("dma"))

SYNC_FORMAT = "(`waits` $waits^)? (`posts` $posts^)? attr-dict"
SYNC_FORMAT_BEFORE_REGION = f"{SYNC_FORMAT}-with-keyword"
"""Tail of every instruction's assembly format before the colon."""


def string_array(values: Sequence[str]) -> ArrayAttr[StringAttr]:
    """An array attribute of strings."""
    return ArrayAttr([StringAttr(value) for value in values])


class InstructionOp(IRDLOperation, ABC):
    """An operation that becomes one instruction.

    `waits` / `posts` name semaphores (filled in by `tile-insert-semaphores`); `nodes` holds the names of the
    ONNX nodes it computes, if they differ from those of the enclosing `tile.group`.
    """

    FIXED_ENGINE: ClassVar[str | None] = None
    LEGAL_ENGINES: ClassVar[tuple[str, ...]] = ()

    waits = opt_prop_def(ArrayAttr[StringAttr])
    posts = opt_prop_def(ArrayAttr[StringAttr])
    nodes = opt_prop_def(ArrayAttr[StringAttr])

    irdl_options = (ParsePropInAttrDict(),)

    @property
    def engine(self) -> str:
        """Name of the engine that executes it, one of `ENGINE_NAMES`."""
        assert self.FIXED_ENGINE is not None
        return self.FIXED_ENGINE

    @property
    def wait_names(self) -> tuple[str, ...]:
        """Semaphores it waits for."""
        return () if self.waits is None else tuple(name.data for name in self.waits)

    @property
    def post_names(self) -> tuple[str, ...]:
        """Semaphores it posts."""
        return () if self.posts is None else tuple(name.data for name in self.posts)

    def set_sync(self, waits: Sequence[str], posts: Sequence[str]) -> None:
        """Replace the semaphores of the header."""
        self.waits = string_array(waits) if waits else None
        self.posts = string_array(posts) if posts else None

    def reads(self) -> tuple[SSAValue, ...]:
        """Memrefs it reads."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it reads")

    def writes(self) -> tuple[SSAValue, ...]:
        """Memrefs it writes; one that is also in `reads()` is updated."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it writes")

    def verify_(self) -> None:
        if self.LEGAL_ENGINES and self.engine not in self.LEGAL_ENGINES:
            raise VerifyException(f"engine {self.engine!r} is not one of {', '.join(self.LEGAL_ENGINES)}")
        if len(self.wait_names) > MAX_WAITS or len(self.post_names) > MAX_POSTS:
            raise VerifyException(
                f"an instruction header holds {MAX_WAITS} waits and {MAX_POSTS} posts, found "
                f"{len(self.wait_names)} and {len(self.post_names)}; use tile.sync for the others"
            )
        self.verify_operands()

    def verify_operands(self) -> None:
        """Check spaces, shapes and types; overridden per operation."""


class ChosenEngineOp(InstructionOp, ABC):
    """An instruction whose engine is an attribute."""

    engine_attr = prop_def(StringAttr, prop_name="engine")

    @property
    def engine(self) -> str:
        return self.engine_attr.data


class AccumulatingOp(InstructionOp, ABC):
    """An instruction that overwrites dst, or adds to it where its `accumulate` operand is not 0.

    Without that operand it overwrites.
    """

    dst = operand_def(MemRefType)
    accumulate = opt_operand_def(IndexType)

    def writes(self) -> tuple[SSAValue, ...]:
        return (self.dst,)

    def updates(self) -> tuple[SSAValue, ...]:
        """dst where it may be read, that is with `accumulate`."""
        return () if self.accumulate is None else (self.dst,)


def is_instruction(op: Operation) -> bool:
    """Whether `op` becomes an instruction of an engine (`tile.sync` included)."""
    return isinstance(op, InstructionOp)


def nodes_of(op: Operation) -> tuple[str, ...]:
    """ONNX nodes that `op` stands for: its own attribute, else the nearest enclosing op that has one."""
    current: Operation | None = op
    while current is not None:
        nodes = current.properties.get("nodes") or current.attributes.get("nodes")
        if isinstance(nodes, ArrayAttr):
            return tuple(name.data for name in nodes if isinstance(name, StringAttr))
        current = current.parent_op()
    return ()


def expect_space(value: SSAValue, what: str, *spaces: MemorySpace) -> MemRefType:
    """The memref type of `value`, which must lie in one of `spaces`."""
    type_ = memref_of(value)
    if space_of(type_) not in spaces:
        legal = " or ".join(space.value for space in spaces)
        raise VerifyException(f"{what} must be in {legal}, found {type_}")
    return type_


def expect_machine_types(*types: MemRefType) -> None:
    """Element types must be ones that the machine stores."""
    for type_ in types:
        machine_dtype(type_.element_type)


def expect_rank(type_: MemRefType, what: str, rank: int) -> None:
    """`type_` must have `rank` dimensions."""
    if type_.get_num_dims() != rank:
        raise VerifyException(f"{what} must have rank {rank}, found {type_}")


def expect_shape(type_: MemRefType, what: str, shape: Sequence[int]) -> None:
    """`type_` must have this shape."""
    if type_.get_shape() != tuple(shape):
        wanted = "x".join(str(extent) for extent in shape)
        raise VerifyException(f"{what} must have shape {wanted}, found {type_}")
