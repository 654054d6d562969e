"""`npucc debug bisect` names the guilty pass when a wrong rewrite is planted in a pass of each level."""

from __future__ import annotations

from collections.abc import Callable

import npucc
import pytest
from npucc.bisect import bisect
from npucc.demo import demo_model
from npucc.dialects import graph
from npucc.options import Options
from npucc.passes.registry import own_passes
from npuisa.target import Target
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

OPTIONS = Options(dims={"batch": 1})


def plant(monkeypatch: pytest.MonkeyPatch, name: str, wrong: Callable[[ModuleOp], None]) -> None:
    """Let pass `name` do its work, and then `wrong`."""
    made: type[ModulePass] = own_passes()[name]()
    apply = made.apply

    def apply_and_break(self: ModulePass, ctx: Context, op: ModuleOp) -> None:
        apply(self, ctx, op)
        wrong(op)

    monkeypatch.setattr(made, "apply", apply_and_break)


def relu_becomes_negation(module: ModuleOp) -> None:
    op = next(op for op in module.walk() if isinstance(op, graph.ReluOp))
    Rewriter.replace_op(op, graph.NegOp(op.operands[0]))


def addition_becomes_subtraction(module: ModuleOp) -> None:
    op = next(op for op in module.walk() if isinstance(op, arith.AddfOp))
    Rewriter.replace_op(op, arith.SubfOp(op.lhs, op.rhs))


def wrong_axis_stride(module: ModuleOp) -> None:
    """The npu level: the pooling instruction reads with another stride."""
    op = next(op for op in module.walk() if op.name == "npu.v.window")
    op.properties["stride_b"] = type(op.properties["stride_b"])(1)


@pytest.mark.parametrize(
    ("name", "wrong", "level"),
    [
        ("graph-simplify", relu_becomes_negation, "graph"),
        ("graph-fuse", relu_becomes_negation, "graph"),
        ("convert-graph-to-tile", addition_becomes_subtraction, "tile"),
        ("tile-insert-semaphores", addition_becomes_subtraction, "tile"),
        ("convert-tile-to-npu", wrong_axis_stride, "npu"),
    ],
)
def test_the_guilty_pass_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: Callable[[ModuleOp], None], level: str
) -> None:
    plant(monkeypatch, name, wrong)
    result = bisect(demo_model(), Target.load("edge-4t"), OPTIONS)
    assert (result.guilty_pass, result.guilty_level) == (name, level)
    assert not result.steps[-1].passed and all(step.passed for step in result.steps[:-1])
    assert not npucc.validate(demo_model(), options=OPTIONS).passed


def test_a_pass_that_leaves_invalid_ir_is_guilty(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_types(module: ModuleOp) -> None:
        op = next(op for op in module.walk() if isinstance(op, graph.ReluOp))
        op.operands[0] = op.parent_block().args[0]  # pyright: ignore[reportOptionalMemberAccess]

    plant(monkeypatch, "graph-sink-transposes", break_types)
    result = bisect(demo_model(), Target.load("edge-4t"), OPTIONS)
    assert result.guilty_pass == "graph-sink-transposes" and result.steps[-1].error


def test_nobody_is_guilty_of_a_right_result() -> None:
    result = bisect(demo_model(), Target.load("edge-4t"), OPTIONS)
    assert result.guilty_pass is None
    assert [step.level for step in result.steps][-1] == "npu"
    assert {step.level for step in result.steps} == {"graph", "tile", "npu"}
