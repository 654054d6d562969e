"""MaxRoiPool against onnxruntime: regions inside, across the border, outside, of one pixel and less."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(23)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("bins", [(2, 2), (3, 1), (7, 7)])
def test_regions(scale, bins, matches_onnxruntime):
    x = RNG.standard_normal((2, 3, 9, 8)).astype(np.float32)
    corners = RNG.integers(-4, 14, (6, 4))
    corners[0], corners[1], corners[2] = (0, 0, 7, 8), (3, 3, 3, 3), (20, 20, 25, 25)
    rois = np.concatenate([RNG.integers(0, 2, (6, 1)), corners], 1).astype(np.float32)
    matches_onnxruntime("MaxRoiPool", [x, rois], pooled_shape=list(bins), spatial_scale=scale)
