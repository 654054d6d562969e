"""GridSample against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from npucc.frontend import interpolation

RNG = np.random.default_rng(31)


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [0, 1])
def test_images(mode, padding_mode, align_corners, matches_onnxruntime):
    x = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
    grid = RNG.uniform(-1.4, 1.4, (2, 6, 3, 2)).astype(np.float32)
    options = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    matches_onnxruntime("GridSample", [x, grid], opset=20, **options)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_volumes(mode, matches_onnxruntime):
    x = RNG.standard_normal((1, 2, 3, 4, 5)).astype(np.float32)
    grid = RNG.uniform(-1.2, 1.2, (1, 2, 3, 2, 3)).astype(np.float32)
    matches_onnxruntime("GridSample", [x, grid], opset=20, mode=mode)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_sums_made_part_by_part(mode, matches_onnxruntime, monkeypatch):
    """Large results are sampled in a loop, a part that stays on chip per step; here a part is 60 elements."""
    monkeypatch.setattr(interpolation, "_PART", 60)
    x = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
    grid = RNG.uniform(-1.4, 1.4, (2, 10, 8, 2)).astype(np.float32)
    matches_onnxruntime("GridSample", [x, grid], opset=20, mode=mode)
