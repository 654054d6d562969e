"""Find the pass that makes a result wrong: run every level after every pass and compare with onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from npuisa.errors import NpuError
from npuisa.target import Target
from npusim.functional import run_functional
from xdsl.dialects.builtin import ModuleOp

from npucc.comparison import Tolerance, default_tolerance, worst
from npucc.constants import ConstantStore
from npucc.driver import Compilation, start
from npucc.frontend import ModelSource
from npucc.inputs import seeded_inputs
from npucc.interpreters.graph import main_function, run_graph
from npucc.interpreters.tile import run_tile, signature
from npucc.options import Options
from npucc.pipeline import Level, Step, pipeline
from npucc.ports import graph_inputs
from npucc.reference import run_reference
from npucc.results import Array, BisectResult, BisectStep
from npucc.validation import judge

Progress = Callable[[], None]


@dataclass
class GuiltyPass(Exception):
    """Ends the compilation: the step after which a value was wrong."""

    step: BisectStep


@dataclass
class _Bisection:
    """Runs the module after each pass and compares."""

    model: ModelSource
    inputs: Mapping[str, Array]
    reference: Mapping[str, Array]
    tolerance: Tolerance
    advance: Progress
    steps: list[BisectStep] = field(default_factory=list[BisectStep])

    def crashed(self, step: Step, error: Exception) -> BisectStep:
        """Record a pass that raised."""
        text = f"{type(error).__name__}: {str(error)[:500]}"
        found = BisectStep(
            level=step.level.value,
            after=step.name,
            passed=False,
            worst_output="",
            sqnr_db=None,
            max_abs_err=0.0,
            error=text,
        )
        self.steps.append(found)
        return found

    def check(self, level: str, after: str, outputs: Mapping[str, Array]) -> None:
        """Record one executed level; GuiltyPass when an output is wrong."""
        results = [
            judge(self.model, self.inputs, name, array, self.reference[name], self.tolerance)
            for name, array in outputs.items()
        ]
        poorest = worst(results)
        passed = all(result.passed for result in results)
        step = BisectStep(
            level=level,
            after=after,
            passed=passed,
            worst_output=poorest.name,
            sqnr_db=poorest.sqnr_db,
            max_abs_err=poorest.max_abs_err or 0.0,
        )
        self.steps.append(step)
        self.advance()
        if not passed:
            raise GuiltyPass(step)


def bisect(
    model: ModelSource,
    target: Target,
    options: Options,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    advance: Progress = lambda: None,
) -> BisectResult:
    """Compile; after the import and after each pass run the graph or tile interpreter, and at the end the program on
    the simulator, until an output leaves the tolerance. Names the first guilty pass and its level.

    The tile interpreter has no addresses: a fault of memory planning or of synchronisation shows only when the
    program runs, and is then booked on the npu level.
    """
    if inputs is not None:
        shapes = {name: tuple(array.shape) for name, array in inputs.items()}
    compilation = start(model, target, options, shapes)
    values = dict(inputs) if inputs is not None else seeded_inputs(graph_inputs(compilation.module), seed)
    tolerance = default_tolerance(compilation.metadata["precision"])
    bisection = _Bisection(model, values, run_reference(model, values), tolerance, advance)
    guilty: BisectStep | None = None
    try:
        _run_all(compilation, bisection, target)
    except GuiltyPass as found:
        guilty = found.step
    return BisectResult(
        model=compilation.metadata["model"],
        target=target.name,
        guilty_pass=guilty.after if guilty else None,
        guilty_level=guilty.level if guilty else None,
        steps=bisection.steps,
    )


def _run_all(compilation: Compilation, bisection: _Bisection, target: Target) -> None:
    constants = compilation.context.constants
    bisection.check("graph", "import", interpret_graph(compilation.module, bisection.inputs, constants))

    def observe(step: Step, module: ModuleOp) -> None:
        if step.level is Level.GRAPH:
            bisection.check("graph", step.name, interpret_graph(module, bisection.inputs, constants))
        elif step.level is Level.TILE:
            bisection.check("tile", step.name, interpret_tile(module, bisection.inputs, constants))

    steps = pipeline(compilation.options)
    for step in steps:
        try:
            compilation.run([step], observe)
        except (GuiltyPass, NpuError):
            raise
        except Exception as error:  # a pass that crashes or leaves IR that does not verify is what we look for
            raise GuiltyPass(bisection.crashed(step, error)) from error
    program = compilation.emit()
    bisection.check("npu", steps[-1].name, run_functional(program, dict(bisection.inputs), target=target))


def interpret_graph(module: ModuleOp, inputs: Mapping[str, Array], constants: ConstantStore) -> dict[str, Array]:
    """Outputs of a graph-level module by ONNX name."""
    _, names = signature(main_function(module))
    return _named(names, run_graph(module, inputs, constants))


def interpret_tile(module: ModuleOp, inputs: Mapping[str, Array], constants: ConstantStore) -> dict[str, Array]:
    """Outputs of a tile-level module by ONNX name."""
    arguments, names = signature(main_function(module))
    return _named(names, run_tile(module, [inputs[name] for name in arguments], constants))


def _named(names: Sequence[str], arrays: Sequence[Array]) -> dict[str, Array]:
    return dict(zip(names, arrays))
