"""What counts as equal."""

from __future__ import annotations

import numpy as np
import pytest
from npucc.comparison import Tolerance, compare, default_tolerance
from npucc.inputs import seeded_inputs
from npuisa.dtypes import dtype_named
from npuisa.program import Port

F32 = default_tolerance("f32")
F16 = default_tolerance("f16")


def verdict(actual, reference, tolerance: Tolerance = F32) -> bool | None:
    return compare("y", np.asarray(actual), np.asarray(reference), tolerance).passed


def test_a_sentinel_does_not_hide_errors():
    reference = np.ones(100, np.float32)
    reference[0] = -3.4e38
    actual = np.full(100, -777, np.float32)
    actual[0] = -3.4e38
    assert not verdict(actual, reference) and not verdict(actual, reference, F16)
    assert verdict(reference, reference) and verdict(reference, reference, F16)


@pytest.mark.parametrize("tolerance", [F32, F16])
def test_types_and_shapes_must_agree(tolerance):
    assert not verdict(np.ones(3, np.int64), np.ones(3, np.int32), tolerance)
    assert not verdict(np.ones(3, np.float32), np.ones(3, np.int64), tolerance)
    assert not verdict(np.ones(3, np.float32), np.ones((1, 3), np.float32), tolerance)


@pytest.mark.parametrize("tolerance", [F32, F16])
def test_nan_and_infinities_stand_in_the_same_places(tolerance):
    reference = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    assert verdict(reference, reference, tolerance)
    for index, value in [(0, np.nan), (1, 1.0), (2, -np.inf), (3, 1.0)]:
        other = reference.copy()
        other[index] = value
        assert not verdict(other, reference, tolerance)


def test_one_far_element_fails_the_ratio_rule():
    reference = np.ones(1_000_000, np.float32)
    actual = reference.copy()
    actual[5] = 3.0
    assert not verdict(actual, reference, F16)


def test_f64_models_are_compared_as_f64():
    reference = np.linspace(1, 2, 50)
    assert not verdict(reference * (1 + 1e-7), reference, default_tolerance("f64"))


def test_wide_inputs_reach_the_ends_and_edges_the_special_values():
    ports = [Port("i", dtype_named("i8"), (2000,), 0), Port("f", dtype_named("f32"), (2000,), 0)]
    wide, edges = seeded_inputs(ports, 0, "wide"), seeded_inputs(ports, 0, "edges")
    assert wide["i"].min() < -120 and wide["i"].max() > 120
    assert np.abs(wide["f"]).max() > 1e3 and (wide["f"] == 0).any()
    assert np.isnan(edges["f"]).any() and np.isinf(edges["f"]).any() and set(edges["i"]) >= {-128, 127}


def test_strings_are_equal_or_not():
    reference = np.array(["a", "bc"], object)
    assert compare("s", reference.copy(), reference, Tolerance()).passed
    different = compare("s", np.array(["a", "b"], object), reference, Tolerance())
    assert different.passed is False and different.mismatches == 1
