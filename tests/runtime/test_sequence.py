"""The sequencer: scalar unit, branches, hardware loops, what every issue carries, and its errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from npuisa.descriptor import Descriptor, Space
from npuisa.dtypes import dtype_named
from npuisa.errors import NpuError
from npuisa.instructions import (
    AccMode,
    AluFn,
    BranchFn,
    Engine,
    Instruction,
    MxGemm,
    Operand,
    QSync,
    SAlu,
    SBr,
    SFence,
    SHalt,
    SLi,
    SLoop,
)
from npuisa.program import Increment, LoopSpec, Program
from npusim.sequence import Issued, decode, dynamic_stream

F32 = dtype_named("f32")
SCALAR = Descriptor("scalar", Space.SRAM, F32, 0, (1, 1), (1, 1))


def program_of(instructions: list[Instruction], loops: list[LoopSpec] | None = None) -> Program:
    return Program("edge-4t", instructions, [SCALAR], [], loops or [], [0] * 4, [], [], [], [])


def probe(*registers: int, mode: AccMode = AccMode.SET, pred: int = 0) -> MxGemm:
    """A queued instruction whose record shows up to three registers."""
    dst, a, b = (Operand(0, register) for register in (*registers, 0, 0, 0)[:3])
    return MxGemm(dst=dst, a=a, b=b, mode=mode, pred=pred)


def queued(program: Program) -> list[Issued]:
    code = program.instructions
    return [issued for issued in dynamic_stream(program) if code[issued.pc].engine is not Engine.SEQ]


def register_after(instructions: list[Instruction], register: int = 3) -> int:
    return queued(program_of([*instructions, probe(register)]))[0].offsets[0]


def test_loop_moves_and_restores_registers():
    loops = [LoopSpec((Increment(1, 4), Increment(2, 3, modulus=5)))]
    code = [SLi(rd=1, value=100), SLoop(count=4, end=3, step=0), probe(1, 2), probe(1, 2)]
    offsets = [issued.offsets[:2] for issued in queued(program_of(code, loops))]
    assert offsets == [(100, 0), (104, 3), (108, 1), (112, 4), (100, 2)]


def test_four_nested_loops_with_one_end():
    loops = [LoopSpec((Increment(level + 1, 10**level),)) for level in range(4)]
    body = 4
    code = [SLoop(count=2, end=body + 1, step=3 - level) for level in range(4)]
    code = [SLoop(count=2, end=5, step=level) for level in range(4)] + [probe(1, 2, 3)]
    issued = queued(program_of(code, loops))
    assert len(issued) == 16
    assert [item.offsets for item in issued] == [
        (i, j * 10, k * 100) for i in (0, 1) for j in (0, 1) for k in (0, 1) for _ in (0, 1)
    ]


def test_fifth_loop_level_is_an_error():
    code = [SLoop(count=2, end=6, step=0) for _ in range(5)] + [probe()]
    with pytest.raises(NpuError, match=r"NPU-E0402.*nest too deeply"):
        queued(program_of(code, [LoopSpec()]))


def test_count_zero_skips_the_body_and_empty_bodies_turn():
    loops = [LoopSpec((Increment(1, 1, modulus=1000),))]
    code = [SLoop(count=0, end=2, step=0), probe(), SLoop(count=7, end=3, step=0), probe(1)]
    assert queued(program_of(code, loops)) == [Issued(3, (7, 0, 0), False)]


def test_increments_of_r0_are_ignored():
    code = [SLoop(count=3, end=2, step=0), probe(0)]
    assert {issued.offsets[0] for issued in queued(program_of(code, [LoopSpec((Increment(0, 8),))]))} == {0}


def test_add_if_follows_its_register_and_modes_are_static():
    loops = [LoopSpec((Increment(1, 1),))]
    code = [
        SLoop(count=3, end=3, step=0),
        probe(mode=AccMode.ADD_IF, pred=1),
        probe(mode=AccMode.ADD_IF, pred=0),
        probe(mode=AccMode.ADD),
    ]
    modes = [issued.accumulate for issued in queued(program_of(code, loops))]
    assert modes == [False, False, True, False, True, False, True]


def test_branch_inside_a_loop_continues_and_outside_leaves_it():
    loops = [LoopSpec((Increment(1, 1),))]
    code = [
        SLi(rd=2, value=5),
        SLoop(count=100, end=6, step=0),
        SBr(fn=BranchFn.EQ, ra=1, rb=2, to=7),
        SAlu(fn=AluFn.AND, rd=3, ra=1, value=1),
        SBr(fn=BranchFn.NE, ra=3, to=6),
        probe(1),
        SHalt(),
        probe(1),
    ]
    assert [(issued.pc, issued.offsets[0]) for issued in queued(program_of(code, loops))] == [
        (5, 0),
        (5, 2),
        (5, 4),
        (7, 5),
    ]


def test_counting_loop_with_branches_reports_taken():
    code = [
        SAlu(fn=AluFn.ADD, rd=1, ra=1, value=1),
        SLi(rd=2, value=3),
        SBr(fn=BranchFn.LT, ra=1, rb=2, to=0),
        SFence(),
        QSync(unit=Engine.MX),
    ]
    stream = list(dynamic_stream(program_of(code)))
    assert [issued.accumulate for issued in stream if issued.pc == 2] == [True, True, False]
    assert [issued.pc for issued in stream][-2:] == [3, 4]


def test_endless_branch_meets_the_step_limit():
    with pytest.raises(NpuError, match="NPU-E0401"):
        for _ in dynamic_stream(program_of([SBr(fn=BranchFn.ALWAYS, to=0)]), step_limit=1000):
            pass


def wrap(value: int) -> int:
    return int.from_bytes((value % (1 << 64)).to_bytes(8, "little"), "little", signed=True)


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 31), (1 << 31) - 1))
def test_scalar_arithmetic_wraps_to_64_bits(a: int, b: int):
    expected = {AluFn.ADD: wrap(a + b), AluFn.SUB: wrap(a - b), AluFn.MUL: wrap(a * b), AluFn.XOR: a ^ b}
    expected |= {AluFn.SHL: wrap(a << (b % 64)), AluFn.SHR: a >> (b % 64)}
    expected |= {AluFn.SLT: int(a < b), AluFn.MAX: max(a, b)}
    if b:
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        expected |= {AluFn.DIV: wrap(quotient), AluFn.REM: wrap(a - b * quotient)}
    for fn, value in expected.items():
        assert register_after([SLi(rd=1, value=a), SAlu(fn=fn, rd=3, ra=1, value=b)]) == value, fn


def test_every_alu_and_branch_function_is_implemented():
    for fn in AluFn:
        register_after([SLi(rd=1, value=6), SAlu(fn=fn, rd=3, ra=1, value=3)])
    for fn in BranchFn:
        assert queued(program_of([SBr(fn=fn, ra=1, rb=2, to=1), probe()]))


def test_division_by_zero_traps_with_its_place():
    with pytest.raises(NpuError, match=r"NPU-E0403[\s\S]*instruction 0 \(s.alu\)"):
        register_after([SAlu(fn=AluFn.DIV, rd=1, ra=1, value=0)])


def test_writes_to_r0_are_lost():
    assert register_after([SLi(rd=0, value=9), SAlu(fn=AluFn.ADD, rd=3, ra=0, value=0)]) == 0


def test_decode_names_every_broken_index():
    gemm = MxGemm(dst=Operand(5), a=Operand(0), b=Operand(9))
    code = [gemm, SBr(fn=BranchFn.ALWAYS, to=77), SLoop(count=1, end=2, step=0)]
    with pytest.raises(NpuError) as caught:
        decode(program_of(code))
    text = str(caught.value)
    for part in ("dst.desc", "b.desc", "field to", "77", "instruction 2 (s.loop)", "field end", "field step"):
        assert part in text
