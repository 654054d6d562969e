"""Compare a model on the NPU with onnxruntime: every output, or every tensor of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
from npuisa.errors import USAGE, NpuError
from npuisa.program import Program
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.hazards import require_no_hazards

from npucc.arbitration import precise_output
from npucc.comparison import Tolerance, compare, default_tolerance, outside, worst
from npucc.driver import Result, compile, simulate
from npucc.frontend import ModelSource
from npucc.inputs import InputKind, check_inputs, seeded_inputs
from npucc.options import Options
from npucc.overflows import overflow_note, overflow_results
from npucc.reference import run_reference, run_session, session_for
from npucc.results import Array, CycleResult, RunResult, TensorResult, ValidateResult, describe_arrays

ONE_CORE = "{name} has {cores} cores; figures are for one of them"


def validate(
    model: ModelSource,
    target: Target | None = None,
    options: Options | None = None,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    inputs_kind: InputKind = "normal",
    rtol: float | None = None,
    atol: float | None = None,
    per_layer: bool = False,
    check_hazards: bool = False,
) -> ValidateResult:
    """Run on the NPU and in onnxruntime with the same inputs (given, or drawn from `seed`) and compare.

    `rtol` / `atol` replace the default tolerance (`comparison.default_tolerance`). `per_layer` compares every tensor of
    the model: they all become outputs, so that no operator is fused with the next. `check_hazards` also proves that the
    overlap of engines cannot change a value (NPU-E0430 otherwise).
    """
    target, options = target or Target.load("edge-4t"), options or Options()
    source = with_all_tensors(model) if per_layer else model
    if inputs is not None:
        shapes = {name: tuple(array.shape) for name, array in inputs.items()}
    begin = perf_counter()
    program = compile(source, target, options, shapes=shapes)
    compile_seconds = perf_counter() - begin
    values = dict(inputs) if inputs is not None else seeded_inputs(program.inputs, seed, inputs_kind)
    result = simulate(program, values, target=target)
    if check_hazards:
        require_no_hazards(program, target, result.loads)
    reference = run_reference(source, values)
    tolerance = chosen_tolerance(program, rtol, atol)
    compared = [
        judge(source, values, name, array, reference[name], tolerance) for name, array in result.outputs.items()
    ]
    outputs, tensors = _split(model, compared) if per_layer else (compared, [])
    failed = [tensor.name for tensor in compared if tensor.passed is False]
    run = run_result(program, result, target, compile_seconds, outputs)
    return ValidateResult(
        **run.model_dump(exclude={"outputs"}),
        outputs=outputs,
        passed=not failed,
        tolerance=str(tolerance),
        tensors=tensors,
        first_mismatch=failed[0] if failed else None,
    )


def judge(
    source: ModelSource, inputs: Mapping[str, Array], name: str, actual: Array, reference: Array, tolerance: Tolerance
) -> TensorResult:
    """Compare with onnxruntime; where they differ, onnxruntime is examined before f64 (see `arbitration`).

    Element-wise rule: an element is excused only if onnxruntime itself breaks the tolerance against f64, and the NPU
    keeps it and is the closer of the two. Signal-to-noise rule: where onnxruntime itself is so noisy that it cannot
    serve as a reference, the tensor is compared with f64 instead. Types, shapes, integers are never excused.
    """
    verdict = compare(name, actual, reference, tolerance)
    comparable = actual.shape == reference.shape and actual.dtype == reference.dtype and reference.dtype.kind == "f"
    if verdict.passed is not False or not comparable:
        return verdict
    precise = precise_output(load_proto(source), name, inputs)
    if precise is None or precise.shape != reference.shape:
        return verdict
    if tolerance.min_sqnr_db is not None:
        return _judge_ratio(verdict, actual, reference, precise, tolerance)
    differs = outside(actual, reference, tolerance)
    x, ref = actual.astype(np.float64), reference.astype(np.float64)
    closer = np.abs(x - precise) <= np.abs(ref - precise)
    excused = differs & outside(reference, precise, tolerance) & ~outside(actual, precise, tolerance) & closer
    verdict.reference_mismatches = int(np.count_nonzero(excused))
    verdict.mismatches = int(np.count_nonzero(differs & ~excused))
    verdict.passed = verdict.mismatches == 0
    return verdict


def _judge_ratio(
    verdict: TensorResult, actual: Array, reference: Array, precise: Array, tolerance: Tolerance
) -> TensorResult:
    """Compare with f64 if onnxruntime's own noise is within 20 dB of what is asked: it would be blamed on the NPU."""
    theirs = compare(verdict.name, reference, precise.astype(reference.dtype), tolerance)
    if theirs.sqnr_db is None or theirs.sqnr_db >= (tolerance.min_sqnr_db or 0.0) + 20.0:
        return verdict
    again = compare(verdict.name, actual, precise.astype(reference.dtype), tolerance)
    again.reference_mismatches = theirs.mismatches
    return again


def validate_dataset(
    model: ModelSource,
    dataset: Mapping[str, Array],
    target: Target,
    options: Options,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> ValidateResult:
    """As `validate` for many inputs: the first axis of each array counts samples. An output's errors are those of its
    worst sample; the cycles are those of one."""
    samples = min(len(array) for array in dataset.values())
    shapes = {name: tuple(array.shape[1:]) for name, array in dataset.items()}
    begin = perf_counter()
    program = compile(model, target, options, shapes=shapes)
    compile_seconds = perf_counter() - begin
    tolerance = chosen_tolerance(program, rtol, atol)
    session, simulator = session_for(model), FunctionalSimulator(program, target)
    compared: dict[str, list[TensorResult]] = {port.name: [] for port in program.outputs}
    overflowed: Counter[int] = Counter()
    for index in range(samples):
        values = {name: array[index] for name, array in dataset.items()}
        check_inputs(program.inputs, values)
        reference = run_session(session, values)
        for name, array in simulator.run(values).items():
            compared[name].append(compare(name, array, reference[name], tolerance))
        overflowed += simulator.overflows
        advance()
    outputs = [worst(results) for results in compared.values()]
    failed = [output.name for output in outputs if output.passed is False]
    result = replace(simulate(program, target=target), overflows=overflow_results(program, overflowed))
    run = run_result(program, result, target, compile_seconds, outputs)
    return ValidateResult(
        **run.model_dump(exclude={"outputs"}),
        outputs=outputs,
        passed=not failed,
        tolerance=str(tolerance),
        samples=samples,
        first_mismatch=failed[0] if failed else None,
    )


def chosen_tolerance(program: Program, rtol: float | None, atol: float | None) -> Tolerance:
    """The default of the program's precision; an explicit `rtol` or `atol` asks for the element-wise rule."""
    default = default_tolerance(program.metadata.get("precision", "f32"))
    if rtol is None and atol is None:
        return default
    element_wise = replace(default, min_sqnr_db=None)
    return replace(
        element_wise,
        rtol=element_wise.rtol if rtol is None else rtol,
        atol=element_wise.atol if atol is None else atol,
    )


def run_result(
    program: Program, result: Result, target: Target, compile_seconds: float, outputs: list[TensorResult] | None = None
) -> RunResult:
    """The typed result of `npucc run` for a simulation with cycles."""
    report = result.report
    if report is None:
        raise ValueError("the simulation was run without cycles")
    shown = outputs if outputs is not None else describe_arrays(result.outputs)
    notes = [ONE_CORE.format(name=target.name, cores=target.cores)] if target.cores > 1 else []
    notes += [*report.notes, *overflow_note(result.overflows)]
    return RunResult(
        **{name: getattr(report, name) for name in CycleResult.model_fields if name != "notes"},
        model=program.metadata.get("model", ""),
        target=target.name,
        precision=program.metadata.get("precision", ""),
        outputs=shown,
        notes=notes,
        overflows=result.overflows,
        compile_seconds=compile_seconds,
        simulate_seconds=result.seconds,
    )


def with_all_tensors(model: ModelSource) -> onnx.ModelProto:
    """A copy of the model in which every tensor that a node of the main graph makes is an output, in node order."""
    proto = load_proto(model)
    _add_outputs(proto, [name for node in proto.graph.node for name in node.output])
    return proto


def with_node_outputs(model: ModelSource, nodes: list[str]) -> onnx.ModelProto:
    """A copy of the model that also outputs the results of the named nodes (a tensor's name will do, too)."""
    proto = load_proto(model)
    for wanted in nodes:
        found = [n for node in proto.graph.node if wanted == node.name or wanted in node.output for n in node.output]
        if not found:
            names = [node.name for node in proto.graph.node]
            close = get_close_matches(wanted, names, n=3)
            remedy = f"did you mean {', '.join(close)}?" if close else "`npucc check` lists the nodes"
            raise NpuError(USAGE, "no node or tensor of that name", found=wanted, remedy=remedy)
        _add_outputs(proto, found)
    return proto


def _add_outputs(proto: onnx.ModelProto, names: list[str]) -> None:
    """Append outputs; their types are inferred by whoever reads the model."""
    already = {value.name for value in proto.graph.output}
    for name in names:
        if name and name not in already:
            proto.graph.output.append(onnx.ValueInfoProto(name=name))
            already.add(name)


def load_proto(model: ModelSource) -> onnx.ModelProto:
    """The model as a new ModelProto, external data included."""
    if isinstance(model, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy
    return onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(str(Path(model)))


def _split(model: ModelSource, compared: list[TensorResult]) -> tuple[list[TensorResult], list[TensorResult]]:
    """(results of the model's own outputs, results of all tensors in node order)."""
    proto = load_proto(model)
    own = {value.name for value in proto.graph.output}
    position = {name: i for i, node in enumerate(proto.graph.node) for name in node.output}
    ordered = sorted(compared, key=lambda tensor: position.get(tensor.name, -1))
    return [tensor for tensor in compared if tensor.name in own], ordered
