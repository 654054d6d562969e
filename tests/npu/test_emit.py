"""From npu dialect to a program: numbering, loops, branches, constants, debug map, speed."""

from __future__ import annotations

import re
from time import process_time

import numpy as np
import pytest
from npucc.constants import ConstantStore
from npucc.dialects.npu import LoopOp, Npu, OperandRef, ProgramOp, instruction_ops
from npucc.emit import emit_program
from npuisa.encoding import decode, encode
from npuisa.errors import NpuError
from npuisa.instructions import AccMode, BranchFn, Engine, MxGemm, Operand, SBr, SLoop
from npuisa.program import DebugEntry, Increment
from npuisa.validate import validate_program
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser

TEXT = """
npu.program @main target("edge-4t") metadata {model = "m"} {
  npu.region @x input base(0) size(64)
  npu.region @w constant base(64) size(8)
  npu.region @y output base(128) size(64)
  npu.port input "x" f32 [4, 4] base(0)
  npu.port output "y" f32 [4, 4] base(128)
  npu.origin @g0 "fc1" group(0) nodes("/fc1")
  npu.origin @g1 "fc2" group(1) nodes("/fc2", "/act")
  npu.desc @a sram f16 [2, 2] strides [2, 1] base(0)
  npu.desc @acc acc f32 [2, 2] strides [2, 1] base(0)
  npu.kernel @k(f32) { } -> v0
  npu.sem @full = 0
  npu.sem @free = 2
  npu.loop 3 step(r1 += 8, r2 += 64 mod 128) from(@g0) {
    npu.loop 2 step(r3 += 4) {
      npu.mx.gemm dst(@acc[r2]) a(@a[r1]) b(@a) mode(add_if) pred(r3) wait(@free) post(@full) from(@g0 "gemm")
    }
    npu.loop 5 step(r1 += 8, r2 += 64 mod 128) {
      npu.q.sync unit(out) wait(@full) post(@free) count(2) from(@g1 "tile.sync")
    }
  }
  npu.label @again
  npu.s.fence
  npu.s.br fn(ne) ra(r4) to(@again)
  npu.s.br fn(eq) ra(r4) to(@end)
  npu.label @end
  npu.s.halt
}
"""


def parse(text: str) -> ModuleOp:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Npu)
    module = Parser(context, text).parse_module()
    module.verify()
    return module


def constants() -> ConstantStore:
    store = ConstantStore()
    store.add("w", np.arange(4, dtype=np.float16))
    return store


def test_structure_becomes_numbers() -> None:
    store = constants()
    program = emit_program(parse(TEXT), store)
    validate_program(program)
    code = program.instructions
    assert code[0] == SLoop(count=3, end=5, step=0)
    assert code[1] == SLoop(count=2, end=3, step=1)
    assert code[2] == MxGemm(
        dst=Operand(1, 2), a=Operand(0, 1), b=Operand(0), mode=AccMode.ADD_IF, pred=3, waits=(1,), posts=(0,)
    )
    assert code[3] == SLoop(count=5, end=5, step=0), "equal steps share an entry of the loop table"
    assert code[4].engine is Engine.OUT and code[4].waits == (0,)
    assert code[6] == SBr(fn=BranchFn.NE, ra=4, to=5) and code[7] == SBr(fn=BranchFn.EQ, ra=4, to=8)
    assert [loop.increments for loop in program.loops] == [
        (Increment(1, 8), Increment(2, 64, 128)),
        (Increment(3, 4),),
    ]
    assert (program.semaphores, program.semaphore_names) == ([0, 2], ["full", "free"])
    assert program.metadata == {"model": "m"} and program.target == "edge-4t"
    assert [port.name for port in (*program.inputs, *program.outputs)] == ["x", "y"]
    assert np.shares_memory(program.constants["w"], store["w"])
    assert all(decode(encode(instruction)) == instruction for instruction in code)


def test_debug_map_names_group_operation_and_nodes() -> None:
    debug = emit_program(parse(TEXT), constants()).debug
    assert debug[0] == DebugEntry(0, "fc1", "s.loop", ("/fc1",))
    assert debug[2] == DebugEntry(0, "fc1", "gemm", ("/fc1",))
    assert debug[4] == DebugEntry(1, "fc2", "tile.sync", ("/fc2", "/act"))
    assert debug[-1] == DebugEntry(-1, "", "s.halt", ())


def test_without_origins_there_is_no_debug_map() -> None:
    text = re.sub(r' from\(@g\d( "[^"]*")?\)|  npu.origin.*\n', "", TEXT)
    assert emit_program(parse(text), constants()).debug == []


@pytest.mark.parametrize("bad", [{}, {"w": np.zeros(5, np.float16)}])
def test_constants_must_fit_their_region(bad: dict[str, np.ndarray]) -> None:
    store = ConstantStore()
    for name, array in bad.items():
        store.add(name, array)
    with pytest.raises(NpuError, match="@w") as caught:
        emit_program(parse(TEXT), store)
    assert caught.value.entry.code == "NPU-E0727"


def test_a_module_without_program_is_refused() -> None:
    with pytest.raises(NpuError, match="convert-tile-to-npu"):
        emit_program(ModuleOp([]), ConstantStore())


def test_ten_thousand_operations_take_a_fraction_of_a_second() -> None:
    declared = [op.clone() for op in next(iter(parse(TEXT).ops)).regions[0].block.ops if op.name != "npu.s.br"]
    declared = [op for op in declared if op.name not in ("npu.loop", "npu.label", "npu.s.halt", "npu.s.fence")]
    make = instruction_ops()["mx.gemm"].make
    fields = {"dst": OperandRef("acc", 2), "a": OperandRef("a"), "b": OperandRef("a", 1), "pred": 3}
    code = [make(fields, waits=["free"], posts=["full"], origin="g0", tile_op="gemm") for _ in range(9000)]
    loops = [LoopOp(2, [Increment(1, 8)]) for _ in range(1000)]
    module = ModuleOp([ProgramOp("edge-4t", [*declared, *code, *loops])])
    begin = process_time()
    program = emit_program(module, constants())
    assert process_time() - begin < 0.6  # 0.15 s on an idle core
    assert len(program.instructions) == 10_000
