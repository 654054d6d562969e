"""Passes by name: ours, and those that other packages add through the entry point group `npucc.passes`.

An entry point `my-pass = "package.module:MyPass"` names an xDSL `ModulePass` whose `name` is the entry point's name.
Nothing is imported before a pass is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import import_module, metadata

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.passes import ModulePass
from xdsl.utils.arg_spec import ArgSpec, parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError

UNKNOWN_PASS = error_code("NPU-E0021", ExitCode.USAGE, "No pass of that name")
BAD_PASS_SPEC = error_code("NPU-E0022", ExitCode.USAGE, "The pass pipeline cannot be read")

PassFactory = Callable[[], type[ModulePass]]

OWN_PASSES = {
    "graph-simplify": "npucc.passes.graph.simplify:GraphSimplifyPass",
    "graph-fold": "npucc.passes.graph.fold:GraphFoldPass",
    "graph-sink-transposes": "npucc.passes.graph.sink_transposes:GraphSinkTransposesPass",
    "graph-precision": "npucc.passes.graph.precision:GraphPrecisionPass",
    "graph-vector-products": "npucc.passes.graph.vector_products:GraphVectorProductsPass",
    "graph-split-lines": "npucc.passes.graph.split_lines:GraphSplitLinesPass",
    "graph-fuse": "npucc.passes.graph.fuse:GraphFusePass",
    "graph-insert-copies": "npucc.passes.graph.insert_copies:GraphInsertCopiesPass",
    "graph-schedule": "npucc.passes.graph.schedule:GraphSchedulePass",
    "convert-graph-to-tile": "npucc.passes.lower_graph.convert:ConvertGraphToTilePass",
    "tile-plan-memory": "npucc.passes.tile.plan_memory:TilePlanMemoryPass",
    "tile-insert-semaphores": "npucc.passes.tile.insert_semaphores:TileInsertSemaphoresPass",
    "convert-tile-to-npu": "npucc.passes.npu.lower_tile:ConvertTileToNpuPass",
}


def _load(path: str) -> type[ModulePass]:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def own_passes() -> dict[str, PassFactory]:
    """Name -> factory of our passes."""
    return {name: lambda path=path: _load(path) for name, path in OWN_PASSES.items()}


def known_passes() -> dict[str, PassFactory]:
    """Our passes, those of entry points, and xDSL's own (cse, canonicalize ...) where the name is free."""
    from xdsl.transforms import get_all_passes

    found = dict(get_all_passes())
    found.update(own_passes())
    found.update({entry.name: entry.load for entry in _added_passes()})
    return found


@cache
def _added_passes() -> tuple[metadata.EntryPoint, ...]:
    """Passes of other packages. Looking through all that is installed takes longer than a small pass."""
    return tuple(metadata.entry_points(group="npucc.passes"))


def make_pass(spec: str) -> ModulePass:
    """One pass from its name and options, `"graph-precision{dtype=f16}"`."""
    (made,) = make_pipeline(spec)
    return made


def make_pipeline(spec: str) -> tuple[ModulePass, ...]:
    """Passes from `"pass{option=1},pass"`, as `npucc opt -p` takes it."""
    known = known_passes()
    try:
        specs = list(parse_pipeline(spec))
    except ArgSpecParseError as error:
        raise _bad_spec(spec, error) from None
    return tuple(_make(known, item) for item in specs)


def _make(known: dict[str, PassFactory], spec: ArgSpec) -> ModulePass:
    if spec.name not in known:
        close = get_close_matches(spec.name, known, n=1)
        remedy = f"did you mean {close[0]}?" if close else "docs/reference/passes.md lists them"
        raise NpuError(UNKNOWN_PASS, "no such pass", found=spec.name, remedy=remedy)
    made = known[spec.name]()
    try:
        return made.from_pass_spec(spec)
    except (ArgSpecParseError, ValueError, TypeError) as error:
        raise _bad_spec(str(spec), error) from None


def _bad_spec(spec: str, error: BaseException) -> NpuError:
    remedy = 'write "pass{option=value},pass"; docs/reference/passes.md lists the options'
    return NpuError(BAD_PASS_SPEC, "cannot read the pass pipeline", where=spec, found=str(error), remedy=remedy)
