"""Lines beyond the SRAM: the pass keeps the values, and what comes out fits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npucc.constants import ConstantStore
from npucc.context import NpuContext
from npucc.dialects import graph
from npucc.interpreters.graph import run_graph
from npucc.passes.graph.split_lines import GraphSplitLinesPass
from npucc.types import element_of_numpy, shape_of, tensor
from npuisa.target import Target
from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, ModuleOp
from xdsl.ir import Block, Operation, Region

sys.path.insert(0, str(Path(__file__).parent))

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
LEAD = st.lists(st.integers(1, 3), max_size=2).map(tuple)
LENGTHS = st.one_of(st.integers(1, 700), st.sampled_from([256, 512, 601]))


def machine(sram: int) -> Target:
    base = Target.load("edge-4t")
    return base.model_copy(update={"sram": base.sram.model_copy(update={"bytes": sram})})


def split(arrays: Sequence[np.ndarray], make, sram: int) -> tuple[ModuleOp, ModuleOp, ConstantStore]:
    """The op that `make` builds of the arrays, before and after the pass."""
    block = Block(arg_types=[tensor(a.shape, element_of_numpy(a.dtype)) for a in arrays])
    op: Operation = make(*block.args)
    block.add_ops([op, func.ReturnOp(op.results[0])])
    kinds = FunctionType.from_lists([a.type for a in block.args], [op.results[0].type])
    before = ModuleOp([func.FuncOp("main", kinds, Region(block))])
    after, context = before.clone(), NpuContext()
    context.constants, context.target = ConstantStore(), machine(sram)
    GraphSplitLinesPass().apply(context, after)
    after.verify()
    return before, after, context.constants


def same_values(arrays, make, sram, rtol=0.0) -> ModuleOp:
    before, after, constants = split(arrays, make, sram)
    (want,), (got,) = (run_graph(module, list(arrays), constants) for module in (before, after))
    assert want.dtype == got.dtype
    np.testing.assert_allclose(got.astype("f8"), want.astype("f8"), rtol=rtol, atol=rtol)
    return after


def tied(seed, shape, dtype="f4"):
    values = [0.0, -0.0, 1.0, 2.0, np.nan, np.inf, -np.inf] if np.dtype(dtype).kind == "f" else [-128, 127, 0, 1]
    return np.random.default_rng(seed).choice(np.array(values), shape).astype(dtype)


@RELAXED
@given(LEAD, LENGTHS, LEAD, st.integers(1, 9), st.booleans(), st.sampled_from(["f4", "i1", "i8"]), st.integers(0, 99))
def test_sorts(lead, length, rest, count, descending, dtype, seed):
    x = tied(seed, (*lead, length, *rest), dtype)
    count = min(count, length)
    after = same_values([x], lambda v: graph.ArgsortOp(v, count, descending, "i64", len(lead)), 3072)
    sorts = [op for op in after.walk() if isinstance(op, graph.ArgsortOp)]
    assert len(sorts) > 1 or x.dtype.itemsize * length <= 1024
    assert max(shape_of(op.x)[op.line] * x.dtype.itemsize for op in sorts) <= 1024


@RELAXED
@given(LEAD, LENGTHS, LEAD, st.sampled_from(["sum", "prod", "max", "min"]), st.booleans(), st.booleans(),
       st.sampled_from(["f4", "f2", "i4"]), st.integers(0, 99))  # fmt: skip
def test_scans(lead, length, rest, fn, exclusive, reverse, dtype, seed):
    rng = np.random.default_rng(seed)
    x = (rng.integers(-1, 2, (*lead, length, *rest)) + (fn == "prod") * 0).astype(dtype)
    same_values([x], lambda v: graph.ScanOp(v, fn, exclusive, reverse, axis=len(lead)), 1536)


@RELAXED
@given(LEAD, LENGTHS, st.floats(0, 1), st.floats(0, 1), st.sampled_from(["?", "f4"]),
       st.sampled_from([None, "f4", "i8"]), st.integers(0, 99))  # fmt: skip
def test_compactions(lead, length, share, density, kind, values, seed):
    rng = np.random.default_rng(seed)
    mask = (rng.random((*lead, length)) < density).astype(kind)
    count = max(1, round(share * length))
    if values is None:
        same_values([mask], lambda m: graph.NonzeroOp(m, count, "i32"), 1024)
    else:
        x = rng.integers(-9, 9, mask.shape).astype(values)
        same_values([x, mask], lambda v, m: graph.CompressOp(v, m, count), 1024)


@RELAXED
@given(LEAD, st.integers(60, 400), LEAD, st.floats(0.5, 1), st.booleans(), st.sampled_from(["f4", "i1", "f8", "?"]),
       st.integers(0, 99))  # fmt: skip
def test_merges(lead, length, rest, share, descending, dtype, seed):
    x = tied(seed, (*lead, length, *rest), dtype)
    count = max(1, round(share * length))
    after = same_values([x], lambda v: graph.ArgsortOp(v, count, descending, "i64", len(lead)), 2048)
    assert sum(isinstance(op, graph.ArgsortOp) for op in after.walk()) > 1


def test_what_fits_is_left_alone():
    x = tied(0, (4, 100))
    _, after, _ = split([x], lambda v: graph.ScanOp(v, "sum"), 1 << 20)
    assert [op.name for op in after.body.block.first_op.regions[0].block.ops] == ["graph.scan", "func.return"]
