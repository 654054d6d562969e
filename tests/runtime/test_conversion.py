"""Fast f16 conversion is NumPy's conversion, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from npusim.semantics.conversion import narrow_f16, widen_f16

HALVES = np.arange(65536, dtype=np.uint16).view(np.float16)
FINITE = HALVES[np.isfinite(HALVES)]


def same_bits(result: np.ndarray, expected: np.ndarray) -> bool:
    numbers = ~np.isnan(expected)
    return np.array_equal(np.isnan(result), ~numbers) and np.array_equal(
        result[numbers].view(np.uint16), expected[numbers].view(np.uint16)
    )


@pytest.mark.parametrize("values", [HALVES, FINITE], ids=["all", "finite"])
def test_widening_is_exact(values):
    result = np.empty(values.shape, np.float32)
    widen_f16(values, result)
    np.testing.assert_array_equal(result, values.astype(np.float32))
    assert np.array_equal(np.signbit(result), np.signbit(values))


def test_narrowing_at_every_tie_and_its_neighbours():
    """Every f16, the midpoints between neighbours and the f32 next to them: all rounding decisions."""
    exact = np.sort(FINITE[FINITE >= 0]).astype(np.float32)
    middles = (exact[:-1] + exact[1:]) / 2
    values = np.concatenate([exact, middles, np.nextafter(middles, 0), np.nextafter(middles, np.float32(np.inf))])
    values = np.concatenate([values, -values])
    small = values[abs(values) < 32000]
    for part in (values, small):
        result = np.empty(part.shape, np.float16)
        narrow_f16(part, result)
        assert same_bits(result, part.astype(np.float16))


def test_narrowing_random_bits():
    values = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    with np.errstate(over="ignore"):
        for part in (values, values[abs(values) < 30000], values[abs(values) < 1e-4]):
            result = np.empty(part.shape, np.float16)
            narrow_f16(part, result)
            assert same_bits(result, part.astype(np.float16))


def test_strided_and_broadcast_operands():
    rng = np.random.default_rng(1)
    wide = rng.standard_normal((300, 2, 130)).astype(np.float32)
    half = np.zeros((300, 130, 2), np.float16)
    narrow_f16(wide[:, 0], half[:, :, 1])
    assert np.array_equal(half[:, :, 1], wide[:, 0].astype(np.float16)) and not half[:, :, 0].any()
    back = np.zeros((300, 130), np.float32)
    widen_f16(half[:, :, 1], back)
    assert np.array_equal(back, half[:, :, 1].astype(np.float32))
    widen_f16(half[:1, :, 1], back)
    assert np.array_equal(back, np.broadcast_to(half[:1, :, 1], back.shape).astype(np.float32))
