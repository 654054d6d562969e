"""The instruction table: the only place that says which instructions exist and what their fields are.

Encoding, decoding, assembly text, the `npu` dialect, the documentation and the dispatch tables of the
simulator are derived from (or checked for completeness against) these classes. What operands must be like
beyond their memory space (ranks, dims, element types) stands in `operand_rules.py`, one rule per class.
"""

from __future__ import annotations

from npuisa.descriptor import Space
from npuisa.indexed_instructions import DmaGather, DmaScatter, VGather, VScatter
from npuisa.instruction_fields import (
    BY_MNEMONIC,
    DMA_ENGINES,
    HEADER_BITS,
    LOOP_DEPTH,
    MAX_POSTS,
    MAX_WAITS,
    NO_OPERAND,
    QUEUED_ENGINES,
    SCALAR_REGISTERS,
    SEMAPHORES,
    TABLE,
    WORD_BITS,
    AccMode,
    AluFn,
    BranchFn,
    DescField,
    Engine,
    FieldSpec,
    Instruction,
    NormFn,
    Operand,
    ReduceFn,
    ScatterFn,
    choice,
    dest,
    imm,
    index,
    instruction,
    reg,
    simm,
    source,
)
from npuisa.order_instructions import VCompress, VScan, VSort, sort_workspace
from npuisa.sequencer_instructions import DGet, DSet, SAlu, SBr, SemInit, SFence, SHalt, SLd, SLi, SLoop, SSt

__all__ = [
    "BY_MNEMONIC",
    "DMA_ENGINES",
    "HEADER_BITS",
    "LOOP_DEPTH",
    "MAX_POSTS",
    "MAX_WAITS",
    "NO_OPERAND",
    "QUEUED_ENGINES",
    "SCALAR_REGISTERS",
    "SEMAPHORES",
    "TABLE",
    "WORD_BITS",
    "AccMode",
    "AluFn",
    "BranchFn",
    "DGet",
    "DSet",
    "DescField",
    "DmaCopy",
    "DmaFill",
    "DmaGather",
    "DmaScatter",
    "Engine",
    "FieldSpec",
    "Instruction",
    "MxConv",
    "MxDwconv",
    "MxGemm",
    "NormFn",
    "Operand",
    "OutStore",
    "QSync",
    "ReduceFn",
    "SAlu",
    "SBr",
    "SFence",
    "SHalt",
    "SLd",
    "SLi",
    "SLoop",
    "SSt",
    "ScatterFn",
    "SemInit",
    "VCompress",
    "VDwconv",
    "VGather",
    "VMap",
    "VNorm",
    "VReduce",
    "VScan",
    "VScatter",
    "VSort",
    "VWindow",
    "choice",
    "dest",
    "imm",
    "index",
    "instruction",
    "reg",
    "simm",
    "sort_workspace",
    "source",
]

# --- queues (the sequencer's own instructions: `sequencer_instructions.py`) ------------------------------------


@instruction(opcode=0x07, mnemonic="q.sync", engine=None, units=QUEUED_ENGINES)
class QSync(Instruction):
    """A step in the queue of `unit` that only waits and posts, each `count` times (1 or more)."""

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
    stride_h: int = imm(16, 1)
    stride_w: int = imm(16, 1)
    dilation_h: int = imm(16, 1)
    dilation_w: int = imm(16, 1)
    pad_h: int = imm(16, 0, "rows of zeros above x")
    pad_w: int = imm(16, 0, "columns of zeros left of x")
    groups: int = imm(16, 1)


@instruction(opcode=0x22, mnemonic="mx.dwconv", engine=Engine.MX)
class MxDwconv(Instruction):
    """Depthwise convolution: x [n, h, w, c], w [kh, kw, c], dst [n, oh, ow, c]; otherwise as mx.conv."""

    dst: Operand = dest(Space.ACC, access="rw")
    x: Operand = source(Space.SRAM)
    w: Operand = source(Space.SRAM)
    stride_h: int = imm(16, 1)
    stride_w: int = imm(16, 1)
    dilation_h: int = imm(16, 1)
    dilation_w: int = imm(16, 1)
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
    stride_a: int = imm(16, 1)
    dilation_a: int = imm(16, 1)
    pad_a: int = imm(16, 0)
    axis_b: int = imm(3)
    size_b: int = imm(16)
    stride_b: int = imm(16, 1)
    dilation_b: int = imm(16, 1)
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
    stride_h: int = imm(16, 1)
    stride_w: int = imm(16, 1)
    dilation_h: int = imm(16, 1)
    dilation_w: int = imm(16, 1)
    pad_h: int = imm(16, 0)
    pad_w: int = imm(16, 0)
