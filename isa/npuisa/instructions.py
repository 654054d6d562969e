"""The instruction table: the only place that says which instructions exist and what their fields are.

Encoding, decoding, assembly text, the `npu` dialect, the documentation and the dispatch tables of the
simulator are derived from (or checked for completeness against) these classes.

A word has 256 bits: a header of 40 bits common to all instructions, then the fields in the order in which the
class declares them. 128 bits do not suffice: five operands of 16 + 5 bits and the header are already 145.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, TypeVar, dataclass_transform

from npuisa.descriptor import Space

WORD_BITS = 256
SCALAR_REGISTERS = 32
SEMAPHORES = 64
LOOP_DEPTH = 4
MAX_WAITS = 2
MAX_POSTS = 2


class Engine(IntEnum):
    """Who executes an instruction. DMA channels, MX, OUT and VX have in-order queues of their own."""

    SEQ = 0
    DMA0 = 1
    DMA1 = 2
    DMA2 = 3
    DMA3 = 4
    MX = 5
    OUT = 6
    VX = 7


DMA_ENGINES = (Engine.DMA0, Engine.DMA1, Engine.DMA2, Engine.DMA3)
QUEUED_ENGINES = (*DMA_ENGINES, Engine.MX, Engine.OUT, Engine.VX)


class AluFn(IntEnum):
    """Functions of `s.alu` on 64-bit two's-complement scalars."""

    ADD = 0
    SUB = 1
    MUL = 2
    DIV = 3
    REM = 4
    MIN = 5
    MAX = 6
    AND = 7
    OR = 8
    XOR = 9
    SHL = 10
    SHR = 11
    SLT = 12
    SEQ = 13


class BranchFn(IntEnum):
    """Conditions of `s.br`."""

    ALWAYS = 0
    EQ = 1
    NE = 2
    LT = 3
    GE = 4


class ReduceFn(IntEnum):
    """Functions of `v.reduce` and `v.window`."""

    SUM = 0
    MAX = 1
    MIN = 2
    PROD = 3


class NormFn(IntEnum):
    """Functions of `v.norm`, over the last axis."""

    SOFTMAX = 0
    LOG_SOFTMAX = 1


class AccMode(IntEnum):
    """How a result meets what the destination holds: overwrite, add, or add when a register is not 0."""

    SET = 0
    ADD = 1
    ADD_IF = 2


@dataclass(frozen=True, slots=True)
class Operand:
    """A descriptor of the program's table, its base moved by scalar register `reg` (r0 reads as 0)."""

    desc: int
    reg: int = 0


NO_OPERAND = Operand(0xFFFF, 0)
"""An optional source that is absent."""


@dataclass(frozen=True)
class FieldSpec:
    """One bit field: width, what kind of value it holds, and for operands which spaces are legal."""

    width: int
    kind: str
    """operand | reg | imm | simm | enum | kernel | loop | target | engine"""
    doc: str = ""
    spaces: tuple[Space, ...] = ()
    access: str = ""
    """operand only: 'r', 'w' or 'rw'"""
    optional: bool = False
    enum: type[IntEnum] | None = None


def _field(spec: FieldSpec, **default: Any) -> Any:
    return dataclasses.field(metadata={"bits": spec}, **default)


def dest(*spaces: Space, access: str = "w", doc: str = "") -> Any:
    """A destination operand in one of `spaces`."""
    return _field(FieldSpec(21, "operand", doc, spaces, access))


def source(*spaces: Space, optional: bool = False, doc: str = "") -> Any:
    """A source operand in one of `spaces`; an optional one defaults to `NO_OPERAND`."""
    spec = FieldSpec(21, "operand", doc, spaces, "r", optional)
    return _field(spec, default=NO_OPERAND) if optional else _field(spec)


def imm(width: int, default: int | None = None, doc: str = "") -> Any:
    """An unsigned immediate."""
    spec = FieldSpec(width, "imm", doc)
    return _field(spec) if default is None else _field(spec, default=default)


def simm(width: int, default: int | None = None, doc: str = "") -> Any:
    """A two's-complement immediate."""
    spec = FieldSpec(width, "simm", doc)
    return _field(spec) if default is None else _field(spec, default=default)


def reg(default: int | None = None, doc: str = "") -> Any:
    """A scalar register number."""
    spec = FieldSpec(5, "reg", doc)
    return _field(spec) if default is None else _field(spec, default=default)


def choice(enum: type[IntEnum], width: int, default: IntEnum | None = None, doc: str = "") -> Any:
    """A value of `enum`."""
    spec = FieldSpec(width, "enum", doc, enum=enum)
    return _field(spec) if default is None else _field(spec, default=default)


def index(kind: str, width: int = 16, doc: str = "") -> Any:
    """An index into a table (`kernel`, `loop`) or the program (`target`)."""
    return _field(FieldSpec(width, kind, doc))


InstructionT = TypeVar("InstructionT", bound="Instruction")

TABLE: dict[int, type[Instruction]] = {}
BY_MNEMONIC: dict[str, type[Instruction]] = {}


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dest, source, imm, simm, reg, choice, index)
)
def instruction(
    *, opcode: int, mnemonic: str, engine: Engine | None, units: tuple[Engine, ...] = DMA_ENGINES
) -> Callable[[type[InstructionT]], type[InstructionT]]:
    """Register a class as an instruction. `engine=None`: the engine is a field (`unit`), one of `units`."""

    def register(cls: type[InstructionT]) -> type[InstructionT]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.opcode, made.mnemonic, made.fixed_engine = opcode, mnemonic, engine
        made.units = units if engine is None else (engine,)
        bits = HEADER_BITS + sum(spec.width for _, spec in made.fields())
        if opcode in TABLE or mnemonic in BY_MNEMONIC:
            raise ValueError(f"{mnemonic}: opcode {opcode:#x} or mnemonic is already taken")
        if bits > WORD_BITS:
            raise ValueError(f"{mnemonic}: {bits} bits do not fit a word of {WORD_BITS}")
        TABLE[opcode] = BY_MNEMONIC[mnemonic] = made
        return made

    return register


HEADER_BITS = 8 + 4 + 4 * 7
"""opcode 8, engine 4, two waits and two posts of 7 bits (semaphore + 1, 0 = none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Base of all instructions: `engine` executes it; it starts when every semaphore in `waits` is positive
    (each is then decremented) and when done increments those in `posts`."""

    opcode: ClassVar[int] = -1
    mnemonic: ClassVar[str] = ""
    fixed_engine: ClassVar[Engine | None] = None
    units: ClassVar[tuple[Engine, ...]] = ()
    """Engines that may execute it: the fixed one, or the legal values of `unit`."""

    unit: Engine = Engine.SEQ
    waits: tuple[int, ...] = ()
    posts: tuple[int, ...] = ()

    @classmethod
    def fields(cls) -> list[tuple[str, FieldSpec]]:
        """The bit fields after the header, in encoding order."""
        return [(f.name, f.metadata["bits"]) for f in dataclasses.fields(cls) if "bits" in f.metadata]

    @property
    def engine(self) -> Engine:
        """The engine that executes this instruction."""
        return self.unit if self.fixed_engine is None else self.fixed_engine


# --- sequencer --------------------------------------------------------------------------------------------


@instruction(opcode=0x01, mnemonic="s.li", engine=Engine.SEQ)
class SLi(Instruction):
    """rd = value."""

    rd: int = reg()
    value: int = simm(64)


@instruction(opcode=0x02, mnemonic="s.alu", engine=Engine.SEQ)
class SAlu(Instruction):
    """rd = fn(ra, rb + value): the second source is a register plus an immediate (use r0 for one of them)."""

    fn: AluFn = choice(AluFn, 5)
    rd: int = reg()
    ra: int = reg()
    rb: int = reg(0)
    value: int = simm(32, 0)


@instruction(opcode=0x03, mnemonic="s.br", engine=Engine.SEQ)
class SBr(Instruction):
    """Branch to instruction `to` when the condition on ra and rb holds."""

    fn: BranchFn = choice(BranchFn, 3)
    ra: int = reg(0)
    rb: int = reg(0)
    to: int = index("target", 24)


@instruction(opcode=0x04, mnemonic="s.loop", engine=Engine.SEQ)
class SLoop(Instruction):
    """Run the instructions after this one up to `end` (exclusive) `count` times; the loop table's entry
    `step` moves registers after each iteration. Count 0 skips the body. At most 4 deep."""

    count: int = imm(32)
    end: int = index("target", 24)
    step: int = index("loop")


@instruction(opcode=0x05, mnemonic="s.fence", engine=Engine.SEQ)
class SFence(Instruction):
    """Wait until every queue is empty and every engine idle."""


@instruction(opcode=0x06, mnemonic="s.halt", engine=Engine.SEQ)
class SHalt(Instruction):
    """Drain as `s.fence` does and end the program."""


@instruction(opcode=0x07, mnemonic="q.sync", engine=None, units=QUEUED_ENGINES)
class QSync(Instruction):
    """A step in the queue of `unit` that only waits and posts, each `count` times."""

    count: int = imm(8, 1)


# --- DMA --------------------------------------------------------------------------------------------------

_ANY = (Space.DRAM, Space.L2, Space.SRAM)


@instruction(opcode=0x10, mnemonic="dma.copy", engine=None)
class DmaCopy(Instruction):
    """dst = src, same dims, strided on both sides; converts when the element types differ."""

    dst: Operand = dest(*_ANY)
    src: Operand = source(*_ANY)


@instruction(opcode=0x11, mnemonic="dma.fill", engine=None)
class DmaFill(Instruction):
    """Every element of dst = the fill value of its descriptor."""

    dst: Operand = dest(*_ANY)


# --- matrix engine ----------------------------------------------------------------------------------------


@instruction(opcode=0x20, mnemonic="mx.gemm", engine=Engine.MX)
class MxGemm(Instruction):
    """dst[..., m, n] (+)= sum over k of a[..., m, k] * b[..., k, n]; leading dims are a batch."""

    dst: Operand = dest(Space.ACC, access="rw")
    a: Operand = source(Space.SRAM)
    b: Operand = source(Space.SRAM)
    mode: AccMode = choice(AccMode, 2, AccMode.SET)
    pred: int = reg(0, "register of ADD_IF")


@instruction(opcode=0x21, mnemonic="mx.conv", engine=Engine.MX)
class MxConv(Instruction):
    """2-D convolution, channels last: x [n, h, w, ci], w [kh, kw, ci / groups, co], dst [n, oh, ow, co].

    dst[n, i, j, o] (+)= sum of x[n, i*stride_h + p*dilation_h - pad_h, ...] * w[p, q, c, o]; reads outside x
    are 0. Output channels are grouped: block g of co / groups reads block g of the input channels.
    """

    dst: Operand = dest(Space.ACC, access="rw")
    x: Operand = source(Space.SRAM)
    w: Operand = source(Space.SRAM)
    mode: AccMode = choice(AccMode, 2, AccMode.SET)
    pred: int = reg(0, "register of ADD_IF")
    stride_h: int = imm(8, 1)
    stride_w: int = imm(8, 1)
    dilation_h: int = imm(8, 1)
    dilation_w: int = imm(8, 1)
    pad_h: int = imm(16, 0, "rows of zeros above x")
    pad_w: int = imm(16, 0, "columns of zeros left of x")
    groups: int = imm(16, 1)


@instruction(opcode=0x22, mnemonic="mx.dwconv", engine=Engine.MX)
class MxDwconv(Instruction):
    """Depthwise convolution: x [n, h, w, c], w [kh, kw, c], dst [n, oh, ow, c]; otherwise as mx.conv."""

    dst: Operand = dest(Space.ACC, access="rw")
    x: Operand = source(Space.SRAM)
    w: Operand = source(Space.SRAM)
    stride_h: int = imm(8, 1)
    stride_w: int = imm(8, 1)
    dilation_h: int = imm(8, 1)
    dilation_w: int = imm(8, 1)
    pad_h: int = imm(16, 0)
    pad_w: int = imm(16, 0)


# --- output stage -----------------------------------------------------------------------------------------


@instruction(opcode=0x30, mnemonic="out.store", engine=Engine.OUT)
class OutStore(Instruction):
    """dst = kernel(acc, s1, s2, s3) element by element; views have the dims of dst (stride 0 broadcasts)."""

    dst: Operand = dest(Space.SRAM)
    kernel: int = index("kernel")
    acc: Operand = source(Space.ACC)
    s1: Operand = source(Space.SRAM, optional=True)
    s2: Operand = source(Space.SRAM, optional=True)
    s3: Operand = source(Space.SRAM, optional=True)


# --- vector engine ----------------------------------------------------------------------------------------


@instruction(opcode=0x40, mnemonic="v.map", engine=Engine.VX)
class VMap(Instruction):
    """dst = kernel(s0, s1, s2, s3) element by element; views have the dims of dst (stride 0 broadcasts)."""

    dst: Operand = dest(Space.SRAM)
    kernel: int = index("kernel")
    s0: Operand = source(Space.SRAM, optional=True)
    s1: Operand = source(Space.SRAM, optional=True)
    s2: Operand = source(Space.SRAM, optional=True)
    s3: Operand = source(Space.SRAM, optional=True)


@instruction(opcode=0x41, mnemonic="v.reduce", engine=Engine.VX)
class VReduce(Instruction):
    """dst (fn)= reduction of src over the axes in the bit mask `axes`; dst has src's dims with 1 there.

    Floating sums accumulate in f32 (f64 for f64), integers in their own type with wrap-around. With ADD /
    ADD_IF the value already in dst takes part in the reduction.
    """

    dst: Operand = dest(Space.SRAM, access="rw")
    src: Operand = source(Space.SRAM)
    fn: ReduceFn = choice(ReduceFn, 4)
    axes: int = imm(8, doc="bit i: reduce axis i")
    mode: AccMode = choice(AccMode, 2, AccMode.SET)
    pred: int = reg(0, "register of ADD_IF")


@instruction(opcode=0x42, mnemonic="v.window", engine=Engine.VX)
class VWindow(Instruction):
    """Sliding-window reduction over two axes `axis_a` and `axis_b` of src (pooling, LRN's channel sum).

    dst[.., i, .., j, ..] = fn over p < size_a, q < size_b of src[.., i*stride_a + p*dilation_a - pad_a, ..];
    positions outside src do not take part (an empty window gives fn's neutral element).
    """

    dst: Operand = dest(Space.SRAM)
    src: Operand = source(Space.SRAM)
    fn: ReduceFn = choice(ReduceFn, 4)
    axis_a: int = imm(3)
    size_a: int = imm(16)
    stride_a: int = imm(8, 1)
    dilation_a: int = imm(8, 1)
    pad_a: int = imm(16, 0)
    axis_b: int = imm(3)
    size_b: int = imm(16)
    stride_b: int = imm(8, 1)
    dilation_b: int = imm(8, 1)
    pad_b: int = imm(16, 0)


@instruction(opcode=0x43, mnemonic="v.norm", engine=Engine.VX)
class VNorm(Instruction):
    """dst = fn(src) over the last axis, computed in f32 (f64 for f64)."""

    dst: Operand = dest(Space.SRAM)
    src: Operand = source(Space.SRAM)
    fn: NormFn = choice(NormFn, 4)


@instruction(opcode=0x44, mnemonic="v.dwconv", engine=Engine.VX)
class VDwconv(Instruction):
    """Depthwise convolution on the vector engine; dst in SRAM, accumulated in f32, otherwise as mx.dwconv."""

    dst: Operand = dest(Space.SRAM)
    x: Operand = source(Space.SRAM)
    w: Operand = source(Space.SRAM)
    stride_h: int = imm(8, 1)
    stride_w: int = imm(8, 1)
    dilation_h: int = imm(8, 1)
    dilation_w: int = imm(8, 1)
    pad_h: int = imm(16, 0)
    pad_w: int = imm(16, 0)
