"""d.set and d.get: dims, strides and bases that data decide; values, cycles, hazards and every rule at run time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.assembly import assemble
from npuisa.errors import NpuError
from npuisa.instructions import DmaCopy, VReduce
from npuisa.program import Program
from npuisa.target import Target
from npusim.costs import instruction_cost
from npusim.engine_state import changed_cost
from npusim.functional import FunctionalSimulator
from npusim.hazards import HazardKind, check_hazards
from npusim.scalar_memory import ReplayedLoads
from npusim.sequence import decode, dynamic_stream
from npusim.timing import simulate_timing

TARGET = Target.load("edge-4t")

# The first `length` elements of x, from element `first` on, `step` apart, are summed; y holds the sum and the count.
SUMS = """
    .target edge-4t
    .region x input @ 0 size 1024
    .region n input @ 1024 size 24
    .region y output @ 1088 size 4
    .region c output @ 1152 size 8
    .input x f32 [256] @ x
    .input n i64 [3] @ n
    .output sum f32 [1] @ y
    .output count i64 [1] @ c
    .sem loaded = 0
    .sem summed = 0
    .desc xd dram f32 [256] @ x
    .desc ne dram i64 [] @ n
    .desc yd dram f32 [1] @ y
    .desc cd dram i64 [1] @ c
    .desc xs sram f32 [256] @ 0
    .desc sum sram f32 [1] @ 1024
        s.ld r1, ne assume=256
        s.li r2, 8
        s.ld r3, ne[r2]
        s.li r2, 16
        s.ld r5, ne[r2] assume=1
        d.get r4, xd, base
        s.alu mul, r3, r3 value=4
        s.alu add, r4, r4 rb=r3
        d.set xd, base, r4
        d.set xd, dim, r1
        d.set xs, dim, r1
        d.set xd, stride, r5
        dma0.copy xs, xd             post loaded
        v.reduce sum, xs fn=sum axes=1 wait loaded post summed
        dma2.copy yd, sum            wait summed
        d.get r6, xs, dim
        s.st cd, r6
        s.halt
"""


def run(program: Program, length: int, first: int = 0, step: int = 1) -> tuple[FunctionalSimulator, float, int]:
    x = np.arange(256, dtype=np.float32)
    simulator = FunctionalSimulator(program, TARGET)
    outputs = simulator.run({"x": x, "n": np.array([length, first, step])})
    return simulator, float(outputs["sum"][0]), int(outputs["count"][0])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_window_that_data_choose(data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 256))
    step = data.draw(st.integers(-3, 3)) if length <= 86 else data.draw(st.sampled_from([0, 1]))
    reach = step * max(length - 1, 0)
    first = data.draw(st.integers(max(-reach, 0), 255 - max(reach, 0)))
    program = assemble(SUMS)
    simulator, total, count = run(program, length, first, step)
    x = np.arange(256, dtype=np.float32)
    assert (total, count) == (float(x[first + step * np.arange(length)].sum()), length)
    hazards = check_hazards(program, TARGET, loads=simulator.loads)
    assert hazards == []


def test_cycles_are_those_of_the_dims_at_run_time() -> None:
    program = assemble(SUMS)
    times = {}
    for length in (8, 64, 256):
        simulator, _, _ = run(program, length)
        times[length] = simulate_timing(program, TARGET, loads=simulator.loads)
        static = assemble(SUMS.replace("[256] @ x\n    .desc ne", f"[{length}] @ x\n    .desc ne")
                          .replace("xs sram f32 [256]", f"xs sram f32 [{length}]"))  # fmt: skip
        statics = decode(static)
        for cls in (DmaCopy, VReduce):
            place = next(i for i, item in enumerate(static.instructions) if isinstance(item, cls))
            replayed = dynamic_stream(program, memory=ReplayedLoads(program, simulator.loads))
            changed = [issued.changed for issued in replayed if issued.pc == place]
            wanted = instruction_cost(statics[place].instruction, static, TARGET)
            (found,) = changed
            cost = wanted if found is None else changed_cost(found, program, TARGET)
            assert cost == wanted
            assert times[length].instructions[place].executions == 1
            assert times[length].instructions[place].causes.get("compute", 0) == round(wanted.useful)
    assert times[8].cycles < times[64].cycles < times[256].cycles
    assert times[256].dram_read - times[8].dram_read == 1024 - TARGET.dram.burst_bytes
    for timing in times.values():
        assert all(sum(engine.causes.values()) == timing.cycles for engine in timing.engines.values())


def test_timing_without_data_takes_the_assumed_dims() -> None:
    timing = simulate_timing(assemble(SUMS), TARGET)
    simulator, _, _ = run(assemble(SUMS), 256)
    assert timing.cycles == simulate_timing(assemble(SUMS), TARGET, loads=simulator.loads).cycles
    assert len(timing.notes) == 1


@pytest.mark.parametrize(
    ("window", "code", "text"),
    [
        ((-1, 0, 1), "NPU-E0307", "dim 0 is outside"),
        ((257, 0, 1), "NPU-E0404", "outside"),
        ((4, 253, 1), "NPU-E0404", "xd"),
        ((4, 2, -1), "NPU-E0404", "xd"),
        ((1, -300, 1), "NPU-E0307", "base is outside"),
    ],
)
def test_rules_hold_at_run_time(window: tuple[int, int, int], code: str, text: str) -> None:
    with pytest.raises(NpuError, match=code) as caught:
        run(assemble(SUMS), *window)
    assert text in str(caught.value) and "instruction" in str(caught.value)


def test_operands_are_checked_when_the_instruction_is_issued() -> None:
    """Two dims that must be equal are set one after the other; an instruction between them sees them differ."""
    late = SUMS.replace("        d.set xs, dim, r1\n", "").replace("d.get r6, xs, dim", "d.set xs, dim, r1")
    with pytest.raises(NpuError, match="NPU-E0312") as caught:
        run(assemble(late), 5)
    assert "d.set has changed" in str(caught.value)
    run(assemble(late), 256)


def test_axes_that_a_descriptor_has_not_are_refused_before_running() -> None:
    for line in ("d.set xd, dim, r1 axis=1", "d.get r1, ne, stride"):
        with pytest.raises(NpuError, match="no such axis"):
            assemble(SUMS.replace("d.get r6, xs, dim", "d.get r6, xs, dim\n" + line))


LOOP = """
    .target edge-4t
    .region x input @ 0 size 64
    .region y output @ 64 size 64
    .input x f32 [4,4] @ x
    .output y f32 [4,4] @ y
    .sem loaded = 0
    .desc xd dram f32 [4,4] @ x
    .desc yd dram f32 [4,4] @ y
    .desc xs sram f32 [4,4] @ 0
    .desc ys sram f32 [4,4] @ 256
    .kernel twice(f32) -> v0
      v0.f32 = add v0, v0
    .end
        dma0.copy xs, xd
        dma0.copy ys, xd
        s.fence
        s.li r1, 4
    again:
        d.set xs, dim, r1 axis=1
        d.set ys, dim, r1 axis=1
        v.map ys, twice, xs
        s.alu sub, r1, r1 value=1
        s.br ne, again ra=r1
        s.li r1, 4
        d.set ys, dim, r1 axis=1
        s.fence
        dma2.copy yd, ys
        s.halt
"""


def test_what_waits_in_a_queue_keeps_its_descriptor() -> None:
    """The four maps are issued long before the first one runs; each has the width of its own moment."""
    program, x = assemble(LOOP), np.arange(16, dtype=np.float32).reshape(4, 4)
    simulator = FunctionalSimulator(program, TARGET)
    for _ in range(2):
        np.testing.assert_array_equal(simulator.run({"x": x})["y"], 2 * x)
    assert check_hazards(program, TARGET) == []
    timing = simulate_timing(program, TARGET, timeline=True)
    place = next(i for i, item in enumerate(program.instructions) if item.mnemonic == "v.map")
    assert timing.instructions[place].executions == 4
    assert sum(entry.index == place for entry in timing.timeline) == 4
    assert simulate_timing(program, TARGET).notes == ()


def test_hazards_use_the_bytes_of_the_moment() -> None:
    """Declared, the two destinations overlap; as they are when they are used, they do not - and the reverse."""
    text = """
        .target edge-4t
        .region x input @ 0 size 256
        .input x f32 [64] @ x
        .desc a dram f32 [32] @ x
        .desc b sram f32 [32] @ 0
        .desc c sram f32 [32] @ {base}
            s.li r1, {moved}
            d.set c, base, r1
            dma0.copy b, a
            dma1.copy c, a
            s.halt
    """
    assert check_hazards(assemble(text.format(base=64, moved=128)), TARGET) == []
    (race,) = check_hazards(assemble(text.format(base=128, moved=64)), TARGET)
    assert race.kind is HazardKind.RACE and (race.low, race.high) == (64, 128)
