"""TfIdfVectorizer on integers against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

POOL = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 2, 3, 4, 5, 6, 7]
RNG = np.random.default_rng(8)


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("weights", [[], [0.5, 1, 2, 3, 4, 5, 6, 7]])
@pytest.mark.parametrize("lengths", [(1, 1), (2, 2), (1, 3), (3, 3)])
@pytest.mark.parametrize("skips", [0, 2])
def test_counts(mode, weights, lengths, skips, matches_onnxruntime):
    """Three 1-grams, four 2-grams and one 3-gram, in another order at the output."""
    options = {
        "mode": mode,
        "min_gram_length": lengths[0],
        "max_gram_length": lengths[1],
        "max_skip_count": skips,
        "ngram_counts": [0, 3, 11],
        "ngram_indexes": [3, 0, 1, 7, 2, 6, 5, 4],
        "pool_int64s": POOL[:14],
        **({"weights": weights} if weights else {}),
    }
    x = RNG.integers(2, 9, (3, 12)).astype(np.int32)
    matches_onnxruntime("TfIdfVectorizer", [x], **options)
    matches_onnxruntime("TfIdfVectorizer", [x[0].astype(np.int64)], **options)
    matches_onnxruntime("TfIdfVectorizer", [x[0, :1]], **options)
