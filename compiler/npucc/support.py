"""Where each node of a model runs: what the importer knows, and what the target can hold and multiply."""

from __future__ import annotations

from collections.abc import Mapping

from npuisa.errors import ExitCode, NpuError
from npuisa.target import Target

from npucc.driver import start
from npucc.frontend import ModelSource, check_model
from npucc.frontend.problems import NEEDS_SEGMENTS
from npucc.options import Options
from npucc.pipeline import Level, pipeline
from npucc.results import CheckResult, NodeSupport


def check_support(
    model: ModelSource,
    name: str,
    target: Target,
    options: Options,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> CheckResult:
    """One entry per node. What the importer accepts goes through the graph passes, which find element types that
    the target does not multiply and layers that do not fit its memories.

    Raises NpuError for damaged models and missing sizes, as `compile` does.
    """
    nodes = check_model(model, target, dims=options.dims, input_shapes=shapes)
    exit_code = ExitCode.UNSUPPORTED
    if all(node.where != "unsupported" for node in nodes):
        exit_code, nodes = _check_target(model, target, options, shapes, nodes)
    supported = all(node.where != "unsupported" for node in nodes)
    return CheckResult(
        model=name,
        target=target.name,
        supported=supported,
        exit_code=int(ExitCode.OK if supported else exit_code),
        nodes=nodes,
    )


def _check_target(
    model: ModelSource,
    target: Target,
    options: Options,
    shapes: Mapping[str, tuple[int, ...]] | None,
    nodes: list[NodeSupport],
) -> tuple[ExitCode, list[NodeSupport]]:
    """The nodes with those marked that the target refuses."""
    try:
        compilation = start(model, target, options, shapes)
    except NpuError as error:
        if error.entry is not NEEDS_SEGMENTS:
            raise
        return ExitCode.OK, nodes  # later programs depend on values; what the target lacks is found when they are made
    try:
        compilation.run([step for step in pipeline(options) if step.level is Level.GRAPH])
    except NpuError as error:
        findings = {problem.where: problem for problem in (error, *error.problems)}
        if not any(node.name in findings for node in nodes):
            raise
        return error.entry.exit_code, [_marked(node, findings, error) for node in nodes]
    return ExitCode.OK, nodes


def _marked(node: NodeSupport, findings: Mapping[str, NpuError], error: NpuError) -> NodeSupport:
    """`node` with what was found about it; the remedy of the whole error holds where a finding has none."""
    finding = findings.get(node.name)
    if finding is None:
        return node
    changes = {
        "where": "unsupported",
        "rule": finding.message,
        "found": finding.found,
        "remedy": finding.remedy or error.remedy,
    }
    return node.model_copy(update=changes)
