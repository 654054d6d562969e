"""Compile a model and simulate a program: what the command and the Python API call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

from npuisa.program import Program
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.scalar_memory import Loaded
from npusim.timing import simulate_timing
from npusim.timing_result import TimingResult
from xdsl.dialects import get_all_dialects
from xdsl.dialects.builtin import ModuleOp, TensorType

from npucc.bounded_outputs import crop_outputs
from npucc.constants import ConstantStore
from npucc.context import NpuContext
from npucc.cycle_report import cycle_result
from npucc.dialects.graph import ConvOp, DepthwiseConvOp, MatmulOp
from npucc.emit import emit_program
from npucc.frontend import ImportedModel, ModelSource, import_model
from npucc.inputs import check_inputs
from npucc.module_metadata import add_metadata, read_metadata
from npucc.options import Options
from npucc.overflows import overflow_results
from npucc.pipeline import Observer, Step, pipeline, run_steps
from npucc.results import Array, CycleResult, OverflowResult
from npucc.sram_extent import sram_extent
from npucc.stored_types import as_given
from npucc.trace_files import Trace
from npucc.types import element_name
from npucc.universe import NPUCC_UNIVERSE


@dataclass
class Compilation:
    """A model on its way down: the module at the level reached so far, and what belongs beside it."""

    options: Options
    module: ModuleOp
    context: NpuContext
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """Wall-clock seconds by pass, and for `import` and `emit`."""

    @property
    def metadata(self) -> dict[str, str]:
        """Facts that travel with the module: model, precision, work, SRAM use."""
        return read_metadata(self.module)

    def run(self, steps: Iterable[Step], observe: Observer | None = None) -> None:
        """Run passes; figures that only one level knows are noted on the way."""

        def note(step: Step, module: ModuleOp) -> None:
            if step.name == "tile-plan-memory":
                add_metadata(module, {"sram_peak_bytes": str(sram_extent(module))})
            if observe is not None:
                observe(step, module)

        for name, spent in run_steps(self.module, self.context, list(steps), note).items():
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def emit(self) -> Program:
        """The program, once the module has reached the npu level."""
        begin = perf_counter()
        program = emit_program(self.module, self.context.constants)
        program.metadata.update(self.metadata)
        self.seconds["emit"] = perf_counter() - begin
        return program


def start(
    model: ModelSource,
    target: Target,
    options: Options,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, Array] | None = None,
) -> Compilation:
    """Import `model`. `shapes` are shapes of given inputs, which fix symbolic dimensions as `options.dims` does;
    inputs in `values` become constants."""
    start_time = perf_counter()
    imported = import_model(model, dims=options.dims, input_shapes=shapes or {}, fixed_inputs=values or {})
    return begin(imported, target, options, perf_counter() - start_time)


def begin(imported: ImportedModel, target: Target, options: Options, seconds: float) -> Compilation:
    """The compilation of what was imported in `seconds`."""
    context = make_context(target, imported.constants)
    precision = options.precision or model_precision(imported.module)
    add_metadata(imported.module, {"model": imported.name, "precision": precision, "target": target.name})
    return Compilation(options, imported.module, context, {"import": seconds})


def make_context(target: Target | None = None, constants: ConstantStore | None = None) -> NpuContext:
    """A context that knows our dialects and those of xDSL (loaded when the text names them)."""
    context = NpuContext(target=target, constants=constants or ConstantStore())
    for name, factory in (get_all_dialects() | NPUCC_UNIVERSE.all_dialects).items():
        context.register_dialect(name, factory)
    return context


def model_precision(module: ModuleOp) -> str:
    """The floating type of the first contraction, else of any float tensor, else `int`."""
    found = ""
    for op in module.walk():
        names = [element_name(v.type.element_type) for v in op.operands if isinstance(v.type, TensorType)]
        floats = [name for name in names if name in ("f16", "bf16", "f32", "f64")]
        if floats and isinstance(op, MatmulOp | ConvOp | DepthwiseConvOp):
            return floats[0]
        found = found or (floats[0] if floats else "")
    return found or "int"


def compile(
    model: ModelSource,
    target: Target | None = None,
    options: Options | None = None,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, Array] | None = None,
    observe: Observer | None = None,
) -> Program:
    """ONNX model (path, bytes or ModelProto) -> program.

    `shapes`: shapes of inputs that fix symbolic dimensions. `values`: inputs (shapes, axes, options) that become
    constants and are no inputs of the program. `observe(step, module)` sees the IR after each pass.
    Raises NpuError for what the model, the target or the options make impossible.
    """
    options = options or Options()
    compilation = start(model, target or Target.load("edge-4t"), options, shapes, values)
    compilation.run(pipeline(options), observe)
    return compilation.emit()


@dataclass
class Result:
    """Of `simulate`. `outputs` by ONNX name and `overflows` are empty without values; `timing` and `report` are None
    without cycles, `trace` without a timeline."""

    outputs: dict[str, Array]
    timing: TimingResult | None
    report: CycleResult | None
    trace: Trace | None
    seconds: float
    overflows: list[OverflowResult] = field(default_factory=list[OverflowResult])
    loads: list[Loaded] | None = None
    """What the sequencer loaded in the run on values (cycles and hazards follow it); None without values."""

    @property
    def cycles(self) -> int | None:
        """Cycles of the run."""
        return None if self.timing is None else self.timing.cycles


def simulate(
    program: Program,
    inputs: Mapping[str, Array] | None = None,
    *,
    target: Target | None = None,
    cycles: bool = True,
    timeline: bool = False,
) -> Result:
    """Run a program: values when `inputs` are given (by ONNX name), cycles unless `cycles` is False.

    `timeline` keeps every execution for a trace. Raises NpuError for inputs that do not fit and for programs that
    break a rule of the machine.
    """
    begin = perf_counter()
    machine = target or Target.load(program.target)
    outputs: dict[str, Array] = {}
    overflows: list[OverflowResult] = []
    loads: list[Loaded] | None = None
    if inputs is not None:
        inputs = as_given(program.inputs, inputs)
        check_inputs(program.inputs, inputs)
        simulator = FunctionalSimulator(program, machine)
        outputs = crop_outputs(program, simulator.run(dict(inputs)))
        overflows = overflow_results(program, simulator.overflows)
        loads = simulator.loads
    timing = simulate_timing(program, machine, timeline=timeline, loads=loads) if cycles else None
    report = cycle_result(program, timing, machine) if timing is not None else None
    trace = Trace(program, timing) if timing is not None and timeline else None
    return Result(outputs, timing, report, trace, perf_counter() - begin, overflows, loads)


def cycles_of(program: Program, target: Target, loads: list[Loaded] | None = None) -> CycleResult:
    """What the cycle model says about one run of a program; `loads`: what its sequencer loaded in that run."""
    return cycle_result(program, simulate_timing(program, target, loads=loads), target)
