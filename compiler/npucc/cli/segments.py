"""Models that are not a single program: what `run` and `profile` do then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npuisa.errors import USAGE, NpuError

from npucc.cli.arguments import ModelFile, input_shapes, load_target

if TYPE_CHECKING:
    from npucc.execution import Execution, ExecutionResult
    from npucc.options import Options
    from npucc.results import Array


@dataclass(frozen=True)
class Request:
    """What the user asks to run. `given`: inputs from a file, else they are drawn from `seed`."""

    file: ModelFile
    target: str
    options: Options
    given: Mapping[str, Array] | None = None
    seed: int = 0
    taps: tuple[str, ...] = ()


def execute_segments(
    reason: NpuError, request: Request, one_program_only: Mapping[str, bool]
) -> tuple[Execution, ExecutionResult]:
    """Execute, with cycles, what could not be compiled to a single program.

    `reason`: the error that said so; any other one is raised again. NPU-E0001 for used flags of `one_program_only`.
    """
    from npucc.execution import Execution
    from npucc.frontend.problems import NEEDS_SEGMENTS
    from npucc.validation import drawn_or_given, with_node_outputs

    if reason.entry is not NEEDS_SEGMENTS:
        raise reason
    file = request.file
    for flag in (flag for flag, used in one_program_only.items() if used):
        found = "a model that runs in segments, since shapes depend on values or nodes run on the host"
        raise NpuError(USAGE, f"{flag} needs a single program", str(file.path), found, f"leave out {flag}")
    source = with_node_outputs(file.path, list(request.taps)) if request.taps else file.path
    execution = Execution(source, load_target(request.target), request.options)
    shapes = input_shapes(file, request.given, request.options)
    values = drawn_or_given(execution, request.given, shapes, request.seed, fixed=file.values)
    return execution, execution.run(values, cycles=True)
