"""Tiling specs against brute force: summing over the iteration space with the accesses gives the op's result."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from npucc.dialects.graph import (
    AddOp,
    ConstantOp,
    ConvOp,
    DepthwiseConvOp,
    ExpandOp,
    MatmulOp,
    ReduceOp,
    SliceOp,
    SoftmaxOp,
    TileableOp,
    TransposeOp,
    WindowReduceOp,
)
from npucc.interpreters.graph import evaluate_op
from npucc.tiling import Access
from npucc.types import tensor


def value(name: str, *shape: int) -> ConstantOp:
    return ConstantOp(name, tensor(shape, "f64"))


def read(array: np.ndarray, access: Access, point: Sequence[int], neutral: float) -> float:
    """The element at `point` of the iteration space; `neutral` outside the tensor."""
    index = [expr.constant + sum(c * point[d] for d, c in expr.terms) for expr in access.exprs]
    if any(not 0 <= i < extent for i, extent in zip(index, access.shape)):
        return neutral
    return float(array[tuple(index)])


def brute_force(op: TileableOp, arrays: list[np.ndarray], fn: str) -> np.ndarray:
    """Product of the operands, accumulated by `fn` over the reduction dims."""
    spec = op.tiling()
    neutral = {"sum": 0.0, "max": -np.inf, "set": np.nan, "add": np.nan}[fn]
    result = np.full(spec.result.shape, 0.0 if fn == "sum" else -np.inf)
    for point in product(*(range(dim.size) for dim in spec.dims)):
        parts = [read(a, access, point, neutral) for a, access in zip(arrays, spec.operands)]
        term = sum(parts) if fn == "add" else float(np.prod(parts))
        at = tuple(e.constant + sum(c * point[d] for d, c in e.terms) for e in spec.result.exprs)
        match fn:
            case "sum":
                result[at] += term
            case "max":
                result[at] = max(result[at], term)
            case _:
                result[at] = term
    return result


CASES: list[tuple[TileableOp, str]] = [
    (MatmulOp(value("a", 2, 1, 3, 4), value("b", 3, 4, 2)), "sum"),
    (MatmulOp(value("a", 3, 4), value("b", 2, 4, 5)), "sum"),
    (ConvOp(value("x", 2, 5, 6, 3), value("w", 3, 2, 3, 4), (2, 1), (1, 2), (1, 0, 1, 2)), "sum"),
    (ConvOp(value("x", 1, 4, 4, 6), value("w", 3, 3, 2, 9), (1, 2), (1, 1), (1, 1, 0, 1), 3), "sum"),
    (DepthwiseConvOp(value("x", 2, 5, 5, 3), value("w", 3, 2, 3), (2, 2), (1, 2), (1, 1, 1, 1)), "sum"),
    (WindowReduceOp(value("x", 2, 5, 3, 6), "max", (1, 3), (3, 2), (2, 1), (1, 2), (1, 0, 1, 1)), "max"),
    (WindowReduceOp(value("x", 5, 6), "sum", (0, 1), (2, 3), (1, 2), (1, 1), (0, 1, 1, 0)), "sum"),
    (ReduceOp(value("x", 3, 4, 5), "sum", (0, 2)), "sum"),
    (ReduceOp(value("x", 3, 4, 5), "max", (1,)), "max"),
    (AddOp(value("a", 3, 1, 5), value("b", 4, 1)), "add"),
    (AddOp(value("a", 2, 3), value("b")), "add"),
    (TransposeOp(value("x", 2, 3, 4), (2, 0, 1)), "set"),
    (SliceOp(value("x", 6, 7), (5, 1), (-2, 3), (3, 2)), "set"),
    (ExpandOp(value("x", 3, 1), (2, 3, 4)), "set"),
]


@pytest.mark.parametrize(("op", "fn"), CASES, ids=[f"{op.name}-{i}" for i, (op, _) in enumerate(CASES)])
def test_iteration_space_computes_the_op(op: TileableOp, fn: str) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=type_.get_shape()) for type_ in op.operand_types]
    np.testing.assert_allclose(brute_force(op, arrays, fn), evaluate_op(op, arrays), atol=1e-12)


@pytest.mark.parametrize(("op", "fn"), CASES, ids=[f"{op.name}-{i}" for i, (op, _) in enumerate(CASES)])
def test_result_uses_parallel_dims_only(op: TileableOp, fn: str) -> None:
    spec = op.tiling()
    for dim in spec.result.dims_used():
        assert spec.dims[dim].kind == "parallel"
    covered = np.prod([spec.dims[d].size for d in spec.result.dims_used()], dtype=int)
    assert covered == np.prod(spec.result.shape, dtype=int)
    assert len({dim.name for dim in spec.dims}) == len(spec.dims)


def test_macs() -> None:
    assert CASES[2][0].tiling().macs == 2 * 3 * 6 * 4 * 3 * 2 * 3
    assert CASES[3][0].tiling().macs == 3 * 2 * 9 * 3 * 3 * 2
    assert CASES[0][0].tiling().macs == 2 * 3 * 3 * 2 * 4


def test_names_that_schedules_use() -> None:
    grouped = CASES[3][0].tiling()
    assert [dim.name for dim in grouped.dims] == ["n", "oh", "ow", "g", "co", "kh", "kw", "ci"]
    assert [dim.name for dim in grouped.dims if not dim.tileable] == ["kh", "kw"]
    assert [dim.name for dim in CASES[0][0].tiling().dims] == ["b0", "b1", "m", "n", "k"]
    softmax = SoftmaxOp(value("x", 2, 3, 4)).tiling()
    assert [dim.tileable for dim in softmax.dims] == [True, True, False]
    assert [dim.name for dim in CASES[7][0].tiling().dims] == ["d0", "d1", "d2", "r0", "r2"]
