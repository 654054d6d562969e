"""The acceptance checks on a few models (acceptance.py runs them on all)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from npucc.options import Options
from npuisa.target import Target

sys.path.insert(0, str(Path(__file__).parent))
from acceptance import examine


@pytest.mark.parametrize(
    ("model", "weights", "target", "precision"),
    [
        ("digits", "given", "edge-4t", "f32"),
        ("digits", "given", "phone-npu-m1-class", "f16"),
        ("digits", "given", "tpu-v4i-class", "bf16"),
        ("light-squeezenet", "given", "edge-4t", ""),
        ("light-squeezenet", "seeded", "edge-4t", "f16"),
        ("light-shufflenet", "seeded", "edge-4t", ""),
    ],
)
def test_model(model: str, weights: str, target: str, precision: str) -> None:
    verdict = examine(model, weights, Target.load(target), Options(precision=precision))
    assert verdict.problems == []
