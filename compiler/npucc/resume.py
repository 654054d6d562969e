"""Where the pipeline goes on when it is given IR text: `-o m.mlir` of a level, or the dump of any pass."""

from __future__ import annotations

from npuisa.errors import USAGE, NpuError
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from npucc.dialects import graph, tile
from npucc.options import Options
from npucc.passes.graph.functions import only_function
from npucc.passes.graph.fuse import OUTSIDE
from npucc.passes.lower_graph.convert import unready
from npucc.pipeline import Level, Step, pipeline

SEMAPHORES_ATTRIBUTE = "npucc.semaphores"
_FUSE, _COPIES, _SCHEDULE = "graph-fuse", "graph-insert-copies", "graph-schedule"


def remaining_steps(module: ModuleOp, level: Level, options: Options) -> list[Step]:
    """The passes of the pipeline that `module` at `level` still needs.

    USAGE error when `options` ask for something that belongs to a pass which will not run.
    """
    steps = pipeline(options)
    first = _next_pass(module, level)
    start = len(steps) if first is None else [step.name for step in steps].index(first)
    _refuse_unheeded(options, {step.name for step in steps[start:]}, level)
    return steps[start:]


def _next_pass(module: ModuleOp, level: Level) -> str | None:
    """The pass that comes next; None for text that is ready for emission."""
    if level is Level.GRAPH:
        return _next_on_graph(module)
    return _next_on_tile(module) if level is Level.TILE else None


def _next_on_tile(module: ModuleOp) -> str:
    if any(isinstance(op, tile.PoolOp | tile.AllocOp) and op.address is None for op in module.walk()):
        return "tile-plan-memory"
    return "convert-tile-to-npu" if SEMAPHORES_ATTRIBUTE in module.attributes else "tile-insert-semaphores"


def _next_on_graph(module: ModuleOp) -> str:
    """Text without groups has passed none that counts (the reductions before graph-fuse may run twice). Schedules
    that are written on groups stay, whichever passes run.
    """
    function = only_function(module)
    ops = list(graph.ops_within(function.body.block))
    if not any(isinstance(op, graph.GroupOp) for op in ops):
        return pipeline(Options())[0].name
    if any(_is_work(op) for op in ops):
        return _FUSE
    return _COPIES if unready(function) else "convert-graph-to-tile"


def _is_work(op: Operation) -> bool:
    return not isinstance(op, OUTSIDE)


def _refuse_unheeded(options: Options, left: set[str], level: Level) -> None:
    default = Options()
    given = {
        "--dim": bool(options.dims),
        "--precision": bool(options.precision) and "graph-precision" not in left,
        "-O": options.opt_level != default.opt_level and _SCHEDULE not in left,
        "--time-limit": options.time_limit is not None and _SCHEDULE not in left,
    }
    given |= {f"--add-pass {after}": after not in left for after, _ in options.added_passes}
    unheeded = [option for option, ignored in given.items() if ignored]
    if unheeded:
        raise NpuError(
            USAGE, "an option concerns passes that this IR text has behind it",
            where=f"text of the {level.value} level", found=", ".join(unheeded),
            remedy="leave it out, or start from the ONNX model; `npucc opt -p` runs any pass on the text",
        )  # fmt: skip
