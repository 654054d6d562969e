"""IR text as input of the verbs: the pipeline goes on where the text stands, and heeds every option or refuses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from npucc.options import Options
from npucc.pipeline import pipeline

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def npucc(npucc: Callable[..., tuple[int, str, str]]) -> Run:
    """Run the command in an empty folder; gives (exit code, stderr)."""

    def run(*arguments: str) -> tuple[int, str]:
        code, _, err = npucc(*arguments)
        return code, err

    return run


def outputs(npucc: Run, *arguments: str) -> list[np.ndarray]:
    code, err = npucc("run", *arguments, "--save-outputs", "y.npz")
    assert code == 0, err
    with np.load("y.npz") as found:
        return [found[name] for name in found.files]


def test_the_dump_of_every_pass_gives_the_same_program(npucc: Run, tmp_path: Path) -> None:
    code, err = npucc("compile", "digits", "--dump-ir", "ir", "-o", "m.npu")
    assert code == 0, err
    assert npucc("compile", "digits", "--emit", "graph", "-o", "m.mlir")[0] == 0
    expected = outputs(npucc, "digits")
    dumps = sorted((tmp_path / "ir").glob("*.mlir"))
    assert len(dumps) == len(pipeline(Options()))
    last_fold = max(place for place, dump in enumerate(dumps) if "fold" in dump.name)
    for dump in dumps[last_fold + 1 :]:  # the constants of earlier ones have been folded away
        dump.with_suffix(".safetensors").write_bytes((tmp_path / "m.safetensors").read_bytes())
        found = outputs(npucc, str(dump))
        assert all(map(np.array_equal, found, expected)), dump.name


@pytest.mark.parametrize(
    ("emit", "options", "named"),
    [
        ("graph", ["-O", "3"], "-O"),
        ("graph", ["--precision", "f16"], "--precision"),
        ("graph", ["--dim", "batch=1"], "--dim"),
        ("graph", ["--add-pass", "graph-fuse:cse"], "--add-pass graph-fuse"),
        ("tile", ["--time-limit", "1"], "--time-limit"),
        ("tile", ["--add-pass", "tile-insert-semaphores:cse"], "--add-pass tile-insert-semaphores"),
        ("npu", ["--add-pass", "convert-tile-to-npu:cse"], "--add-pass convert-tile-to-npu"),
        ("program", ["--precision", "f16"], "f16"),
    ],
)
def test_options_that_come_too_late(npucc: Run, emit: str, options: list[str], named: str) -> None:
    file = "m.npu" if emit == "program" else "m.mlir"
    assert npucc("compile", "digits", "--emit", emit, "-o", file)[0] == 0
    code, err = npucc("run", file, *options)
    assert code == 2 and named in err, err


def test_options_that_are_in_time(npucc: Run) -> None:
    assert npucc("compile", "digits", "--emit", "graph", "-o", "m.mlir")[0] == 0
    code, err = npucc("run", "m.mlir", "--add-pass", "convert-graph-to-tile:cse")
    assert code == 0, err


def test_added_passes_are_looked_up_first(npucc: Run) -> None:
    code, err = npucc("compile", "no-such-file.onnx", "--add-pass", "graph-fuse:no-such-pass")
    assert code != 0
    code, err = npucc("compile", "digits", "--add-pass", "convert-tile-to-npu:no-such-pass")
    assert code == 2 and "no-such-pass" in err
