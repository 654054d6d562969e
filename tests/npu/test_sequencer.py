"""Loads, stores, run-time descriptors and presets in npu IR: text, IR interpreter and emitted program agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.constants import ConstantStore
from npucc.dialects.npu import Npu, ProgramOp
from npucc.emit import emit_program
from npucc.interpreters.npu import execute
from npucc.npu_values import run_npu
from npuisa.errors import NpuError
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.hazards import check_hazards
from npusim.timing import simulate_timing
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser

TARGET = Target.load("edge-4t")

# Rows of x, as many as `n` says, are doubled until the first element of the row exceeds 100; y gets them, count the
# rounds, and width the number of columns that d.get reads back.
TEXT = """
builtin.module {
  npu.program @main target("edge-4t") {
    npu.region @x input base(0) size(64)
    npu.region @n input base(64) size(8)
    npu.region @y output base(128) size(64)
    npu.region @c output base(192) size(16)
    npu.port input "x" f32 [4, 4] base(0)
    npu.port input "n" i64 [1] base(64)
    npu.port output "y" f32 [4, 4] base(128)
    npu.port output "c" i64 [2] base(192)
    npu.desc @xd dram f32 [4, 4] strides [4, 1] base(0)
    npu.desc @yd dram f32 [4, 4] strides [4, 1] base(128)
    npu.desc @nd dram i64 [] strides [] base(64)
    npu.desc @cd dram i64 [] strides [] base(192)
    npu.desc @all sram f32 [4, 4] strides [4, 1] base(0)
    npu.desc @row sram f32 [4] strides [1] base(0)
    npu.desc @flag sram bool [] strides [] base(64)
    npu.desc @first sram f32 [] strides [] base(0)
    npu.kernel @twice(f32) {
      v0 = add.f32 v0, v0
    } -> v0
    npu.kernel @small(f32) {
      v1 = const.f32 100.0
      v0 = le.f32 v0, v1
    } -> v0
    npu.sem @go = 1
    npu.dma.copy unit(dma0) dst(@all) src(@xd)
    npu.s.ld rd(r1) src(@nd) assume(4)
    npu.s.li rd(r2) value(0)
    npu.s.fence
    npu.label @rows
    npu.s.br fn(ge) ra(r2) rb(r1) to(@done)
    npu.s.alu fn(mul) rd(r3) ra(r2) rb(r0) value(16)
    npu.d.set desc(@row) part(base) ra(r3)
    npu.d.set desc(@row) part(dim) ra(r1)
    npu.label @again
    npu.v.map dst(@row) kernel(@twice) s0(@row) wait(@go)
    npu.v.map dst(@flag) kernel(@small) s0(@first[r3])
    npu.s.fence
    npu.sem.init sem(@go) value(1)
    npu.s.alu fn(add) rd(r4) ra(r4) rb(r0) value(1)
    npu.s.ld rd(r5) src(@flag) assume(1) times(3)
    npu.s.br fn(ne) ra(r5) to(@again)
    npu.s.alu fn(add) rd(r2) ra(r2) rb(r0) value(1)
    npu.s.br fn(always) to(@rows)
    npu.label @done
    npu.d.get rd(r6) desc(@row) part(dim)
    npu.s.st dst(@cd) ra(r4)
    npu.s.li rd(r7) value(8)
    npu.s.st dst(@cd[r7]) ra(r6)
    npu.dma.copy unit(dma0) dst(@yd) src(@all)
    npu.s.halt
  }
}
"""


def parsed(text: str = TEXT) -> ModuleOp:
    context = Context()
    for dialect in (Builtin, Npu):
        context.load_dialect(dialect)
    module = Parser(context, text).parse_module()
    module.verify()
    return module


def expected(x: np.ndarray, n: int) -> tuple[np.ndarray, int]:
    y, rounds = x.copy(), 0
    for row in range(n):
        while True:
            y[row, :n] *= 2
            rounds += 1
            if y[row, 0] > 100:
                break
    return y, rounds


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 4), seed=st.integers(0, 99))
def test_ir_and_program_agree_with_numpy(n: int, seed: int) -> None:
    module, constants = parsed(), ConstantStore()
    x = np.random.default_rng(seed).uniform(0.5, 9.0, (4, 4)).astype(np.float32)
    inputs = {"x": x, "n": np.array([n])}
    y, rounds = expected(x, n)
    program = emit_program(module, constants)
    simulator = FunctionalSimulator(program, TARGET)
    for found in (run_npu(module, dict(inputs), constants, TARGET), simulator.run(inputs)):
        np.testing.assert_array_equal(found["y"], y)
        assert found["c"].tolist() == [rounds, n]
    assert simulator.loads[0].value == n and len(simulator.loads) == 1 + rounds
    assert check_hazards(program, TARGET, loads=simulator.loads) == []
    assert simulate_timing(program, TARGET, loads=simulator.loads).executed > 10 * n


def test_text_round_trips() -> None:
    module = parsed()
    assert str(parsed(str(module))) == str(module)


def test_a_fault_in_either_shows() -> None:
    """An emitter that forgot a preset: the IR interpreter, which knows no semaphores, still runs it."""
    module, constants = parsed(TEXT.replace("    npu.sem.init sem(@go) value(1)\n", "")), ConstantStore()
    inputs = {"x": np.ones((4, 4), np.float32), "n": np.array([2])}
    run_npu(module, dict(inputs), constants, TARGET)
    with pytest.raises(NpuError, match="NPU-E0405"):
        FunctionalSimulator(emit_program(module, constants), TARGET).run(inputs)


def test_loads_need_a_memory() -> None:
    (program,) = (op for op in parsed().body.block.ops if isinstance(op, ProgramOp))
    with pytest.raises(NpuError, match="needs a memory"):
        list(execute(program))
