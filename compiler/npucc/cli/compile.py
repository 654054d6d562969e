"""`npucc compile`: ONNX model (or IR text) -> program file, or the IR of one level."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from npuisa.errors import USAGE, ExitCode, NpuError

from npucc.cli.arguments import (
    DEFAULT_TARGET,
    AddPass,
    Dims,
    Model,
    OptLevel,
    Precision,
    TargetName,
    TimeLimit,
    input_shapes,
    load_target,
    make_options,
    resolve_model,
)
from npucc.cli.console import CONSOLE, LOG, verb, write_text

if TYPE_CHECKING:
    from npuisa.program import Program
    from xdsl.dialects.builtin import ModuleOp

    from npucc.driver import Compilation
    from npucc.pipeline import Step
    from npucc.results import CompileResult

EMITS = ("graph", "tile", "npu", "asm", "program")

Emit = Annotated[str, typer.Option("--emit", help="What to write: " + ", ".join(EMITS) + ".")]
DumpIr = Annotated[Path | None, typer.Option("--dump-ir", metavar="DIR", help="Write the IR after each pass into DIR.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="File to write; default: MODEL.npu, and stdout for text ('-').")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("compile", help="Compile an ONNX model (or the text of a level, .mlir) to a program file.")(
        verb(compile)
    )


def compile(
    model: Model,
    target: TargetName = DEFAULT_TARGET,
    output: Output = None,
    opt_level: OptLevel = 2,
    precision: Precision = "",
    dim: Dims = [],  # noqa: B006  (typer copies defaults)
    emit: Emit = "program",
    dump_ir: DumpIr = None,
    time_limit: TimeLimit = None,
    add_pass: AddPass = [],  # noqa: B006
) -> None:
    """Compile, write what `--emit` asks for, and report."""
    from npucc.ir_files import start_from
    from npucc.pipeline import Level

    if emit not in EMITS:
        raise NpuError(USAGE, "no such thing to emit", found=emit, remedy="one of " + ", ".join(EMITS))
    begin = perf_counter()
    file = resolve_model(model)
    options = make_options(opt_level, precision, dim, time_limit, add_pass)
    compilation, steps = start_from(file.path, load_target(target), options, input_shapes(file, None, options))
    last = Level(emit) if emit in ("graph", "tile", "npu") else Level.NPU
    levels = list(Level)
    chosen = [step for step in steps if levels.index(step.level) <= levels.index(last)]
    _run(compilation, chosen, dump_ir)
    if emit in ("graph", "tile", "npu"):
        _write_ir(compilation, output)
        return
    program = compilation.emit()
    if emit == "asm":
        _write_assembly(program, output)
        return
    destination = output or Path(file.path.with_suffix(".npu").name)
    _finish(compilation, program, destination, perf_counter() - begin)


def _run(compilation: Compilation, steps: list[Step], dump_ir: Path | None) -> None:
    from npucc.ir_files import IrDump

    dump = IrDump(dump_ir, compilation.context.constants) if dump_ir is not None else None
    with CONSOLE.progress_bar("compiling", len(steps)) as advance:

        def observe(step: Step, module: ModuleOp) -> None:
            LOG.info("%s done", step.name)
            advance()
            if dump is not None:
                dump.write(step, module)

        compilation.run(steps, observe)


def _write_ir(compilation: Compilation, output: Path | None) -> None:
    from npucc.ir_files import save_constants

    _write_text(str(compilation.module) + "\n", output)
    if output is not None and str(output) != "-":
        save_constants(compilation.context.constants, output)


def _write_assembly(program: Program, output: Path | None) -> None:
    from npuisa.disassembly import disassemble, disassemble_to

    if output is None or str(output) == "-":
        CONSOLE.text(disassemble(program).rstrip("\n"))
    else:
        disassemble_to(program, output)


def _write_text(text: str, output: Path | None) -> None:
    if output is None or str(output) == "-":
        CONSOLE.text(text.rstrip("\n"))
    else:
        write_text(output, text)


def _finish(compilation: Compilation, program: Program, destination: Path, seconds: float) -> None:
    from npuisa.program_file import save

    save(program, destination)
    result = _result(compilation, program, destination, seconds)
    CONSOLE.result(result)
    CONSOLE.text(f"{destination}: {result.instructions} instructions for {result.target}, {result.precision}")
    sizes = {"constants": result.constant_bytes, "DRAM scratch": result.scratch_bytes, "SRAM": result.sram_peak_bytes}
    CONSOLE.text(", ".join(f"{name} {size:,} B" for name, size in sizes.items()))
    slowest = sorted(result.pass_seconds.items(), key=lambda item: -item[1])[:3]
    passes = ", ".join(f"{name} {spent:.2f} s" for name, spent in slowest)
    CONSOLE.text(f"compiled in {seconds:.2f} s ({passes})")
    if result.time_limit_reached:
        LOG.error("time limit reached: the program holds the best schedules found so far")
        raise typer.Exit(int(ExitCode.TIME_LIMIT))


def _result(compilation: Compilation, program: Program, destination: Path, seconds: float) -> CompileResult:
    from npuisa.program import RegionKind

    from npucc.results import CompileResult

    sizes = dict.fromkeys(RegionKind, 0)
    for region in program.regions:
        sizes[region.kind] += region.size
    facts = program.metadata
    return CompileResult(
        model=facts.get("model", ""),
        target=program.target,
        precision=facts.get("precision", ""),
        program=str(destination),
        instructions=len(program.instructions),
        constant_bytes=sizes[RegionKind.CONSTANT],
        scratch_bytes=sizes[RegionKind.SCRATCH],
        sram_peak_bytes=int(facts.get("sram_peak_bytes", "0")),
        host_nodes=[],
        time_limit_reached="time_limit_reached" in facts,
        compile_seconds=seconds,
        pass_seconds=compilation.seconds,
    )
