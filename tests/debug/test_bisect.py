"""`npucc debug bisect` names the guilty pass when a wrong rewrite is planted in a pass of each level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import npucc
import pytest
from npucc.bisect import bisect
from npucc.demo import demo_model
from npucc.dialects import graph, tile
from npucc.options import Options
from npucc.passes import registry
from npucc.passes.registry import own_passes
from npuisa.errors import NpuError
from npuisa.target import Target
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import IntAttr, IntegerAttr, ModuleOp, i64
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
    op.properties["stride_b"] = IntAttr(1)


def all_pools_at_address_0(module: ModuleOp) -> None:
    for op in module.walk():
        if isinstance(op, tile.PoolOp) and op.space.data is tile.MemorySpace.SRAM:
            op.address = IntegerAttr(0, i64)


def pools_beyond_the_memory(module: ModuleOp) -> None:
    op = next(op for op in module.walk() if isinstance(op, tile.PoolOp))
    op.address = IntegerAttr(1 << 40, i64)


def nobody_waits(module: ModuleOp) -> None:
    for op in module.walk():
        if isinstance(op, tile.InstructionOp):
            op.set_sync((), op.post_names)


def one_wait_is_missing(module: ModuleOp) -> None:
    op = next(op for op in module.walk() if isinstance(op, tile.ConvOp) and op.wait_names)
    op.set_sync((), op.post_names)


def no_convolution(module: ModuleOp) -> None:
    op = next(op for op in module.walk() if op.name == "npu.mx.conv")
    op.detach()
    op.erase()


def unknown_descriptor(module: ModuleOp) -> None:
    """IR that verifies no longer."""
    op = next(op for op in module.walk() if op.name == "npu.desc")
    op.detach()
    op.erase()


@pytest.mark.parametrize(
    ("name", "wrong", "level"),
    [
        ("graph-simplify", relu_becomes_negation, "graph"),
        ("graph-fuse", relu_becomes_negation, "graph"),
        ("convert-graph-to-tile", addition_becomes_subtraction, "tile"),
        ("tile-insert-semaphores", addition_becomes_subtraction, "tile"),
        ("tile-plan-memory", all_pools_at_address_0, "tile"),
        ("tile-plan-memory", pools_beyond_the_memory, "tile"),
        ("tile-insert-semaphores", nobody_waits, "tile"),
        ("tile-insert-semaphores", one_wait_is_missing, "tile"),
        ("convert-tile-to-npu", wrong_axis_stride, "npu"),
        ("convert-tile-to-npu", no_convolution, "npu"),
        ("convert-tile-to-npu", unknown_descriptor, "npu"),
    ],
)
def test_the_guilty_pass_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: Callable[[ModuleOp], None], level: str
) -> None:
    plant(monkeypatch, name, wrong)
    result = bisect(demo_model(), Target.load("edge-4t"), OPTIONS)
    assert (result.guilty_pass, result.guilty_level) == (name, level)
    assert not result.steps[-1].passed and all(step.passed for step in result.steps[:-1])


@pytest.mark.parametrize("wrong", [relu_becomes_negation, wrong_axis_stride])
def test_validation_fails_too(monkeypatch: pytest.MonkeyPatch, wrong: Callable[[ModuleOp], None]) -> None:
    plant(monkeypatch, "graph-fuse" if wrong is relu_becomes_negation else "convert-tile-to-npu", wrong)
    assert not npucc.validate(demo_model(), options=OPTIONS).passed


@pytest.mark.parametrize(
    ("after", "wrong", "level"),
    [
        ("convert-graph-to-tile", addition_becomes_subtraction, "tile"),
        ("tile-plan-memory", all_pools_at_address_0, "tile"),
        ("tile-insert-semaphores", nobody_waits, "tile"),
        ("convert-tile-to-npu", no_convolution, "npu"),
    ],
)
def test_an_added_pass_is_named(
    monkeypatch: pytest.MonkeyPatch, after: str, wrong: Callable[[ModuleOp], None], level: str
) -> None:
    @dataclass(frozen=True)
    class PlantedPass(ModulePass):
        name = "planted"

        def apply(self, ctx: Context, op: ModuleOp) -> None:
            wrong(op)

    monkeypatch.setattr(registry, "own_passes", lambda: {**own_passes(), "planted": lambda: PlantedPass})
    result = bisect(demo_model(), Target.load("edge-4t"), replace(OPTIONS, added_passes=((after, "planted"),)))
    assert (result.guilty_pass, result.guilty_level) == ("planted", level)


def test_hazards_fail_validation_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "tile-insert-semaphores", nobody_waits)
    assert npucc.validate(demo_model(), options=OPTIONS).passed
    with pytest.raises(NpuError, match="hazards"):
        npucc.validate(demo_model(), options=OPTIONS, check_hazards=True)


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
