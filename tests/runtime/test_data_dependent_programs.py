"""Programs whose branches depend on data, by hand: values, what is recorded, replayed and assumed, and their cycles."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.assembly import assemble
from npuisa.disassembly import disassemble
from npuisa.errors import NpuError
from npuisa.instructions import BranchFn, Instruction, SBr, SFence, SLd, VMap, VReduce
from npuisa.program import Program
from npuisa.program_file import load, save
from npuisa.target import Target
from npuisa.validate import validate_program
from npusim import scalar_memory
from npusim.costs import BRANCH_TAKEN_CYCLES, instruction_cost
from npusim.functional import FunctionalSimulator
from npusim.hazards import HazardKind, check_hazards
from npusim.scalar_memory import Loaded
from npusim.timing import simulate_timing

TARGET = Target.load("edge-4t")

COLLATZ = """
    .target edge-4t
    .region x input @ 0 size 64
    .region y output @ 64 size 32
    .input start i64 [8] @ x
    .output steps i32 [8] @ y
    .desc xe dram i64 [] @ x
    .desc ye dram i32 [1] @ y
        s.loop 8, end { r1 += 8; r2 += 4 }
        s.ld r3, xe[r1] assume=27
        s.li r4, 0
        s.li r5, 2
    again:
        s.br lt, store ra=r3 rb=r5
        s.alu and, r6, r3 value=1
        s.br eq, even ra=r6
        s.alu mul, r3, r3 value=3
        s.alu add, r3, r3 value=1
        s.br always, count
    even:
        s.alu shr, r3, r3 value=1
    count:
        s.alu add, r4, r4 value=1
        s.br always, again
    store:
        s.st ye[r2], r4
    end:
        s.halt
"""


def collatz(value: int) -> tuple[int, int, int]:
    """(steps, odd ones among them, even ones)."""
    odd = even = 0
    while value >= 2:
        odd, even = (odd + 1, even) if value % 2 else (odd, even + 1)
        value = 3 * value + 1 if value % 2 else value // 2
    return odd + even, odd, even


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=8, max_size=8))
def test_collatz_steps_and_every_cycle_of_them(start: list[int]) -> None:
    program = assemble(COLLATZ)
    simulator = FunctionalSimulator(program, TARGET)
    outputs = simulator.run({"start": np.array(start)})
    counts = [collatz(value) for value in start]
    assert outputs["steps"].tolist() == [steps for steps, _, _ in counts]
    assert [loaded.value for loaded in simulator.loads] == start
    timing = simulate_timing(program, TARGET, loads=simulator.loads)
    taken = 1 + BRANCH_TAKEN_CYCLES
    odd_step = 1 + 1 + 1 + 2 + taken + 1 + taken  # test, and, test, two of arithmetic, to count, add, to again
    even_step = 1 + 1 + taken + 1 + 1 + taken
    memory = 2 * TARGET.dram.latency_cycles
    each = [1 + 2 + taken + 1 + memory + odd * odd_step + even * even_step for _, odd, even in counts]
    assert timing.cycles == 1 + sum(each) + 1
    assert timing.engines["seq"].causes["scalar_access"] == 8 * memory
    assert sum(timing.engines["seq"].causes.values()) == timing.cycles
    assert (timing.dram_read, timing.dram_written) == (8 * TARGET.dram.burst_bytes,) * 2
    assert timing.notes == ()
    assert check_hazards(program, TARGET, loads=simulator.loads) == []


NEWTON = """
    .target edge-4t
    .region a input @ 0 size 256
    .region y output @ 256 size 256
    .input a f32 [64] @ a
    .output root f32 [64] @ y
    .sem loaded = 0
    .sem done = 0
    .desc ad dram f32 [64] @ a
    .desc yd dram f32 [64] @ y
    .desc as sram f32 [64] @ 0
    .desc xs sram f32 [64] @ 256
    .desc far sram i32 [64] @ 512
    .desc flag sram i32 [1] @ 768
    .kernel first(f32) -> v0
    .end
    .kernel step(f32, f32) -> v0
      v2.f32 = div v1, v0
      v0.f32 = add v0, v2
      v2.f32 = const 0.5
      v0.f32 = mul v0, v2
    .end
    .kernel off(f32, f32) -> v0
      v0.f32 = mul v0, v0
      v0.f32 = sub v0, v1
      v0.f32 = abs v0
      v2.f32 = const 0.0001
      v1.f32 = mul v1, v2
      v3.f32 = lt v1, v0
      v0.pred = cvt_i32 v3
    .end
        dma0.copy as, ad                   post loaded
        v.map xs, first, as                wait loaded
    again:
        v.map xs, step, xs, as
        v.map far, off, xs, as
        v.reduce flag, far fn=max axes=1
        s.fence
        s.ld r1, flag assume=1 times=6
        s.br ne, again ra=r1
        dma2.copy yd, xs
        s.halt
"""


def newton(a: np.ndarray) -> tuple[np.ndarray, int]:
    """The same iteration in NumPy: f32 operations in the same order."""
    x, rounds = a, 0
    while True:
        x, rounds = (x + a / x) * np.float32(0.5), rounds + 1
        if not np.any(a * np.float32(0.0001) < np.abs(x * x - a)):
            return x, rounds


def run_newton(program: Program, scale: float) -> tuple[FunctionalSimulator, np.ndarray, int]:
    a = np.random.default_rng(0).uniform(0.5, scale, 64).astype(np.float32)
    simulator = FunctionalSimulator(program, TARGET)
    root = simulator.run({"a": a})["root"]
    expected, rounds = newton(a)
    np.testing.assert_array_equal(root, expected)
    return simulator, root, rounds


@pytest.mark.parametrize("scale", [1.1, 4.0, 100.0, 1e6])
def test_newton_until_a_flag_of_the_vector_engine_says_stop(scale: float) -> None:
    program = assemble(NEWTON)
    validate_program(program, TARGET)
    simulator, root, rounds = run_newton(program, scale)
    values = [loaded.value for loaded in simulator.loads]
    assert values == [1] * (rounds - 1) + [0]
    a = np.random.default_rng(0).uniform(0.5, scale, 64)
    np.testing.assert_allclose(root, np.sqrt(a), rtol=1e-4)
    assert check_hazards(program, TARGET, loads=simulator.loads) == []


def per_round(program: Program) -> float:
    """Cycles of one more round: issue, the chain through the vector engine, then the sequencer alone.

    The rest of issue and the fence's own cycle pass while the vector engine works.
    """
    vector = [item for item in program.instructions if isinstance(item, VMap | VReduce)][1:]
    costs = [instruction_cost(item, program, TARGET) for item in vector]
    load, branch = 1 + TARGET.sram.latency_cycles, 1 + BRANCH_TAKEN_CYCLES
    return 1 + sum(cost.total for cost in costs) + load + branch


def test_rounds_cost_what_their_parts_cost() -> None:
    program = assemble(NEWTON)
    cycles = {}
    for scale in (1.1, 4.0, 100.0, 1e6):
        simulator, _, rounds = run_newton(program, scale)
        cycles[rounds] = simulate_timing(program, TARGET, loads=simulator.loads).cycles
    assert len(cycles) >= 3
    least = min(cycles)
    for rounds, total in cycles.items():
        assert total - cycles[least] == pytest.approx((rounds - least) * per_round(program), abs=1)


def test_timing_without_data_assumes_what_the_program_says() -> None:
    program = assemble(NEWTON)
    simulator, _, rounds = run_newton(program, 100.0)
    replayed = simulate_timing(program, TARGET, loads=simulator.loads)
    load = next(item for item in program.instructions if isinstance(item, SLd))
    program.instructions[program.instructions.index(load)] = dataclasses.replace(load, times=rounds - 1)
    assumed = simulate_timing(program, TARGET)
    assert assumed.cycles == replayed.cycles
    assert replayed.notes == () and f"{rounds} loads" in assumed.notes[0]
    assert check_hazards(program, TARGET) == []


def test_assumed_loads_start_over_after_a_zero() -> None:
    """An inner loop that is entered twice runs its assumed rounds each time."""
    text = NEWTON.replace("        dma2.copy yd, xs\n", "        s.alu add, r2, r2 value=1\n        s.li r3, 2\n"
                          "        s.br lt, again ra=r2 rb=r3\n        dma2.copy yd, xs\n")  # fmt: skip
    once, twice = simulate_timing(assemble(NEWTON), TARGET), simulate_timing(assemble(text), TARGET)
    rounds = {index: times.executions for index, times in enumerate(twice.instructions)}
    load = next(i for i, item in enumerate(assemble(text).instructions) if isinstance(item, SLd))
    assert rounds[load] == 14 and once.instructions[load].executions == 7


ENDLESS = """
    .target edge-4t
    .region x input @ 0 size 8
    .input go i64 [1] @ x
    .desc xe dram i64 [] @ x
    again:
        s.ld r1, xe assume=1
        s.br ne, again ra=r1
        s.halt
"""


def test_endless_loops_meet_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    program = assemble(ENDLESS)
    with pytest.raises(NpuError, match="NPU-E0401"):
        FunctionalSimulator(program, TARGET, step_limit=1000).run({"go": np.array([1])})
    FunctionalSimulator(program, TARGET, step_limit=1000).run({"go": np.array([0])})
    monkeypatch.setattr(scalar_memory, "MOST_ASSUMED", 1000)
    with pytest.raises(NpuError, match=r"NPU-E0401.*\n.*instruction 0 \(s\.ld\)"):
        simulate_timing(program, TARGET)


def without(program: Program, cls: type[Instruction]) -> Program:
    """The program with a no-op in the place of each instruction of `cls`: labels stay where they are."""
    nothing = SBr(fn=BranchFn.LT, ra=0, rb=0, to=0)
    code = [nothing if isinstance(item, cls) else item for item in program.instructions]
    return dataclasses.replace(program, instructions=code)


def test_a_load_that_does_not_wait_for_its_engine_is_a_hazard() -> None:
    """In program order the value is right, so the functional simulator runs it; the overlap may read too early."""
    program = assemble(NEWTON)
    broken = without(program, SFence)
    simulator, _, _ = run_newton(broken, 100.0)
    found = check_hazards(broken, TARGET, loads=simulator.loads)
    load = next(i for i, item in enumerate(broken.instructions) if isinstance(item, SLd))
    races = [hazard for hazard in found if hazard.kind is HazardKind.RACE]
    assert {(race.parties[0].engine, race.parties[1].engine) for race in races} >= {("vx", "seq")}
    assert any(race.parties[1].index == load for race in races)


def test_a_store_over_bytes_that_an_engine_still_reads_is_a_hazard() -> None:
    text = """
        .target edge-4t
        .region x input @ 0 size 256
        .region y output @ 256 size 256
        .input x f32 [64] @ x
        .output y f32 [64] @ y
        .desc xd dram f32 [64] @ x
        .desc yd dram f32 [64] @ y
        .desc xs sram f32 [64] @ 0
        .desc one sram f32 [1] @ 128
            dma0.copy xs, xd
            s.fence
            dma0.copy yd, xs
            s.st one, r0
            s.halt
    """
    (race,) = check_hazards(assemble(text), TARGET)
    assert race.kind is HazardKind.RACE
    assert [party.access for party in race.parties] == ["reads", "writes"]
    assert check_hazards(assemble(text.replace("s.st one", "s.fence\n s.st one")), TARGET) == []
    reordered = text.replace("            s.st one, r0\n", "").replace("dma0.copy yd", "s.st one, r0\n dma0.copy yd")
    assert check_hazards(assemble(reordered), TARGET) == []


PRESETS = """
    .target edge-4t
    .region x input @ 0 size 256
    .region y output @ 256 size 256
    .input x f32 [64] @ x
    .output y f32 [64] @ y
    .sem full = 0
    .sem free = 1
    .desc xd dram f32 [64] @ x
    .desc yd dram f32 [64] @ y
    .desc xs sram f32 [64] @ 0
        s.loop 3, end {}
        dma0.copy xs, xd         wait free post full
        dma2.copy yd, xs         wait full
        s.fence
        sem.init free, 1
    end:
        s.halt
"""


def test_a_preset_gives_back_credits() -> None:
    """Nobody posts `free`: without the preset the second round blocks."""
    program, x = assemble(PRESETS), np.arange(64, dtype=np.float32)
    simulator = FunctionalSimulator(program, TARGET)
    np.testing.assert_array_equal(simulator.run({"x": x})["y"], x)
    assert check_hazards(program, TARGET) == []
    simulate_timing(program, TARGET)
    unset = assemble(PRESETS.replace("sem.init free, 1", "s.li r1, 0"))
    with pytest.raises(NpuError, match="NPU-E0405"):
        FunctionalSimulator(unset, TARGET).run({"x": x})
    with pytest.raises(NpuError, match="NPU-E0422"):
        simulate_timing(unset, TARGET)
    assert [hazard.kind for hazard in check_hazards(unset, TARGET)] == [HazardKind.BLOCKED]


def test_a_preset_of_a_semaphore_in_use_is_a_hazard() -> None:
    program = assemble(PRESETS.replace("        s.fence\n", ""))
    kinds = {hazard.kind for hazard in check_hazards(program, TARGET)}
    assert HazardKind.UNSETTLED in kinds
    text = next(str(hazard) for hazard in check_hazards(program, TARGET) if hazard.kind is HazardKind.UNSETTLED)
    assert "free is preset" in text and "no s.fence" in text


def test_a_record_of_another_program_is_refused() -> None:
    program = assemble(NEWTON)
    simulator, _, _ = run_newton(program, 100.0)
    for record in (simulator.loads[:-1], [Loaded(0, 1)]):
        with pytest.raises(NpuError, match="NPU-E0409"):
            simulate_timing(program, TARGET, loads=record)


@pytest.mark.parametrize("text", [COLLATZ, NEWTON, PRESETS], ids=["collatz", "newton", "presets"])
def test_text_and_file_keep_the_program(text: str, tmp_path: Path) -> None:
    program = assemble(text)
    save(program, tmp_path / "p.npu")
    assert load(tmp_path / "p.npu").instructions == program.instructions
    assert assemble(disassemble(program)).instructions == program.instructions
