"""Structural rules: each one broken in an otherwise valid program."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from isa_strategies import programs
from npuisa.descriptor import Descriptor, Space
from npuisa.dtypes import dtype_named
from npuisa.errors import ExitCode, NpuError
from npuisa.instructions import (
    BranchFn,
    DmaCopy,
    Engine,
    Instruction,
    MxGemm,
    Operand,
    QSync,
    SBr,
    SHalt,
    SLoop,
    VMap,
)
from npuisa.kernel import Kernel, MicroType
from npuisa.program import DebugEntry, LoopSpec, Port, Program, Region, RegionKind
from npuisa.target import Target
from npuisa.validate import validate_program

F16, F32 = dtype_named("f16"), dtype_named("f32")


def program(*instructions: Instruction) -> Program:
    """Descriptors 0 dram, 1 sram, 2 acc; one kernel, loop, semaphore; `instructions` and a halt."""
    return Program(
        target="edge-4t",
        instructions=[*instructions, SHalt()],
        descriptors=[
            Descriptor("x", Space.DRAM, F16, 0, (8,), (1,)),
            Descriptor("xs", Space.SRAM, F16, 0, (8,), (1,)),
            Descriptor("a", Space.ACC, F32, 0, (4, 4), (4, 1)),
        ],
        kernels=[Kernel("k", (MicroType.F32,), ())],
        loops=[LoopSpec()],
        semaphores=[0],
        semaphore_names=["s"],
        regions=[Region("in", RegionKind.INPUT, 0, 32)],
        inputs=[Port("x", F16, (4, 4), 0)],
        outputs=[],
    )


def branch(to: int) -> SBr:
    return SBr(fn=BranchFn.EQ, to=to)


def loop(end: int) -> SLoop:
    return SLoop(count=2, end=end, step=0)


COPY = DmaCopy(unit=Engine.DMA0, dst=Operand(1), src=Operand(0))


@settings(max_examples=10)
@given(programs())
def test_valid_programs_pass(found: Program) -> None:
    validate_program(found)


@pytest.mark.parametrize(
    "instructions",
    [
        [COPY],
        [loop(2), COPY],
        [loop(1)],
        [loop(5), loop(5), loop(5), loop(5), COPY],
        [branch(2), COPY],
        [branch(3), COPY],
        [loop(3), branch(3), COPY],
        [loop(4), branch(3), COPY, COPY],
    ],
)
def test_legal_control_flow(instructions: list[Instruction]) -> None:
    validate_program(program(*instructions))


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        ([DmaCopy(unit=Engine.DMA0, dst=Operand(3), src=Operand(0))], "operand dst: no descriptor"),
        ([DmaCopy(unit=Engine.DMA0, dst=Operand(2), src=Operand(0))], "cannot reach.*\n.*\n.*acc"),
        ([MxGemm(dst=Operand(1), a=Operand(1), b=Operand(1))], "operand dst.*cannot reach"),
        ([VMap(dst=Operand(1), kernel=1, s0=Operand(1))], "no kernel of this number"),
        ([SLoop(count=1, end=2, step=1), COPY], "no loop of this number"),
        ([QSync(unit=Engine.MX, waits=(1,))], "no semaphore"),
        ([branch(9)], "no target of this number"),
        ([loop(9)], "no target of this number"),
        ([COPY, loop(1)], "not after its beginning"),
        ([loop(0)], "not after its beginning"),
        ([loop(3), loop(4), COPY], "after the loop around it"),
        ([*[loop(6)] * 5, COPY], "nested 5 deep"),
        ([loop(2), branch(0)], "enters or leaves"),
        ([loop(3), branch(4), COPY], "enters or leaves"),
        ([branch(2), loop(3), COPY], "enters or leaves"),
    ],
)
def test_broken_instructions(instructions: list[Instruction], message: str) -> None:
    with pytest.raises(NpuError, match=message) as caught:
        validate_program(program(*instructions))
    assert caught.value.entry.exit_code == ExitCode.BAD_INPUT
    assert "instruction" in caught.value.where


def view(space: Space, base: int, size: int = 8) -> Callable[[Program], None]:
    def change(found: Program) -> None:
        found.descriptors[{Space.DRAM: 0, Space.SRAM: 1, Space.ACC: 2}[space]] = Descriptor(
            "v", space, F16, base, (size,), (1,)
        )

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (view(Space.DRAM, 24), "outside of every DRAM region"),
        (view(Space.DRAM, 1 << 41), "base is outside"),
        (lambda p: p.regions.append(Region("in", RegionKind.SCRATCH, 64, 1)), "same name"),
        (lambda p: p.regions.append(Region("r", RegionKind.SCRATCH, 31, 1)), "overlap"),
        (lambda p: p.regions.append(Region("r", RegionKind.SCRATCH, (1 << 40) - 1, 2)), "leaves 0"),
        (lambda p: p.inputs.append(Port("z", F16, (17,), 0)), "outside of every region"),
        (lambda p: p.inputs.append(Port("x", F16, (1,), 0)), "same name"),
        (lambda p: p.semaphores.append(1), "every semaphore has a name"),
        (lambda p: p.semaphores.__setitem__(0, -1), "initial value"),
        (lambda p: p.debug.append(DebugEntry(0, "", "", ())), "one entry per instruction"),
        (lambda p: p.debug.extend([DebugEntry(1 << 31, "", "", ())] * 2), "32 bits"),
        (lambda p: p.metadata.update(model="\ud800"), "not valid Unicode"),
        (lambda p: p.constants.update(w=np.zeros(4, np.uint8)), "no constant region"),
        (lambda p: p.kernels.append(Kernel("bad", (), ())), "kernel 1.*\n|kernel bad"),
    ],
)
def test_broken_tables(change: Callable[[Program], None], message: str) -> None:
    found = program(COPY)
    change(found)
    with pytest.raises(NpuError, match=message) as caught:
        validate_program(found)
    assert caught.value.entry.exit_code == ExitCode.BAD_INPUT


def test_every_broken_rule_is_reported_at_once() -> None:
    wrong = [DmaCopy(unit=Engine.DMA0, dst=Operand(9 + i), src=Operand(0)) for i in range(30)]
    with pytest.raises(NpuError, match="breaks 30 rules") as caught:
        validate_program(program(*wrong), where="f.npu")
    assert len(caught.value.problems) == 20 and caught.value.where == "f.npu"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (view(Space.SRAM, (1 << 20) - 14), "1048576 bytes of sram"),
        (view(Space.ACC, 131072), "131072 bytes of acc"),
    ],
)
def test_memories_of_the_target(change: Callable[[Program], None], message: str) -> None:
    found = program(COPY)
    change(found)
    validate_program(found)
    with pytest.raises(NpuError, match=message):
        validate_program(found, Target.load("edge-4t"))


def test_dma_channels_of_the_target() -> None:
    found = program(DmaCopy(unit=Engine.DMA2, dst=Operand(1), src=Operand(0)))
    validate_program(found, Target.load("edge-4t"))
    with pytest.raises(NpuError, match="gemmini-16x16 has 2 DMA channels"):
        validate_program(found, Target.load("gemmini-16x16"))


def test_a_moving_descriptor_stays_within_the_regions() -> None:
    moving = DmaCopy(unit=Engine.DMA0, dst=Operand(1), src=Operand(0, 4))
    found = program(moving)
    found.regions.append(Region("b", RegionKind.SCRATCH, 32, 32))
    view(Space.DRAM, 24)(found)
    validate_program(found)
    view(Space.DRAM, 56)(found)
    with pytest.raises(NpuError, match="outside of all DRAM regions"):
        validate_program(found)
