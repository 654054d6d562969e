"""Instructions that move elements by index: gathers and scatters of the DMA channels and of the vector engine.

All four work on three axes: batches b, the indexed axis s, and the elements r behind it. The index view has the dims
[b, n, r] of the elements that move; stride 0 along r makes an index select a row, stride 0 along b shares a list.
Negative indices count from the end. An index outside [-s, s) touches no memory: a gather gives 0, a scatter drops.
"""

from __future__ import annotations

from npuisa.descriptor import Space
from npuisa.instruction_fields import Engine, Instruction, Operand, ScatterFn, choice, dest, instruction, source

_ANY = (Space.DRAM, Space.L2, Space.SRAM)


@instruction(opcode=0x12, mnemonic="dma.gather", engine=None)
class DmaGather(Instruction):
    """dst[b, i, r] = src[b, indices[b, i, r], r]: only the selected rows move.

    Negative indices count from the end; 0 where an index is outside [-s, s).
    """

    dst: Operand = dest(*_ANY)
    src: Operand = source(*_ANY)
    indices: Operand = source(Space.SRAM)


@instruction(opcode=0x13, mnemonic="dma.scatter", engine=None)
class DmaScatter(Instruction):
    """dst[b, indices[b, i, r], r] (fn)= src[b, i, r], in order of i; only the selected rows of dst change.

    Functions compute in the element type. Negative indices count from the end; outside [-s, s) nothing happens.
    """

    dst: Operand = dest(*_ANY, access="rmw")
    src: Operand = source(*_ANY)
    indices: Operand = source(Space.SRAM)
    fn: ScatterFn = choice(ScatterFn, 3, ScatterFn.NONE)


@instruction(opcode=0x46, mnemonic="v.gather", engine=Engine.VX)
class VGather(Instruction):
    """As dma.gather, within the SRAM: a vector of lanes reads from as many places."""

    dst: Operand = dest(Space.SRAM)
    src: Operand = source(Space.SRAM)
    indices: Operand = source(Space.SRAM)


@instruction(opcode=0x47, mnemonic="v.scatter", engine=Engine.VX)
class VScatter(Instruction):
    """As dma.scatter, within the SRAM; lanes that meet in one element follow each other in order of i."""

    dst: Operand = dest(Space.SRAM, access="rmw")
    src: Operand = source(Space.SRAM)
    indices: Operand = source(Space.SRAM)
    fn: ScatterFn = choice(ScatterFn, 3, ScatterFn.NONE)
