"""Assembly text: exact round trip of whole programs, speed, and the place and remedy of every error."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from isa_strategies import programs
from npuisa.assembly import assemble, assemble_file
from npuisa.descriptor import Descriptor, Space
from npuisa.disassembly import disassemble, disassemble_to
from npuisa.dtypes import dtype_named
from npuisa.errors import ExitCode, NpuError
from npuisa.instructions import BY_MNEMONIC, TABLE, AccMode, DmaCopy, Engine, MxGemm, Operand, SHalt, SLoop
from npuisa.program import DebugEntry, Increment, LoopSpec, Program, Region, RegionKind
from npuisa.program_file import load, save
from npuisa.spelling import SPELLINGS

EXAMPLE = """\
.target edge-4t
.meta "model" = "fc1"
.region in0 input @ 0 size 302592
.region out0 output @ 302592 size 1210368
.region const0 constant @ 1513472 size 4718592
.input  x f16 [197,768] @ in0
.output y f16 [197,3072] @ out0
.sem w_free = 2  w_full = 0  acc_free = 2  acc_full = 0  g_free = 2  g_full = 0  x_full = 0
.desc x   dram f16 [197,768] @ in0            // the whole input
.desc xs  sram f16 [197,768] @ 0
.desc w   dram f16 [768,64 : 3072,1] @ const0
.desc ws  sram f16 [768,64] @ 302592
.desc a   acc  f32 [197,64] @ 0
.desc gs  sram f16 [197,64] @ 499200
.desc g   dram f16 [197,64 : 3072,1] @ out0
.kernel relu(f32) -> v0
  v1.f32 = const 0.0
  v0.f32 = max v0, v1
.end
        dma0.copy  xs, x                                 post x_full
        mx.sync                    wait x_full
        s.loop     48, end { r1 += 128; r2 += 98304 mod 196608; r3 += 50432 mod 100864; r4 += 25216 mod 50432 }
        dma1.copy  ws[r2], w[r1]   wait w_free           post w_full
        mx.gemm    a[r3], xs, ws[r2] mode=add_if pred=r7   wait w_full, acc_free   post w_free, acc_full
        out.store  gs[r4], relu, a[r3]   wait acc_full, g_free   post acc_free, g_full
        dma2.copy  g[r1], gs[r4]   wait g_full           post g_free
end:    s.fence
        s.halt
"""


def test_the_example_means_what_it_says() -> None:
    program = assemble(EXAMPLE)
    assert program.semaphore_names[:2] == ["w_free", "w_full"] and program.semaphores[:2] == [2, 0]
    assert program.loops == [
        LoopSpec(
            (Increment(1, 128), Increment(2, 98304, 196608), Increment(3, 50432, 100864), Increment(4, 25216, 50432))
        )
    ]
    assert program.instructions[2] == SLoop(count=48, end=7, step=0)
    assert program.instructions[3] == DmaCopy(
        unit=Engine.DMA1, dst=Operand(3, 2), src=Operand(2, 1), waits=(0,), posts=(1,)
    )
    assert program.instructions[4] == MxGemm(
        dst=Operand(4, 3),
        a=Operand(1),
        b=Operand(3, 2),
        mode=AccMode.ADD_IF,
        pred=7,
        waits=(1, 2),
        posts=(0, 3),
    )
    assert program.descriptors[2] == Descriptor("w", Space.DRAM, dtype_named("f16"), 1513472, (768, 64), (3072, 1))
    assert disassemble(assemble(disassemble(program))) == disassemble(program)


@settings(max_examples=40)
@given(programs())
def test_text_and_back_gives_the_same_file(tmp_path_factory: pytest.TempPathFactory, program: Program) -> None:
    folder = tmp_path_factory.mktemp("asm")
    save(program, folder / "a.npu")
    disassemble_to(load(folder / "a.npu"), folder / "a.npuasm")
    save(assemble_file(folder / "a.npuasm"), folder / "b.npu")
    assert (folder / "a.npu").read_bytes() == (folder / "b.npu").read_bytes()


def test_every_instruction_has_a_spelling() -> None:
    assert {spelled.cls for spelled in SPELLINGS.values()} == set(TABLE.values())
    for text in (
        "dma0.copy",
        "dma3.fill",
        "mx.sync",
        "vx.sync",
        "dma2.sync",
        *BY_MNEMONIC.keys() & {"mx.gemm", "v.map"},
    ):
        assert text in SPELLINGS
    assert SPELLINGS["dma1.copy"].unit is Engine.DMA1


def test_names_that_occur_twice_or_are_odd_survive() -> None:
    f16 = dtype_named("f16")
    names = ["x", "x", "x#1", "wait", "", 'a "b"', "12", "naïve", "a/b", "_", "x\n"]
    views = [Descriptor(name, Space.SRAM, f16, 2 * i, (1,), (1,)) for i, name in enumerate(names)]
    copies = [DmaCopy(unit=Engine.DMA0, dst=Operand(i), src=Operand(i)) for i in range(len(names))]
    program = Program("edge-4t", [*copies, SHalt()], views, [], [], [], [], [], [], [])
    again = assemble(disassemble(program))
    assert again.descriptors == views and again.instructions == program.instructions


def large_program(count: int) -> Program:
    f16 = dtype_named("f16")
    views = [Descriptor(f"view_{i}", Space.SRAM, f16, 64 * i, (4, 8), (8, 1)) for i in range(500)]
    semaphores = [f"sem_{i}" for i in range(16)]
    instructions = [
        DmaCopy(
            unit=Engine.DMA1,
            dst=Operand(i % 500, i % 31),
            src=Operand(i % 499, 3),
            waits=(i % 16, (i + 1) % 16),
            posts=((i + 2) % 16,),
        )
        for i in range(count)
    ]
    debug = [DebugEntry(i // 4, f"g{i // 4}", "tile.copy", (f"/layer{i // 4}/MatMul",)) for i in range(count)]
    return Program("edge-4t", [*instructions], views, [], [], [0] * 16, semaphores, [], [], [], debug=debug)


def test_ten_thousand_instructions_take_seconds() -> None:
    program = large_program(10_000)
    start = time.process_time()
    text = disassemble(program)
    again = assemble(text)
    elapsed = time.process_time() - start
    assert again.instructions == program.instructions and again.debug == program.debug
    assert elapsed < 12, f"{elapsed:.1f} s"


HEAD = """\
.region in0 input @ 0 size 64
.sem full = 0
.desc x dram f16 [4,8] @ in0
.desc xs sram f16 [4,8] @ 0
.desc a acc f32 [4,8] @ 0
.kernel relu(f32) -> v0
.end
"""


@pytest.mark.parametrize(
    ("line", "code", "column", "parts"),
    [
        ("  mx.gem a, xs, xs", "NPU-E0202", 3, ["unknown instruction mx.gem", "did you mean mx.gemm?"]),
        ("dma4.copy xs, x", "NPU-E0202", 1, ["unknown instruction", "did you mean dma"]),
        ("dma0.copy xs, xx", "NPU-E0202", 15, ["unknown descriptor xx", "did you mean"]),
        ("v.map xs, rely, xs", "NPU-E0202", 11, ["unknown kernel", "did you mean relu?"]),
        ("mx.sync wait ful", "NPU-E0202", 14, ["unknown semaphore", "did you mean full?"]),
        ("s.br eq, there", "NPU-E0202", 10, ["unknown label"]),
        ("mx.gemm a, xs, xs mod_e=add", "NPU-E0202", 19, ["no field mod_e", "did you mean mode?"]),
        ("mx.gemm a, xs, xs mode=ad", "NPU-E0202", 24, ["did you mean add?"]),
        ("mx.gemm a, xs", "NPU-E0204", 1, ["needs b", "usage: mx.gemm dst, a, b [mode=...] [pred=...]"]),
        ("mx.gemm a, xs, xs, xs", "NPU-E0204", 20, ["takes 3 operands"]),
        ("mx.gemm a, xs, xs b=xs", "NPU-E0204", 19, ["given twice"]),
        ("mx.gemm a, xs, xs wait full, full, full", "NPU-E0204", 36, ["at most 2 waits"]),
        ("mx.gemm a, xs, xs { r1 += 1 }", "NPU-E0204", 1, ["takes no increments"]),
        ("mx.gemm a, xs, _", "NPU-E0203", 16, ["operand b is not optional"]),
        ("mx.gemm a, xs, xs[r32]", "NPU-E0203", 19, ["not a scalar register", "r0..r31"]),
        ("s.li r1, 0x10000000000000000", "NPU-E0203", 10, ["value is out of range", "9223372036854775807"]),
        ("s.li r1, x", "NPU-E0203", 10, ["value is an integer"]),
        ("v.reduce xs, xs fn=max axes=256", "NPU-E0203", 29, ["axes is out of range", "0..255"]),
        ("s.loop -1, e {}", "NPU-E0203", 8, ["count is out of range"]),
        (".desc x sram f16 [4] @ 0", "NPU-E0205", 7, ["declared twice"]),
        (".desc y srm f16 [4] @ 0", "NPU-E0202", 9, ["unknown memory space", "did you mean sram?"]),
        (".desc y sram f15 [4] @ 0", "NPU-E0202", 14, ["unknown element type", "did you mean f16?"]),
        (".desc y dram f16 [4] @ in1", "NPU-E0202", 24, ["unknown region", "did you mean in0?"]),
        (".region r inptu @ 0 size 1", "NPU-E0202", 11, ["did you mean input?"]),
        (".kernel k(f23) -> v0\n.end", "NPU-E0203", 11, ["did you mean f32?"]),
        (".kernel k(f32) -> w0\n.end", "NPU-E0203", 19, ["not a vector register"]),
        (".dsec y", "NPU-E0201", 1, ["did you mean .desc?"]),
        ("mx.gemm a xs", "NPU-E0201", 13, ["the line ends too early", "expected "]),
        ("mx.gemm a,", "NPU-E0201", 11, ["the line ends too early"]),
        (".kernel k() -> v0", "NPU-E0201", 1, ["the text ends too early", ".end"]),
        ("mx.gemm a, xs, $", "NPU-E0201", 16, ["unexpected '$'"]),
        ('.meta "a\\q" = "b"', "NPU-E0203", 7, ["bad escape"]),
        (".loop L { r0 += 1 }\n s.loop 1, e, L\ne:", "NPU-E0309", None, ["r1..r31"]),
        ("mx.gemm xs, xs, xs", "NPU-E0310", None, ["line 8, instruction 0", "cannot reach"]),
    ],
)
def test_errors_say_where_and_what_to_do(line: str, code: str, column: int | None, parts: list[str]) -> None:
    with pytest.raises(NpuError) as caught:
        assemble(HEAD + line + "\n", source="f.npuasm")
    error = caught.value
    assert error.entry.code == code and error.entry.exit_code == ExitCode.BAD_INPUT, str(error)
    for part in parts:
        assert part in str(error), str(error)
    if column is not None:
        number = 9 if "text ends" in error.message else 8
        assert error.where == f"f.npuasm:{number}:{column}", str(error)
        assert "^" in error.found


def test_independent_errors_are_collected() -> None:
    with pytest.raises(NpuError, match="3 errors") as caught:
        assemble(HEAD + "mx.gem a\nmx.gemm a, xs, b\n.sem full = 1\n", source="f.npuasm")
    assert [error.where for error in caught.value.problems] == ["f.npuasm:10:6", "f.npuasm:8:1", "f.npuasm:9:16"]


def test_damaged_text_raises_nothing_but_npu_errors(tmp_path: Path) -> None:
    """Characters, words and lines lost, doubled, swapped or replaced: an NpuError, or a program that saves."""
    generator = random.Random(3)
    text = EXAMPLE.replace("@ const0", "@ 1513472") + '.debug d 0 "g" "op" "node"\n.loc d\n'
    extra = [
        "-1",
        "99999999999999999999",
        "0x",
        "1e999",
        "7" * 5000,
        "nan",
        "_",
        '"',
        "{",
        "}",
        ":",
        "#1",
        "\\",
        "\x00",
        "é",
        "r99",
    ]
    refused = 0
    for _ in range(250):
        parts = re.split(r"(\s+|[,\[\]{};=])", text)
        for _ in range(generator.choice((1, 1, 2, 5))):
            place = generator.randrange(len(parts))
            new = generator.choice((*extra, "", parts[place] * 2, generator.choice(parts)))
            parts[place] = new
        try:
            save(assemble("".join(parts)), tmp_path / "p.npu")
        except NpuError as error:
            assert error.entry.exit_code == ExitCode.BAD_INPUT and str(error)
            refused += 1
    assert refused > 100


def test_lines_that_are_not_statements_are_shown_together() -> None:
    text = HEAD + "mx.gemm a,\nmx.gemm a, xs, xs\n.dsec\nv.map $\n"
    with pytest.raises(NpuError, match="3 errors") as caught:
        assemble(text, source="f.npuasm")
    assert [error.where for error in caught.value.problems] == ["f.npuasm:8:11", "f.npuasm:10:1", "f.npuasm:11:7"]


def constant_program() -> Program:
    regions = [Region("w", RegionKind.CONSTANT, 0, 8), Region("b", RegionKind.CONSTANT, 64, 8)]
    constants = {"w": np.arange(8, dtype=np.uint8)}
    return Program("edge-4t", [SHalt()], [], [], [], [], [], regions, [], [], constants)


def test_a_program_with_constants_needs_their_file(tmp_path: Path) -> None:
    path = tmp_path / "p.npuasm"
    disassemble_to(constant_program(), path)
    assert list(assemble_file(path).constants) == ["w"]
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(NpuError, match="bytes of constant w are missing") as caught:
        assemble_file(path)
    assert caught.value.entry.code == "NPU-E0206"
    with pytest.raises(NpuError, match="other bytes"):
        assemble(path.read_text(), constants={"w": np.zeros(8, np.uint8)})
    path.with_suffix(".safetensors").write_bytes(b"nonsense")
    with pytest.raises(NpuError, match="cannot read the constants"):
        assemble_file(path)


def test_a_missing_text_is_an_npu_error(tmp_path: Path) -> None:
    with pytest.raises(NpuError, match="cannot read the assembly file"):
        assemble_file(tmp_path / "none.npuasm")
