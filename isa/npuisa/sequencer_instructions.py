"""The part of the instruction table that the sequencer itself executes: scalars, branches, loops, descriptors."""

from __future__ import annotations

from npuisa.descriptor import Space
from npuisa.instruction_fields import (
    AluFn,
    BranchFn,
    DescField,
    Engine,
    Instruction,
    Operand,
    choice,
    dest,
    imm,
    index,
    instruction,
    reg,
    simm,
    source,
)


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


_ELEMENT = (Space.DRAM, Space.SRAM)


@instruction(opcode=0x08, mnemonic="s.ld", engine=Engine.SEQ)
class SLd(Instruction):
    """rd = the only element of src; the sequencer waits for it.

    Signed integers are sign-extended, unsigned ones and bool zero-extended; of a float rd gets the bits, zero-extended
    (non-negative floats compare as their bits do; to convert a value, run a kernel first). Engines may still be
    writing: an `s.fence` must stand between what writes the element and the load.

    `assume` and `times` matter only where a program is timed without data, and stand for what is loaded there:
    always `assume`, or, with `times` > 0, `times` times `assume`, once 0 and so on (the condition of a loop that runs
    `times` iterations).
    """

    rd: int = reg()
    src: Operand = source(*_ELEMENT)
    assume: int = simm(64, 0, "value that stands for the element where there are no data")
    times: int = imm(16, 0, "0: always `assume`; n: n times, then 0 once")


@instruction(opcode=0x09, mnemonic="s.st", engine=Engine.SEQ)
class SSt(Instruction):
    """The only element of dst = ra; the sequencer waits until it is written.

    Integers and the bits of floats are the low bits of ra; bool is ra != 0. Later instructions see the element;
    engines that still use its bytes must be done (`s.fence`).
    """

    dst: Operand = dest(*_ELEMENT)
    ra: int = reg()


@instruction(opcode=0x0A, mnemonic="sem.init", engine=Engine.SEQ)
class SemInit(Instruction):
    """Semaphore sem = value. Every instruction before that waits for it or posts it must be done (`s.fence`)."""

    sem: int = index("semaphore", 6)
    value: int = imm(16)


@instruction(opcode=0x0B, mnemonic="d.set", engine=Engine.SEQ)
class DSet(Instruction):
    """A dim, a stride (elements) or the base (bytes) of a descriptor = ra, for all instructions issued from now on.

    Instructions take their descriptors along when they are issued: what waits in a queue is not changed. What
    the operands of an instruction must be is checked when it is issued. At the start of a program the table is as
    it was written.
    """

    desc: int = index("descriptor")
    part: DescField = choice(DescField, 2)
    ra: int = reg()
    axis: int = imm(3, 0, "axis of a dim or stride")


@instruction(opcode=0x0C, mnemonic="d.get", engine=Engine.SEQ)
class DGet(Instruction):
    """rd = a dim, a stride (elements) or the base (bytes) of a descriptor as it is now."""

    rd: int = reg()
    desc: int = index("descriptor")
    part: DescField = choice(DescField, 2)
    axis: int = imm(3, 0, "axis of a dim or stride")
