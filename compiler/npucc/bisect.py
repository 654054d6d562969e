"""Find the pass that makes a result wrong: run every level after every pass and compare with onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from npuisa.errors import ExitCode, NpuError
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.hazards import HAZARDOUS, require_no_hazards
from xdsl.dialects.builtin import ModuleOp

from npucc.analysis.tile_program import outline
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
from npucc.synchronisation.address_check import check_addresses
from npucc.validation import judge

Progress = Callable[[], None]


@dataclass
class GuiltyPass(Exception):
    """Ends the compilation: the step after which something was wrong."""

    step: BisectStep


@dataclass
class _Bisection:
    """Judges the module after each pass."""

    model: ModelSource
    inputs: Mapping[str, Array]
    reference: Mapping[str, Array]
    tolerance: Tolerance
    advance: Progress
    steps: list[BisectStep] = field(default_factory=list[BisectStep])

    def judged(self, level: str, after: str, outputs: Mapping[str, Array]) -> BisectStep:
        """The verdict on outputs."""
        results = [
            judge(self.model, self.inputs, name, array, self.reference[name], self.tolerance)
            for name, array in outputs.items()
        ]
        poorest = worst(results)
        return BisectStep(
            level=level,
            after=after,
            passed=all(result.passed for result in results),
            worst_output=poorest.name,
            sqnr_db=poorest.sqnr_db,
            max_abs_err=poorest.max_abs_err or 0.0,
        )

    def record(self, step: BisectStep) -> None:
        """Note a verdict; GuiltyPass when it is bad."""
        self.steps.append(step)
        self.advance()
        if not step.passed:
            raise GuiltyPass(step)


def failure(level: str, after: str, error: Exception) -> BisectStep:
    """The verdict on a pass that raised, or on a module that cannot be run."""
    text = str(error) if isinstance(error, NpuError) else f"{type(error).__name__}: {error}"
    return BisectStep(
        level=level,
        after=after,
        passed=False,
        worst_output="",
        sqnr_db=None,
        max_abs_err=0.0,
        error=text[:500],
    )


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
    """Compile, judge the module after the import and after each pass, and name the first guilty pass and its level.

    * Graph and tile level: the interpreter's outputs must stay within the tolerance.
    * From memory planning on, buffers in use at the same time must have bytes of their own. A copy of the module is
      also taken to a program by the rest of the unmodified pipeline; a pass after which that program is wrong,
      although it was right before, is guilty (passes that were added are judged so).
    * From the insertion of semaphores on, no hazard may be left in the program. Values do not show a missing
      semaphore, as the simulator computes them in program order.
    * Npu level: the program's outputs must stay within the tolerance.

    NpuError when the model cannot be compiled for another reason.
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
    outputs = interpret_graph(compilation.module, bisection.inputs, constants)
    bisection.record(bisection.judged("graph", "import", outputs))
    programs = _Programs(compilation, bisection, target)
    for step in pipeline(compilation.options):
        try:
            compilation.run([step])
        except NpuError as error:
            # What a pass below the graph finds in its input comes from the pass before; the rest concerns the user.
            if step.level is Level.GRAPH or error.entry.exit_code != ExitCode.BAD_INPUT:
                raise
            bisection.record(failure(step.level.value, step.name, error))
        except Exception as error:  # a pass that crashes or leaves IR that does not verify is what we look for
            bisection.record(failure(step.level.value, step.name, error))
        if step.level is Level.GRAPH:
            outputs = interpret_graph(compilation.module, bisection.inputs, constants)
            bisection.record(bisection.judged("graph", step.name, outputs))
        else:
            bisection.record(programs.verdict(step))


@dataclass
class _Programs:
    """Judges a module below the graph level, by what it computes and by the program that it becomes."""

    compilation: Compilation
    bisection: _Bisection
    target: Target
    reached: set[str] = field(default_factory=set[str])
    """Passes below the graph level that have run."""
    good: bool = False
    """Whether the program was right after the pass before."""

    def verdict(self, step: Step) -> BisectStep:
        """The verdict on the module after `step`."""
        self.reached.add(step.name)
        verdict = self._interpreted(step) if step.level is Level.TILE else None
        if verdict is not None and not verdict.passed:
            return verdict
        if "tile-plan-memory" not in self.reached:
            return verdict or self._program(step)
        program = self._program(step)
        was_good, self.good = self.good, program.passed
        to_blame = was_good or step.level is Level.NPU or self._is_race(step, program)
        return program if verdict is None or (not program.passed and to_blame) else verdict

    def _interpreted(self, step: Step) -> BisectStep:
        """Outputs of the tile interpreter; addresses, which it does not have, are checked."""
        module, constants = self.compilation.module, self.compilation.context.constants
        try:
            if "tile-plan-memory" in self.reached:
                check_addresses(outline(module), self.target)
            outputs = interpret_tile(module, self.bisection.inputs, constants)
        except NpuError as error:
            return failure(step.level.value, step.name, error)
        return self.bisection.judged("tile", step.name, outputs)

    def _program(self, step: Step) -> BisectStep:
        """The verdict on the program that the rest of the unmodified pipeline makes of a copy of the module."""
        unmodified = pipeline(replace(self.compilation.options, added_passes=()))
        rest = [s for s in unmodified if s.level is not Level.GRAPH and s.name not in self.reached]
        copy = Compilation(self.compilation.options, self.compilation.module.clone(), self.compilation.context)
        try:
            copy.run(rest)
            program = copy.emit()
            simulator = FunctionalSimulator(program, self.target)
            outputs = simulator.run(dict(self.bisection.inputs))
            verdict = self.bisection.judged(step.level.value, step.name, outputs)
            if verdict.passed and "tile-insert-semaphores" in self.reached:
                require_no_hazards(program, self.target, simulator.loads)
        except Exception as error:  # whatever the module makes later passes, emission or the simulator do
            return failure(step.level.value, step.name, error)
        return verdict

    @staticmethod
    def _is_race(step: Step, program: BisectStep) -> bool:
        """Whether values are right but engines may overtake each other: later passes only carry the semaphores."""
        return step.name == "tile-insert-semaphores" and program.error.startswith(HAZARDOUS.code)


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
