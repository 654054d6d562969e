"""Small graph functions built op by op, and the passes from groups to tile loops."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from npucc.constants import ConstantStore
from npucc.context import NpuContext
from npucc.dialects import graph
from npucc.interpreters.graph import run_graph
from npucc.interpreters.tile import run_tile
from npucc.passes.graph.fuse import GraphFusePass
from npucc.passes.graph.insert_copies import GraphInsertCopiesPass
from npucc.passes.graph.schedule import GraphSchedulePass
from npucc.passes.lower_graph.convert import ConvertGraphToTilePass
from npucc.types import element_type, tensor
from npuisa.target import Target
from xdsl.builder import Builder
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, FunctionType, ModuleOp, StringAttr
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint

sys.path.insert(0, str(Path(__file__).parent))


class GraphBuilder:
    """Builds `@main` over f32 tensors; `insert` names each op after its class so that provenance can be seen."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs = [self.rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        self.block = Block(arg_types=[tensor(shape, element_type("f32")) for shape in shapes])
        self.builder = Builder(InsertPoint.at_end(self.block))
        self.constants = ConstantStore()

    def insert(self, op: Operation) -> SSAValue:
        return self.builder.insert(graph.with_nodes(op, [f"{op.name}_{len(list(self.block.ops))}"])).results[0]

    def constant(self, *shape: int) -> SSAValue:
        fan_in = max(1, int(np.prod(shape[:-1])))
        values = (self.rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
        symbol = self.constants.add("c", values)
        return self.builder.insert(graph.ConstantOp(symbol, tensor(shape, element_type("f32")))).results[0]

    def module(self, *results: SSAValue) -> ModuleOp:
        self.builder.insert(func.ReturnOp(*results))
        kinds = [argument.type for argument in self.block.args], [value.type for value in results]
        main = func.FuncOp("main", FunctionType.from_lists(*kinds), Region(self.block))
        main.attributes["npucc.inputs"] = _names("x", len(self.inputs))
        main.attributes["npucc.outputs"] = _names("y", len(results))
        return ModuleOp([main])


def _names(prefix: str, count: int) -> ArrayAttr[StringAttr]:
    return ArrayAttr([StringAttr(f"{prefix}{index}") for index in range(count)])


def machine(sram: int, accumulator: int) -> Target:
    """edge-4t with other on-chip memories."""
    base = Target.load("edge-4t")
    return base.model_copy(
        update={
            "sram": base.sram.model_copy(update={"bytes": sram}),
            "accumulator": base.accumulator.model_copy(update={"bytes": accumulator}),
        }
    )


def lower(module: ModuleOp, constants: ConstantStore, target: Target, *, residency: bool = True) -> ModuleOp:
    """Fuse, schedule and convert to tile loops; verified after every pass."""
    context = NpuContext()
    context.constants, context.target = constants, target
    passes = (
        GraphFusePass(),
        GraphInsertCopiesPass(),
        GraphSchedulePass(residency=residency),
        ConvertGraphToTilePass(),
    )
    for each in passes:
        each.apply(context, module)
        module.verify()
    return module


def check_lowering(built: GraphBuilder, module: ModuleOp, target: Target, *, residency: bool = True) -> ModuleOp:
    """The tile program computes what the graph in f64 computes."""
    expected = run_graph(module, built.inputs, built.constants, high_precision=True)
    lowered = lower(module, built.constants, target, residency=residency)
    for want, got in zip(expected, run_tile(lowered, built.inputs, built.constants), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(want).max(initial=0))))
    return lowered


@pytest.fixture
def graph_builder() -> type[GraphBuilder]:
    return GraphBuilder


@pytest.fixture
def make_machine() -> Callable[[int, int], Target]:
    return machine


@pytest.fixture
def checked_lowering() -> Callable[..., ModuleOp]:
    return check_lowering


@pytest.fixture
def lower_module() -> Callable[..., ModuleOp]:
    return lower
