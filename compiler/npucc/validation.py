"""Compare a model on the NPU with onnxruntime: every output, or every tensor of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from math import prod
from pathlib import Path

import numpy as np
import onnx
from npuisa.errors import USAGE, NpuError
from npuisa.program import Program
from npuisa.target import Target
from npusim.hazards import require_no_hazards

from npucc.arbitration import precise_output
from npucc.comparison import Tolerance, compare, default_tolerance, outside, worst
from npucc.execution import Execution, ExecutionResult
from npucc.execution.inputs import from_arrays, input_ports
from npucc.frontend import ModelSource
from npucc.frontend.graph_checks import node_label
from npucc.inputs import InputKind, seeded_inputs
from npucc.options import Options
from npucc.quantized_rule import is_quantized, judge_quantized, rule_text
from npucc.reference import run_reference, run_session, session_for
from npucc.results import Array, OverflowResult, TensorResult, ValidateResult, describe_array
from npucc.run_results import flattened, precision_of, run_result_of
from npucc.values import Concrete


def validate(
    model: ModelSource,
    target: Target | None = None,
    options: Options | None = None,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    inputs_kind: InputKind = "normal",
    fixed: Mapping[str, int] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    per_layer: bool = False,
    check_hazards: bool = False,
) -> ValidateResult:
    """Run on the NPU and in onnxruntime with the same inputs (given, or drawn from `seed`) and compare.

    `fixed`: inputs that keep this value while the others are drawn.
    `rtol` / `atol` replace the default tolerance (`comparison.default_tolerance`). `per_layer` compares every tensor of
    the model: they all become outputs, so that no operator is fused with the next. `check_hazards` also proves that the
    overlap of engines cannot change a value (NPU-E0430 otherwise).
    """
    source = with_all_tensors(model) if per_layer else model
    execution = Execution(source, target, options)
    values = drawn_or_given(execution, inputs, shapes, seed, inputs_kind, fixed)
    result = execution.run(values, cycles=True)
    if check_hazards:
        require_hazard_free(result, execution.target)
    reference = flattened(run_reference(source, values))
    tolerance = tolerance_for(precision_of(result), rtol, atol)
    actual = flattened(result.outputs)
    compared = [_judged(source, values, name, actual, reference, tolerance) for name in {**actual, **reference}]
    rule = str(tolerance)
    if rtol is None and atol is None and is_quantized(proto := load_proto(source)):

        def run(watched: onnx.ModelProto) -> Mapping[str, Array]:
            return flattened(Execution(watched, target, options).run(values).outputs)

        judge_quantized(proto, values, compared, actual, reference, run, tolerance)
        rule = f"{rule}; {rule_text()}"
    outputs, tensors = _split(model, compared) if per_layer else (compared, [])
    failed = [tensor.name for tensor in compared if tensor.passed is False]
    figures = run_result_of(execution, result, outputs)
    return ValidateResult(
        **figures.model_dump(exclude={"outputs"}),
        outputs=outputs,
        passed=not failed,
        tolerance=rule,
        tensors=tensors,
        first_mismatch=failed[0] if failed else None,
    )


def drawn_or_given(
    execution: Execution,
    inputs: Mapping[str, Array] | None,
    shapes: Mapping[str, tuple[int, ...]] | None,
    seed: int,
    kind: InputKind = "normal",
    fixed: Mapping[str, int] | None = None,
) -> dict[str, Concrete]:
    """The given values (`x.0`, `x.1` ... for a sequence x), else random ones of the declared or given shapes."""
    if inputs is not None:
        return from_arrays(execution.declared, inputs)
    ports = input_ports(execution.declared, execution.options.dims, shapes or {})
    return dict(seeded_inputs(ports, seed, kind, fixed))


def require_hazard_free(result: ExecutionResult, target: Target) -> None:
    """NPU-E0430 if the overlap of engines could have changed a value in one of the runs."""
    for run in result.runs:
        for loads in run.loads if any(run.loads) else run.loads[:1]:
            require_no_hazards(run.program, target, loads)


def _judged(
    source: ModelSource,
    values: Mapping[str, Array],
    name: str,
    actual: Mapping[str, Array],
    reference: Mapping[str, Array],
    tolerance: Tolerance,
) -> TensorResult:
    """`judge`; an output (an element of a sequence) that only one side has differs."""
    if name in actual and name in reference:
        return judge(source, values, name, actual[name], reference[name], tolerance)
    result = describe_array(name, actual[name] if name in actual else reference[name])
    result.passed, result.mismatches = False, prod(result.shape)
    return result


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
    execution, session = Execution(model, target, options), session_for(model)
    compared: dict[str, list[TensorResult]] = {}
    overflowed: Counter[str] = Counter()
    first: ExecutionResult | None = None
    for index in range(samples):
        values = {name: np.asarray(array[index]) for name, array in dataset.items()}
        reference = flattened(run_session(session, values))
        result = execution.run(values, cycles=index == 0)
        first = first or result
        tolerance = tolerance_for(precision_of(result), rtol, atol)
        for name, array in flattened(result.outputs).items():
            compared.setdefault(name, []).append(compare(name, array, reference[name], tolerance))
        overflowed.update({entry.node: entry.elements for entry in result.overflows})
        advance()
    if first is None:
        raise NpuError(USAGE, "the data set holds no samples", found="arrays of length 0", remedy="give at least one")
    outputs = [worst(results) for results in compared.values()]
    failed = [output.name for output in outputs if output.passed is False]
    first.overflows = [OverflowResult(node=node, elements=count) for node, count in overflowed.items()]
    run = run_result_of(execution, first, outputs)
    return ValidateResult(
        **run.model_dump(exclude={"outputs"}),
        outputs=outputs,
        passed=not failed,
        tolerance=str(tolerance_for(precision_of(first), rtol, atol)),
        samples=samples,
        first_mismatch=failed[0] if failed else None,
    )


def chosen_tolerance(program: Program, rtol: float | None, atol: float | None) -> Tolerance:
    """`tolerance_for` the precision of a program."""
    return tolerance_for(program.metadata.get("precision", "f32"), rtol, atol)


def tolerance_for(precision: str, rtol: float | None, atol: float | None) -> Tolerance:
    """The default of a precision; an explicit `rtol` or `atol` asks for the element-wise rule."""
    default = default_tolerance(precision)
    if rtol is None and atol is None:
        return default
    element_wise = replace(default, min_sqnr_db=None)
    return replace(
        element_wise,
        rtol=element_wise.rtol if rtol is None else rtol,
        atol=element_wise.atol if atol is None else atol,
    )


def with_all_tensors(model: ModelSource) -> onnx.ModelProto:
    """A copy of the model in which every tensor that a node of the main graph makes is an output, in node order."""
    proto = load_proto(model)
    _add_outputs(proto, [name for node in proto.graph.node for name in node.output])
    return proto


def with_node_outputs(model: ModelSource, nodes: list[str]) -> onnx.ModelProto:
    """A copy of the model that also outputs the results of the named nodes (as `npucc check` names them; a tensor's
    name will do, too)."""
    proto = load_proto(model)
    labels = [node_label(node, index) for index, node in enumerate(proto.graph.node)]
    for wanted in nodes:
        named = [n for n, label in zip(proto.graph.node, labels) if wanted == label or wanted in n.output]
        if not named:
            close = get_close_matches(wanted, labels, n=3)
            remedy = f"did you mean {', '.join(close)}?" if close else "`npucc check` lists the nodes"
            raise NpuError(USAGE, "no node or tensor of that name", found=wanted, remedy=remedy)
        _add_outputs(proto, [name for node in named for name in node.output])
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
