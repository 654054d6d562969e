"""TfIdfVectorizer on integers: each n-gram of the pool is compared with every place where it could stand."""

from __future__ import annotations

from functools import reduce

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, element_type, numpy_dtype, shape_of

F32 = element_type("f32")


@onnx_op("TfIdfVectorizer")
def tf_idf_vectorizer(node: ImportNode) -> SSAValue:
    """x [c] or [n, c] of integers -> how often each n-gram occurs, [outputs] or [n, outputs]; weighted by `mode`."""
    build, x = node.build, node.input(0)
    shape, outputs = shape_of(x), max(node.integers("ngram_indexes"), default=-1) + 1
    if len(shape) not in (1, 2) or outputs < 1:
        raise Malformed("the input has one or two axes, and there are n-grams", f"{list(shape)}, {outputs} outputs")
    rows = x if len(shape) == 2 else build.reshape(x, (1, *shape))
    total = build.expand(build.scalar_of(0, F32), (shape_of(rows)[0], outputs))
    for grams in _pool(node).values():
        found = _counts(node, rows, np.array(list(grams)))
        if found is not None:
            places = np.zeros((len(grams), outputs), np.float32)
            places[np.arange(len(grams)), list(grams.values())] = 1
            total = build.add(total, build.matmul(found, build.constant(places, f"{node.label}.places")))
    return build.reshape(_weighted(node, total), (*shape[:-1], outputs))


def _pool(node: ImportNode) -> dict[int, dict[tuple[int, ...], int]]:
    """Length -> n-gram -> its place in the output. Of equal n-grams the last one counts."""
    pool, starts, places = node.integers("pool_int64s"), node.integers("ngram_counts"), node.integers("ngram_indexes")
    if not pool:
        raise Unsupported("the n-grams are of integers", "strings, or none", "look words up before the model runs")
    lengths = range(node.integer("min_gram_length"), node.integer("max_gram_length") + 1)
    result: dict[int, dict[tuple[int, ...], int]] = {}
    number = 0
    for length, (start, end) in enumerate(zip(starts, [*starts[1:], len(pool)]), 1):
        for first in range(start, end - length + 1, length):
            if number >= len(places):
                raise Malformed("`ngram_indexes` has a place for each n-gram", f"{len(places)} places")
            if length in lengths:
                result.setdefault(length, {})[tuple(pool[first : first + length])] = places[number]
            number += 1
    return result


def _counts(node: ImportNode, x: SSAValue, grams: np.ndarray) -> SSAValue | None:
    """[n, c] -> [n, grams] in f32: occurrences of n-grams [grams, length], all skips together; None without room."""
    build, (rows, size), length = node.build, shape_of(x), grams.shape[1]
    limits = np.iinfo(numpy_dtype(element_of(x)))
    items = np.clip(grams, limits.min, limits.max).astype(limits.dtype)
    total: SSAValue | None = None
    for step in range(1, node.integer("max_skip_count") + 2 if length > 1 else 2):
        places = size - (length - 1) * step
        if places < 1:
            break
        matches: list[SSAValue] = []
        for index in range(length):
            item = build.reshape(build.slice_axis(x, 1, index * step, places), (rows, places, 1))
            wanted = build.constant(items[:, index], f"{node.label}.items")
            matches.append(build.emit(graph.EqualOp(item, wanted)))
        hits = build.cast(reduce(lambda a, b: build.emit(graph.AndOp(a, b)), matches), F32)
        count = build.reshape(build.reduce(hits, "sum", [1]), (rows, len(grams)))
        total = count if total is None else build.add(total, count)
    return total


def _weighted(node: ImportNode, counts: SSAValue) -> SSAValue:
    """TF: the counts; IDF: 1 where there are any; IDF and TFIDF times the weights, if given."""
    build, mode, weights = node.build, node.text("mode"), node.numbers("weights")
    if mode not in ("TF", "IDF", "TFIDF"):
        raise Malformed("`mode` is TF, IDF or TFIDF", mode)
    if mode == "IDF":
        counts = build.emit(graph.MinOp(counts, build.scalar(1.0, counts)))
    if mode == "TF" or not weights:
        return counts
    places = node.integers("ngram_indexes")
    if len(weights) != len(places):
        raise Malformed("`weights` has one value per n-gram", f"{len(weights)} for {len(places)}")
    vector = np.ones(shape_of(counts)[1], np.float32)
    vector[places] = weights
    return build.mul(counts, build.constant(vector, f"{node.label}.weights"))
