"""The tail of a two-stage detector: suppression, a selection of the best, features of as many regions as there are."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from segment_models import agree, model_of

RNG = np.random.default_rng(12)

DETECTOR = """
detector (float[1, n, 4] boxes, float[1, 2, n] scores, float[1, 3, 16, 16] image)
  => (float[k, 4] kept, float[k] best, float[k, 5] classes, int64[k] labels)
{
  chosen = NonMaxSuppression(boxes, scores, most, overlap, least)
  zero = Constant<value = int64[1] {0}>()  one = Constant<value = int64[1] {1}>()
  two = Constant<value = int64[1] {2}>()  three = Constant<value = int64[1] {3}>()
  klass0 = Slice(chosen, one, two, one)  which0 = Slice(chosen, two, three, one)
  klass = Squeeze(klass0, one)  which = Squeeze(which0, one)
  flat_boxes = Squeeze(boxes, zero)
  found = Gather<axis = 0>(flat_boxes, which)
  score_table = Squeeze(scores, zero)
  pairs0 = Unsqueeze(klass, one)  pairs1 = Unsqueeze(which, one)
  pairs = Concat<axis = 1>(pairs0, pairs1)
  values = GatherND(score_table, pairs)
  count = Shape(values)
  limit = Constant<value = int64[1] {3}>()
  k = Min(count, limit)
  best, order = TopK(values, k)
  kept = Gather<axis = 0>(found, order)
  labels = Gather<axis = 0>(klass, order)
  batch = ConstantOfShape<value = int64[1] {0}>(k)
  regions = RoiAlign<output_height = 4, output_width = 4, sampling_ratio = 2>(image, kept, batch)
  features = Conv<kernel_shape = [4, 4]>(regions, w)
  active = Relu(features)
  rows = Flatten(active)
  logits = MatMul(rows, v)
  classes = Softmax(logits)
}
"""


def detector() -> onnx.ModelProto:
    model = model_of(DETECTOR)
    stored = {
        "w": RNG.standard_normal((6, 3, 4, 4)).astype(np.float32),
        "v": RNG.standard_normal((6, 5)).astype(np.float32),
        "most": np.array([5]),
        "overlap": np.array([0.5], np.float32),
        "least": np.array([0.6], np.float32),
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in stored.items())
    return model


@pytest.mark.parametrize("high", [0, 1, 2, 6])
def test_as_many_regions_as_are_found(high: int):
    """Also none: everything behind is empty then."""
    corners = RNG.uniform(0, 8, (6, 2))
    boxes = np.concatenate([corners, corners + RNG.uniform(3, 8, (6, 2))], axis=1).astype(np.float32)[None]
    scores = RNG.uniform(0, 0.5, (1, 2, 6)).astype(np.float32)
    scores[0, 0, :high] = np.linspace(0.7, 0.95, high, dtype=np.float32)
    image = RNG.standard_normal((1, 3, 16, 16)).astype(np.float32)
    result = agree(detector(), {"boxes": boxes, "scores": scores, "image": image}, with_reference=high > 0)
    assert result.host_nodes == []
    assert result.outputs["kept"].shape[0] <= min(high, 3)
