"""`npucc.execute`: a model with its inputs, whatever it takes: one program or several, host nodes, bodies in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from npuisa.target import Target

from npucc.execution.device import Device, ProgramRuns
from npucc.execution.graph_run import run_graph
from npucc.execution.host import Host
from npucc.execution.inputs import checked_inputs
from npucc.execution.plan import Plan, Planner
from npucc.execution.report import combined, segment_results
from npucc.frontend.deferral import Deferred
from npucc.frontend.graph_code import GraphCode, main_code
from npucc.frontend.load import ModelSource, load_model
from npucc.frontend.shapes import declared_inputs
from npucc.frontend.sparse_tensors import sparse_to_array
from npucc.frontend.strings import holds_strings, stored_strings
from npucc.frontend.tensors import tensor_to_array
from npucc.options import Options
from npucc.results import Array, CycleResult, NodeSupport, OverflowResult, SegmentResult
from npucc.values import Bindings, Concrete, normalized


@dataclass
class ExecutionResult:
    """Of one execution. `outputs` by ONNX name: arrays, lists (sequences), None (empty optionals), arrays of strings.

    `nodes`: where each node ran; nodes in bodies are `outer/inner`. `segments`: programs and host nodes with their
    runs; `runs`: the programs, with what each run loaded. `report` is None where cycles were not asked for.
    """

    outputs: dict[str, Concrete]
    nodes: list[NodeSupport]
    segments: list[SegmentResult]
    runs: list[ProgramRuns]
    report: CycleResult | None
    overflows: list[OverflowResult]
    compile_seconds: float
    simulate_seconds: float

    @property
    def placement(self) -> dict[str, str]:
        """Node -> "npu", "host" or "compile time"."""
        return {node.name: node.where for node in self.nodes}

    @property
    def host_nodes(self) -> list[str]:
        """Nodes that the host ran, in the order of their first run."""
        return [node.name for node in self.nodes if node.where == "host"]

    @property
    def cycles(self) -> int | None:
        """Cycles of all programs together."""
        return None if self.report is None else self.report.cycles


@dataclass
class _Record:
    """What happens during one execution."""

    cycles: bool
    nodes: dict[str, NodeSupport] = field(default_factory=dict[str, NodeSupport])
    programs: dict[int, ProgramRuns] = field(default_factory=dict[int, ProgramRuns])
    host: dict[str, int] = field(default_factory=dict[str, int])
    compile_seconds: float = 0.0


class Execution:
    """A model prepared for execution. Programs are compiled when they are first needed, and kept for further runs."""

    def __init__(self, model: ModelSource, target: Target | None = None, options: Options | None = None) -> None:
        self.loaded = load_model(model)
        self.target, self.options = target or Target.load("edge-4t"), options or Options()
        self.model, self.model_opset = self.loaded.proto, self.loaded.opsets[""]
        self.declared = declared_inputs(self.model.graph)
        self.code = main_code(self.loaded)
        self._planner = Planner(self.loaded, self.target, self.options)
        self._device = Device(self.target)
        self._host = Host()
        self._stored: dict[GraphCode, Bindings] = {}
        self._record = _Record(cycles=False)

    def run(self, inputs: Mapping[str, Concrete], *, cycles: bool = False) -> ExecutionResult:
        """Execute with inputs by ONNX name. Errors: those of the import, the compiler, the simulator and the host."""
        given = {name: normalized(value) for name, value in inputs.items()}
        values = checked_inputs(self.declared, self.options.dims, given)
        record = self._record = _Record(cycles)
        before = self._device.seconds
        outputs = run_graph(self, self.code, Bindings(values=values), whole=True)
        runs = list(record.programs.values())
        segments = segment_results(runs)
        segments += [
            SegmentResult(where="host", nodes=[label], runs=count, cycles=0, instructions=0)
            for label, count in record.host.items()
        ]
        return ExecutionResult(
            outputs=dict(zip(self.code.outputs, outputs)),
            nodes=list(record.nodes.values()),
            segments=segments,
            runs=runs,
            report=combined(runs, self.target) if cycles else None,
            overflows=[overflow for entry in runs for overflow in entry.overflows],
            compile_seconds=record.compile_seconds,
            simulate_seconds=self._device.seconds - before,
        )

    # What executes the pieces (`graph_run.Machinery`)

    def plan(self, code: GraphCode, pending: tuple[int, ...], bindings: Bindings, whole: bool) -> Plan:
        """The round for the nodes `pending`, planned now or before."""
        begin = perf_counter()
        plan = self._planner.plan(code, pending, bindings, whole)
        self._record.compile_seconds += perf_counter() - begin
        return plan

    def device(self, plan: Plan, values: dict[str, Array]) -> dict[str, Array]:
        """Run the program of a plan."""
        if plan.program is None:
            return {}
        runs = self._record.programs.setdefault(id(plan), ProgramRuns(plan.program))
        return self._device.run(runs, values, self._record.cycles)

    def host(self, code: GraphCode, entry: Deferred, values: dict[str, Concrete]) -> list[Concrete]:
        """Run a host node."""
        place = NodeSupport(name=entry.label, op=entry.op, where="host", rule=entry.rule, found=entry.found)
        self._record.nodes[entry.label] = place
        self._record.host[entry.label] = self._record.host.get(entry.label, 0) + 1
        return self._host.run(code, entry.position, values)

    def stored(self, code: GraphCode) -> Bindings:
        """The initializers of a graph, loaded once."""
        if code not in self._stored:
            bindings = self._stored[code] = Bindings()
            for tensor in code.stored.initializer if code.stored is not None else ():
                where = f"initializer `{tensor.name}`"
                if holds_strings(tensor):
                    bindings.values[tensor.name] = stored_strings(tensor, where)
                else:
                    bindings.known[tensor.name] = tensor_to_array(tensor, self.loaded.folder, where)
            for sparse in code.stored.sparse_initializer if code.stored is not None else ():
                name = sparse.values.name
                bindings.known[name] = sparse_to_array(sparse, self.loaded.folder, f"initializer `{name}`")
        return self._stored[code]

    def note(self, supports: Sequence[NodeSupport]) -> None:
        """Nodes that a program holds, or that the import evaluated."""
        for support in supports:
            self._record.nodes.setdefault(support.name, support)


def execute(
    model: ModelSource,
    target: Target | None = None,
    inputs: Mapping[str, Concrete] | None = None,
    *,
    options: Options | None = None,
    cycles: bool = True,
) -> ExecutionResult:
    """Run a model (path, bytes or ModelProto) with `inputs` by ONNX name: arrays; lists for sequences, None for empty
    optionals. Programs are compiled for the shapes, and where need be for the values, that occur."""
    return Execution(model, target, options).run(inputs or {}, cycles=cycles)
