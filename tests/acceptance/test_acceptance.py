"""The acceptance checks; `python tests/acceptance/acceptance.py` runs them on any model, target and precision."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from npucc.frontend.models import fetch_model, published_models
from npucc.options import Options
from npuisa.errors import NpuError
from npuisa.target import Target

sys.path.insert(0, str(Path(__file__).parent))
from acceptance import QUANTIZED_MODELS, REAL_MODELS, examine, sizes_of

LIGHT = tuple(name for name in published_models() if name.startswith("light-"))
OTHER_TARGETS = ("phone-npu-m1-class", "tpu-v4i-class")


def check(model: str, weights: str, target: str, precision: str, dims: dict[str, int] | None = None) -> None:
    if model in published_models():
        try:
            fetch_model(model)
        except NpuError as error:
            if error.entry.code == "NPU-E0902":
                pytest.skip(f"the registry cannot be reached: {error.found}")
            raise
    assert examine(model, weights, Target.load(target), Options(precision=precision, dims=dims or {})).problems == []


@pytest.mark.parametrize(
    ("target", "precision"),
    [("edge-4t", "f32"), ("phone-npu-m1-class", "f16"), ("tpu-v4i-class", "bf16")],
)
def test_the_built_in_model(target: str, precision: str) -> None:
    check("digits", "given", target, precision)


@pytest.mark.parametrize("model", LIGHT)
def test_light_models_with_seeded_weights(model: str) -> None:
    check(model, "seeded", "edge-4t", "")


@pytest.mark.parametrize("model", ["light-squeezenet", "light-inception-v1"])
def test_light_models_as_they_are(model: str) -> None:
    check(model, "given", "edge-4t", "")


@pytest.mark.parametrize("model", REAL_MODELS)
@pytest.mark.parametrize("precision", ["", "f16"])
def test_published_models(model: str, precision: str) -> None:
    check(model, "given", "edge-4t", precision)


@pytest.mark.parametrize("model", QUANTIZED_MODELS)
def test_quantized_models(model: str) -> None:
    check(model, "given", "edge-4t", "")


@pytest.mark.parametrize("model", ["standard-v3-3-model", "nsnet2-20ms-baseline"])
def test_other_sizes(model: str) -> None:
    """The script's `--sizes` does this for all models."""
    for dims in sizes_of(model):
        check(model, "given", "edge-4t", "", dims)


@pytest.mark.parametrize("target", OTHER_TARGETS)
@pytest.mark.parametrize("model", ["light-resnet50", "light-shufflenet"])
def test_other_targets(model: str, target: str) -> None:
    check(model, "seeded", target, "f16")


@pytest.mark.parametrize("target", OTHER_TARGETS)
@pytest.mark.parametrize("model", ["mobilenetv2-7", "ch-pp-ocrv4-rec-infer"])
def test_published_models_on_other_targets(model: str, target: str) -> None:
    check(model, "given", target, "f16")


def test_an_integer_machine_refuses_floats() -> None:
    """With the type rule and the remedies, before anything is compiled."""
    problems = examine("light-squeezenet", "given", Target.load("ethos-u55-256"), Options()).problems
    assert len(problems) == 1 and "NPU-E0601" in problems[0]
    assert "i8" in problems[0] and "remedy" in problems[0]
