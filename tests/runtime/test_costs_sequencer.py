"""What the sequencer's instructions cost: issue, divisions, and the memories' latencies as the target has them."""

from __future__ import annotations

import pytest
from handmade import Builder, edge
from npuisa.descriptor import Space
from npuisa.instructions import AluFn, BranchFn, SAlu, SBr, SLd, SLi, SSt
from npuisa.program import RegionKind
from npusim.costs import instruction_cost
from npusim.timing import simulate_timing


@pytest.mark.parametrize(("fn", "cycles"), [(AluFn.ADD, 1), (AluFn.MUL, 1), (AluFn.DIV, 33), (AluFn.REM, 33)])
def test_arithmetic(fn: AluFn, cycles: int):
    b = Builder()
    b.emit(SLi(rd=1, value=9))
    for _ in range(5):
        b.emit(SAlu(fn=fn, rd=1, ra=1, value=2))
    assert simulate_timing(b.program(), edge()).cycles == 1 + 5 * cycles


@pytest.mark.parametrize("latency", [1, 4, 20])
def test_elements_of_the_sram(latency: int):
    target = edge(sram={"latency_cycles": latency})
    b = Builder()
    element = b.view(Space.SRAM, (1,), 64, "i32")
    b.emit(SSt(dst=element, ra=1))
    b.emit(SLd(rd=2, src=element))
    timing = simulate_timing(b.program(), target)
    assert timing.cycles == 2 * (1 + latency)
    assert timing.engines["seq"].causes == {"compute": 2, "scalar_access": 2 * latency}
    cost = instruction_cost(b.code[1], b.program(), target)
    assert (cost.sram_read, cost.dram_bytes) == (4, 0)


def test_elements_of_the_dram_move_a_burst_and_writes_wait_for_their_own_latency():
    target = edge(dram={"latency_cycles": 100, "write_latency_cycles": 30, "burst_bytes": 64})
    b = Builder()
    b.region("x", RegionKind.SCRATCH, 0, 64)
    element = b.view(Space.DRAM, (), 8, "i64")
    b.emit(SSt(dst=element, ra=1))
    b.emit(SLd(rd=2, src=element))
    timing = simulate_timing(b.program(), target)
    assert timing.cycles == 1 + 30 + 1 + 100
    assert (timing.dram_read, timing.dram_written) == (64, 64)


def test_a_branch_costs_more_when_it_is_taken():
    b = Builder()
    b.emit(SBr(fn=BranchFn.EQ, ra=0, rb=0, to=1))
    b.emit(SBr(fn=BranchFn.NE, ra=0, rb=0, to=2))
    assert simulate_timing(b.program(), edge()).cycles == 1 + 3 + 1
