"""The typed result of a run - of a model in segments, or of one program - as the verbs report it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from npuisa.program import Program
from npuisa.target import Target

from npucc.driver import Result
from npucc.execution.session import Execution, ExecutionResult
from npucc.overflows import overflow_note
from npucc.results import Array, CycleResult, RunResult, TensorResult, describe_arrays
from npucc.values import Concrete

ONE_CORE = "{name} has {cores} cores; figures are for one of them"


def run_result(
    program: Program, result: Result, target: Target, compile_seconds: float, outputs: list[TensorResult] | None = None
) -> RunResult:
    """The typed result of simulating one program, with cycles."""
    report = result.report
    if report is None:
        raise ValueError("the simulation was run without cycles")
    return RunResult(
        **{name: getattr(report, name) for name in CycleResult.model_fields if name != "notes"},
        notes=[*_notes(target), *report.notes, *overflow_note(result.overflows)],
        model=program.metadata.get("model", ""),
        target=target.name,
        precision=program.metadata.get("precision", ""),
        outputs=outputs if outputs is not None else describe_arrays(result.outputs),
        overflows=result.overflows,
        compile_seconds=compile_seconds,
        simulate_seconds=result.seconds,
    )


def run_result_of(
    execution: Execution, result: ExecutionResult, outputs: list[TensorResult] | None = None
) -> RunResult:
    """The result of a run with cycles. A single program without host nodes has no `segments`."""
    report = result.report
    if report is None:
        raise ValueError("the execution was run without cycles")
    target = execution.target
    single = len(result.segments) == 1 and not result.host_nodes and result.segments[0].runs == 1
    return RunResult(
        **{name: getattr(report, name) for name in CycleResult.model_fields if name != "notes"},
        notes=[*_notes(target), *report.notes, *overflow_note(result.overflows)],
        model=execution.loaded.name,
        target=target.name,
        precision=precision_of(result),
        outputs=outputs if outputs is not None else describe_arrays(flattened(result.outputs)),
        host_nodes=result.host_nodes,
        segments=[] if single else result.segments,
        overflows=result.overflows,
        compile_seconds=result.compile_seconds,
        simulate_seconds=result.simulate_seconds,
    )


def precision_of(result: ExecutionResult) -> str:
    """The least exact floating type that a program computes in; `int` without any."""
    found = {run.program.metadata.get("precision", "int") for run in result.runs}
    return next((name for name in ("bf16", "f16", "f32", "f64") if name in found), "int")


def flattened(outputs: Mapping[str, Concrete]) -> dict[str, Array]:
    """Tensors by name: element i of the sequence (or map) y is `y.i`; an empty optional is left out."""
    found: dict[str, Array] = {}
    for name, value in outputs.items():
        if isinstance(value, list | tuple):
            found.update(flattened({f"{name}.{index}": entry for index, entry in enumerate(value)}))
        elif isinstance(value, Mapping):
            found.update(flattened({f"{name}.{key}": entry for key, entry in value.items()}))
        elif value is not None:
            found[name] = np.asarray(value)
    return found


def _notes(target: Target) -> list[str]:
    return [ONE_CORE.format(name=target.name, cores=target.cores)] if target.cores > 1 else []
