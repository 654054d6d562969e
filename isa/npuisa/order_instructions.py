"""Instructions of the vector engine whose result depends on the order or the values along the last axis."""

from __future__ import annotations

from npuisa.descriptor import Space
from npuisa.instruction_fields import Engine, Instruction, Operand, ReduceFn, choice, dest, imm, instruction, source


@instruction(opcode=0x48, mnemonic="v.sort", engine=Engine.VX)
class VSort(Instruction):
    """dst = the positions at which the elements of each line of src (its last axis) stand in order: a stable argsort.

    dst holds the first dims[-1] of them, so that the k best of n elements are one instruction. Equal elements keep
    the order of their positions, in both directions; -0 equals 0; NaN is greater than every number (and equals NaN).
    `work` is undefined afterwards: one line's pairs of key and position while they are sorted, in 64-bit words
    (`sort_workspace`).
    """

    dst: Operand = dest(Space.SRAM)
    src: Operand = source(Space.SRAM)
    work: Operand = dest(Space.SRAM)
    descending: int = imm(1, 0)


@instruction(opcode=0x49, mnemonic="v.scan", engine=Engine.VX)
class VScan(Instruction):
    """dst[.., i] = fn over the src[.., j] with j <= i, along the last axis: running sums, products and extremes.

    exclusive: j < i, so that the first element is fn's neutral one; reverse: j >= i (j > i) instead. Floats accumulate
    in f32 (f64 for f64) one after the other, integers in the wider type of both with wrap-around.
    """

    dst: Operand = dest(Space.SRAM)
    src: Operand = source(Space.SRAM)
    fn: ReduceFn = choice(ReduceFn, 4)
    exclusive: int = imm(1, 0)
    reverse: int = imm(1, 0)


@instruction(opcode=0x4A, mnemonic="v.compress", engine=Engine.VX)
class VCompress(Instruction):
    """Where the lines of mask (its last axis) are not 0, in order: the elements of src, or the positions without src.

    dst takes the first dims[-1] of them; behind the last one it gets the fill value of its descriptor. count (one
    element per line): how many dst took.
    """

    dst: Operand = dest(Space.SRAM)
    mask: Operand = source(Space.SRAM)
    src: Operand = source(Space.SRAM, optional=True)
    count: Operand = dest(Space.SRAM, optional=True)


def sort_workspace(length: int, count: int, bits: int) -> int:
    """64-bit words that `v.sort` needs to find the first `count` of `length` elements of `bits` bits.

    Key and position share a word, a 64-bit key has its own. A line that is not wanted as a whole goes through in
    blocks of a power of two elements, each sorted and merged with the best so far: twice the block is enough.
    """
    block = 1 << max(count - 1, 0).bit_length()
    return min(length, 2 * block) * (2 if bits == 64 else 1)
