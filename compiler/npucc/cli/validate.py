"""`npucc validate`: the NPU against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from npuisa.errors import USAGE, ExitCode, NpuError

from npucc.cli.arguments import (
    DEFAULT_TARGET,
    AddPass,
    Dims,
    Inputs,
    Model,
    OptLevel,
    Precision,
    Seed,
    TargetName,
    TimeLimit,
    input_shapes,
    load_target,
    make_options,
    resolve_model,
)
from npucc.cli.console import CONSOLE, verb
from npucc.cli.run import Check, print_cycles

if TYPE_CHECKING:
    from npucc.results import TensorResult, ValidateResult

PerLayer = Annotated[bool, typer.Option("--per-layer", help="Compare every ONNX tensor (this turns fusion off).")]
Rtol = Annotated[float | None, typer.Option("--rtol", min=0.0, help="Relative tolerance per element.")]
Atol = Annotated[
    float | None, typer.Option("--atol", min=0.0, help="Tolerance per element as a fraction of max |reference|.")
]
Dataset = Annotated[
    Path | None,
    typer.Option("--dataset", help=".npz whose arrays have one more axis in front: samples, compared one by one."),
]
RandomWeights = Annotated[
    int | None,
    typer.Option(
        "--random-weights",
        metavar="SEED",
        help="Give weights that are mere constants seeded random values, on both sides.",
    ),
]


InputsKind = Annotated[
    str,
    typer.Option(
        "--inputs-kind",
        help="Drawn inputs: normal; wide (magnitudes, ranges); edges (NaN, inf, -0); picture (a page of digits); "
        "tokens (of a language model, with mask and positions). "
        "Default: what suits a published model, else normal.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("validate", help="Run a model and compare every output with onnxruntime.")(verb(validate))


def validate(
    model: Model,
    target: TargetName = DEFAULT_TARGET,
    inputs: Inputs = None,
    dataset: Dataset = None,
    per_layer: PerLayer = False,
    rtol: Rtol = None,
    atol: Atol = None,
    random_weights: RandomWeights = None,
    opt_level: OptLevel = 2,
    precision: Precision = "",
    dim: Dims = [],  # noqa: B006
    seed: Seed = 0,
    inputs_kind: InputsKind = "",
    check_hazards: Check = False,
    time_limit: TimeLimit = None,
    add_pass: AddPass = [],  # noqa: B006
) -> None:
    """Compare and print; exit code 5 when a number differs."""
    from npucc.frontend.weights import seeded_weights
    from npucc.inputs import input_kind, load_npz
    from npucc.validation import load_proto, validate_dataset
    from npucc.validation import validate as compare_with_onnxruntime

    file, options = resolve_model(model), make_options(opt_level, precision, dim, time_limit, add_pass)
    given = load_npz(inputs) if inputs is not None else None
    source = file.path if random_weights is None else seeded_weights(load_proto(file.path), random_weights)
    machine = load_target(target)
    if dataset is not None:
        if given is not None or per_layer or check_hazards:
            remedy = "leave out --inputs, --per-layer and --check-hazards"
            raise NpuError(USAGE, "--dataset stands alone", remedy=remedy)
        samples = load_npz(dataset)
        with CONSOLE.progress_bar("comparing", min(map(len, samples.values()))) as advance:
            result = validate_dataset(source, samples, machine, options, rtol=rtol, atol=atol, advance=advance)
    else:
        result = compare_with_onnxruntime(
            source,
            machine,
            options,
            inputs=given,
            shapes=input_shapes(file, given, options),
            seed=seed,
            inputs_kind=input_kind(inputs_kind or file.inputs_kind),
            fixed=file.values,
            rtol=rtol,
            atol=atol,
            per_layer=per_layer,
            check_hazards=check_hazards,
        )
    CONSOLE.result(result)
    _print(result)
    if not result.passed:
        raise typer.Exit(int(ExitCode.NUMBERS_DIFFER))


def _print(result: ValidateResult) -> None:
    shown = result.tensors or result.outputs
    header = ("tensor", "shape", "max abs err", "max rel err", "SQNR dB", "mismatches", "")
    CONSOLE.table(header, [_row(tensor) for tensor in shown])
    print_cycles(result)
    verdict = "PASSED" if result.passed else f"FAILED, first at {result.first_mismatch}"
    what = f"{len(shown)} tensors" + (f", {result.samples} samples" if result.samples > 1 else "")
    CONSOLE.text(f"{verdict}: {what} against onnxruntime, {result.tolerance}")


def _row(tensor: TensorResult) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}"

    sqnr = "exact" if tensor.sqnr_db is None and tensor.max_abs_err == 0 else number(tensor.sqnr_db)
    return (
        tensor.name,
        "x".join(map(str, tensor.shape)) or "scalar",
        number(tensor.max_abs_err),
        number(tensor.max_rel_err),
        sqnr,
        str(tensor.mismatches),
        _verdict(tensor),
    )


def _verdict(tensor: TensorResult) -> str:
    if tensor.reference_mismatches:
        excused = f"({tensor.reference_mismatches} where onnxruntime is the inexact one, by f64)"
        return f"ok {excused}" if tensor.passed else f"DIFFERS {excused}"
    if tensor.quantized:
        return f"ok ({tensor.quantized})"
    return "ok" if tensor.passed else "DIFFERS"
