"""Arguments that several verbs share, and how their text becomes values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from npuisa.errors import USAGE, NpuError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npuisa.target import Target

    from npucc.options import Options
    from npucc.results import Array

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="ONNX file, digits, or a name that `npucc models list` shows.")
]
TargetName = Annotated[str, typer.Option("--target", "-t", help="Target name, or a TOML file.")]
OptLevel = Annotated[
    int,
    typer.Option("--opt-level", "-O", min=0, max=3, help="0 plain, 1 fusion, 2 searched schedules, 3 wider search."),
]
Precision = Annotated[str, typer.Option("--precision", help="f32, f16 or bf16; default: as the model says.")]
Dims = Annotated[
    list[str], typer.Option("--dim", metavar="NAME=SIZE", help="Size of a symbolic dimension; repeatable.")
]
TimeLimit = Annotated[
    float | None, typer.Option("--time-limit", min=0.0, metavar="SECONDS", help="Limit of the schedule search.")
]
AddPass = Annotated[
    list[str],
    typer.Option("--add-pass", metavar="AFTER:PASS", help="Run PASS after pass AFTER of the pipeline; repeatable."),
]
Inputs = Annotated[
    Path | None, typer.Option("--inputs", help=".npz with the inputs, by ONNX name; default: seeded random values.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random inputs.")]

DEFAULT_TARGET = "edge-4t"
FILE_SUFFIXES = (".onnx", ".npu", ".mlir")


def load_target(name: str) -> Target:
    """The target that `-t` names."""
    from npuisa.target import Target

    return Target.load(name)


def make_options(
    opt_level: int, precision: str, dims: list[str], time_limit: float | None = None, added: list[str] | None = None
) -> Options:
    """Compiler options from the text of the flags."""
    from npucc.options import Options

    pairs = tuple(_split(text, ":", "--add-pass") for text in added or ())
    return Options(opt_level, precision, parse_dims(dims), time_limit, pairs)


def parse_dims(texts: list[str]) -> dict[str, int]:
    """`["batch=1"]` -> `{"batch": 1}`; also `batch=1,length=8`."""
    dims: dict[str, int] = {}
    for text in [part for item in texts for part in item.split(",") if part]:
        name, size = _split(text, "=", "--dim")
        if not size.isdigit():
            remedy = "write --dim batch=1"
            raise NpuError(USAGE, "--dim needs a whole number that is not negative", found=text, remedy=remedy)
        dims[name] = int(size)
    return dims


def _split(text: str, separator: str, flag: str) -> tuple[str, str]:
    left, found, right = text.partition(separator)
    if not found or not left or not right:
        raise NpuError(USAGE, f"{flag} takes two parts separated by {separator!r}", found=text, remedy="see --help")
    return left, right


@dataclass(frozen=True)
class ModelFile:
    """A model's file; `shapes` are input shapes that suit a published model whose dims are symbolic."""

    path: Path
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    inputs_kind: str = "normal"
    values: dict[str, int] = field(default_factory=dict[str, int])
    """Inputs that keep a value while the others are drawn."""


def resolve_model(name: str) -> ModelFile:
    """What MODEL names: a file, `digits` (ships with npucc), or a published model, which is fetched once."""
    path = Path(name)
    if path.suffix in FILE_SUFFIXES or len(path.parts) > 1 or path.exists():
        return ModelFile(path)
    if name == "digits":
        from importlib import resources

        file = Path(str(resources.files("npucc").joinpath("data", "digits.onnx")))
        return ModelFile(file, {"image": (1, 1, 8, 8)})
    from npucc.frontend.models import fetch_model, published_model

    model = published_model(name)
    shapes = {key: tuple(shape) for key, shape in model.run_inputs.items()}
    return ModelFile(fetch_model(name), shapes, model.inputs_kind, model.run_values)


def input_shapes(
    model: ModelFile, given: Mapping[str, Array] | None, options: Options
) -> dict[str, tuple[int, ...]] | None:
    """Shapes that fix symbolic dims: of the given inputs, else (without `--dim`) those that suit the model."""
    if given is not None:
        return {name: tuple(array.shape) for name, array in given.items()}
    return None if options.dims or not model.shapes else model.shapes
