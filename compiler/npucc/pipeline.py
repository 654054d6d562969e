"""The way from the imported model to instructions: one list of passes, read from top to bottom.

Each pass is named as `npucc opt -p` names it, with its options. At the end of a level the module must verify and
hold only the dialects of that level; inside a level a pass may rely on what the docstring of the pass before promises.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException, VerifyException

from npucc.context import NpuContext
from npucc.dialects.graph import ConstantOp
from npucc.options import Options
from npucc.passes.registry import make_pass
from npucc.text_passes import pass_refused

BAD_PASS_POSITION = error_code("NPU-E0020", ExitCode.USAGE, "An added pass names no pass of the pipeline")


class Level(StrEnum):
    """Levels of the IR, top to bottom."""

    GRAPH = "graph"
    TILE = "tile"
    NPU = "npu"


LEGAL_DIALECTS = {
    Level.GRAPH: frozenset({"builtin", "func", "graph"}),
    Level.TILE: frozenset({"builtin", "func", "scf", "arith", "math", "memref", "affine", "tile"}),
    Level.NPU: frozenset({"builtin", "npu"}),
}


@dataclass(frozen=True)
class Step:
    """A pass of the pipeline: `spec` as on the command line; the level of the IR once it has run."""

    level: Level
    spec: str

    @property
    def name(self) -> str:
        """Name of the pass, without options."""
        return self.spec.split("{")[0]


def pipeline(options: Options) -> list[Step]:
    """The passes that `options` ask for, in order."""
    graph, tile, npu = Level.GRAPH, Level.TILE, Level.NPU
    fused, searched = options.opt_level >= 1, options.opt_level >= 2
    precision = f'{{dtype="{options.precision}"}}' if options.precision else ""
    limit = f" time_limit={options.time_limit}" if options.time_limit is not None else ""
    steps = [
        # Graph: whole tensors. First the model as imported is reduced: identities, constants, and the
        # transposes around channels-last operators, which cancel in pairs once they have been sunk.
        Step(graph, "graph-simplify"),
        Step(graph, "graph-fold"),
        Step(graph, "graph-sink-transposes"),
        Step(graph, "graph-simplify"),
        Step(graph, "graph-fold"),
        # Element types: what the user asked for; every contraction must have types that the target multiplies.
        # First, what it never multiplies: f64 and wide integers go to the vector engine.
        Step(graph, "graph-vector-products"),
        Step(graph, f"graph-precision{precision}"),
        Step(graph, "graph-simplify"),
        Step(graph, "graph-fold"),
        # Sorts, scans and compactions of lines that the SRAM does not hold work on parts.
        Step(graph, "graph-split-lines"),
        # Groups (one root with its element-wise epilogue), every concatenation writable in place, a schedule on each.
        Step(graph, f"graph-fuse{{epilogues={str(fused).lower()}}}"),
        Step(graph, "graph-insert-copies"),
        Step(graph, f"graph-schedule{{effort={options.opt_level} residency={str(searched).lower()}{limit}}}"),
        # Tile: loops, buffers in memory spaces, copies and tile computations.
        Step(tile, "convert-graph-to-tile"),
        Step(tile, "tile-plan-memory"),
        Step(tile, "tile-insert-semaphores"),
        # Npu: one operation per instruction.
        Step(npu, "convert-tile-to-npu"),
    ]
    return _with_added(steps, options)


def _with_added(steps: list[Step], options: Options) -> list[Step]:
    """Insert `options.added_passes` (after: spec), each behind the last occurrence of the pass it names."""
    for after, spec in options.added_passes:
        make_pass(spec)  # refused now rather than when its turn comes
        places = [i for i, step in enumerate(steps) if step.name == after]
        if not places:
            raise NpuError(
                BAD_PASS_POSITION, "no such pass in the pipeline", found=after,
                remedy="one of: " + ", ".join(dict.fromkeys(step.name for step in steps)),
            )  # fmt: skip
        steps.insert(places[-1] + 1, Step(steps[places[-1]].level, spec))
    return steps


Observer = Callable[[Step, ModuleOp], None]


def run_steps(
    module: ModuleOp, context: NpuContext, steps: list[Step], observe: Observer | None = None
) -> dict[str, float]:
    """Run passes on `module` in place; returns wall-clock seconds per pass (summed over its runs).

    `observe` sees the module after each pass. Where a level ends (or the list does), the module is verified
    and its dialects are checked: a violation is a bug, raised with the name of the last pass.
    """
    with _no_collection():
        return _run(module, context, steps, observe)


@contextmanager
def _no_collection() -> Generator[None]:
    """Hold the cyclic garbage collector: it walks through the whole IR again and again, which grows with its square."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _run(module: ModuleOp, context: NpuContext, steps: list[Step], observe: Observer | None) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for index, step in enumerate(steps):
        start = perf_counter()
        _apply(make_pass(step.spec), module, context, step)
        if step.level is Level.GRAPH:
            _drop_unnamed(module, context)
        if index + 1 == len(steps) or steps[index + 1].level != step.level:
            check_level(module, step)
        seconds[step.name] = seconds.get(step.name, 0.0) + perf_counter() - start
        if observe is not None:
            observe(step, module)
    return seconds


def _drop_unnamed(module: ModuleOp, context: NpuContext) -> None:
    """Free the constants that a graph pass has replaced: folded weights would otherwise exist twice."""
    context.constants.keep_only({op.symbol_name for op in module.walk() if isinstance(op, ConstantOp)})


def _apply(made: ModulePass, module: ModuleOp, context: NpuContext, step: Step) -> None:
    try:
        made.apply(context, module)
    except NpuError:
        raise
    except PassFailedException as error:
        raise pass_refused(step.name, error) from None
    except Exception as error:
        error.add_note(f"in pass {step.name} ({step.level.value} level)")
        raise


def check_level(module: ModuleOp, step: Step) -> None:
    """The module verifies and holds only operations that are legal at the level of `step`."""
    legal = LEGAL_DIALECTS[step.level]
    strangers = {op.name for op in module.walk() if op.name.split(".")[0] not in legal}
    if strangers:
        raise RuntimeError(f"after {step.name}: not legal at the {step.level.value} level: {sorted(strangers)}")
    try:
        module.verify()
    except VerifyException as error:
        error.add_note(f"after pass {step.name}: the module does not verify")
        raise
