"""Random graphs compute the same before and after the graph passes."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from graph_models import Model, new_context
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.dialects import graph
from npucc.passes.graph.axis_groups import axis_groups, hoist_through_reshape, sink_through_reshape
from npucc.passes.graph.fold import GraphFoldPass
from npucc.passes.graph.precision import GraphPrecisionPass
from npucc.passes.graph.simplify import GraphSimplifyPass
from npucc.passes.graph.sink_transposes import GraphSinkTransposesPass
from npucc.types import shape_of, tensor, tensor_of
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region, SSAValue

Draw = st.DataObject


class RandomGraph:
    """Grows a function over rank-4 tensors; every op takes values made before."""

    def __init__(self, data: Draw) -> None:
        self.data = data
        self.context = new_context()
        shape = (1, *data.draw(st.tuples(*[st.sampled_from([1, 2, 4, 6])] * 3)))
        self.block = Block(arg_types=[tensor(shape, "f32"), tensor(shape, "f32")])
        self.values: list[SSAValue] = list(self.block.args)
        self.rng = np.random.default_rng(0)

    def pick(self) -> SSAValue:
        """A value; recent ones more often."""
        return self.values[-1 - self.data.draw(st.integers(0, min(3, len(self.values) - 1)))]

    def emit(self, op: graph.GraphOp) -> SSAValue:
        self.block.add_op(op)
        self.values.append(op.result)
        return op.result

    def constant(self, shape: tuple[int, ...]) -> SSAValue:
        array = self.rng.uniform(0.5, 1.5, size=shape).astype(np.float32)
        if self.data.draw(st.booleans()):
            array = self.rng.choice([1.0, 1.0, 0.5], size=shape).astype(np.float32)
        op = graph.ConstantOp(self.context.constants.add("c", array), tensor_of(array))
        self.block.add_op(op)
        return op.result

    def step(self) -> None:
        """One random op."""
        getattr(self, self.data.draw(st.sampled_from(STEPS)))()

    def transpose(self) -> None:
        x = self.pick()
        self.emit(graph.TransposeOp(x, self.data.draw(st.permutations(range(len(shape_of(x)))))))

    def layout(self) -> None:
        """The transposes an importer makes: into and out of channels last."""
        x = self.pick()
        if len(shape_of(x)) == 4:
            self.emit(graph.TransposeOp(x, self.data.draw(st.sampled_from([(0, 2, 3, 1), (0, 3, 1, 2)]))))

    def unary(self) -> None:
        op = self.data.draw(st.sampled_from([graph.ReluOp, graph.TanhOp, graph.AbsOp, graph.SigmoidOp]))
        self.emit(op(self.pick()))

    def with_constant(self) -> None:
        x = self.pick()
        shape = [self.data.draw(st.sampled_from([1, extent])) for extent in shape_of(x)]
        drop = self.data.draw(st.integers(0, len(shape)))
        op = self.data.draw(st.sampled_from([graph.AddOp, graph.MulOp, graph.SubOp, graph.DivOp, graph.MaxOp]))
        self.emit(op(x, self.constant(tuple(shape[drop:]))))

    def binary(self) -> None:
        x = self.pick()
        others = [value for value in self.values if shape_of(value) == shape_of(x)]
        op = self.data.draw(st.sampled_from([graph.AddOp, graph.MulOp, graph.MinOp]))
        self.emit(op(x, self.data.draw(st.sampled_from(others))))

    def squeeze_excite(self) -> None:
        """x times something reduced from it."""
        x = self.pick()
        axes = self.data.draw(st.lists(st.integers(0, len(shape_of(x)) - 1), min_size=1, unique=True))
        self.emit(graph.MulOp(self.emit(graph.ReduceOp(x, "sum", sorted(axes))), x))

    def softmax(self) -> None:
        self.emit(graph.SoftmaxOp(self.pick()))

    def slice(self) -> None:
        x = self.pick()
        ranges = [self.data.draw(st.sampled_from([(0, 1, n), (n - 1, -1, n), (0, 2, -(-n // 2))])) for n in shape_of(x)]
        self.emit(graph.SliceOp(x, *zip(*ranges)))

    def window(self) -> None:
        x = self.pick()
        if len(shape_of(x)) == 4:
            axes = self.data.draw(st.sampled_from([(1, 2), (2, 3), (1, 3)]))
            self.emit(graph.WindowReduceOp(x, "max", axes, (1, 2), (1, 2), pads=(0, 1, 0, 0)))

    def concat(self) -> None:
        x = self.pick()
        if prod(shape_of(x)) < 500:
            self.emit(graph.ConcatOp([x, self.pick_like(x)], self.data.draw(st.integers(0, len(shape_of(x)) - 1))))

    def pick_like(self, x: SSAValue) -> SSAValue:
        return self.data.draw(st.sampled_from([v for v in self.values if shape_of(v) == shape_of(x)]))

    def reshape(self) -> None:
        """Split or merge axes, or flatten."""
        x = self.pick()
        shape = list(shape_of(x))
        axis = self.data.draw(st.integers(0, len(shape) - 1))
        if shape[axis] % 2 == 0 and len(shape) < 6:
            shape[axis : axis + 1] = [2, shape[axis] // 2]
        elif axis + 1 < len(shape) and len(shape) > 2:
            shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
        self.emit(graph.ReshapeOp(x, shape))

    def matmul(self) -> None:
        x = self.pick()
        if len(shape_of(x)) < 2:
            return
        y = self.emit(graph.MatmulOp(x, self.constant((shape_of(x)[-1], 3))))
        self.emit(graph.MulOp(y, self.constant((3,))))

    def conv(self) -> None:
        x = self.pick()
        if len(shape_of(x)) == 4:
            y = self.emit(graph.ConvOp(x, self.constant((1, 1, shape_of(x)[3], 4))))
            y = self.emit(graph.AddOp(y, self.constant((4,))))
            scales = [(4,), (1, 1, 1, 4), (), (shape_of(y)[1], 1, 1), (shape_of(y)[2], 1)]
            self.emit(graph.MulOp(y, self.constant(self.data.draw(st.sampled_from(scales)))))

    def finish(self) -> Model:
        results = [self.values[-1], self.pick()]
        self.block.add_op(func.ReturnOp(*results))
        types = [argument.type for argument in self.block.args], [value.type for value in results]
        module = ModuleOp([func.FuncOp("main", types, Region(self.block))])
        module.verify()
        return Model(module, self.context)


STEPS = ("transpose", "layout", "layout", "unary", "with_constant", "binary", "squeeze_excite", "softmax", "slice",
         "window", "concat", "reshape", "matmul", "conv")  # fmt: skip


def assert_close(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        scale = np.abs(b).max(initial=0) + 1e-3
        assert np.abs(a - b).max(initial=0) <= tolerance * scale


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_passes_keep_values(data: Draw) -> None:
    made = RandomGraph(data)
    for _ in range(data.draw(st.integers(1, 12))):
        made.step()
    model = made.finish()
    expected = model.run()
    passes = [GraphSimplifyPass(), GraphFoldPass(), GraphSinkTransposesPass(), GraphSimplifyPass(), GraphFoldPass()]
    for each in passes:
        model.apply(each)
        assert_close(model.run(), expected, 2e-4)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["f16", "bf16"]))
def test_precision_keeps_signature_and_values(data: Draw, dtype: str) -> None:
    """Against the same graph in f32, within what 16 bits per stored tensor allow; then back to f32."""
    made = RandomGraph(data)
    for _ in range(data.draw(st.integers(1, 6))):
        made.step()
    model = made.finish()
    expected = model.run()
    model.apply(GraphSimplifyPass(), GraphPrecisionPass(dtype), GraphFoldPass())
    found = model.run()
    assert [a.dtype for a in found] == [a.dtype for a in expected]
    if all(np.abs(each).max(initial=0) < 1e3 for each in expected):
        assert_close(found, expected, 0.05 if dtype == "f16" else 0.3)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_transposes_through_reshapes(data: Draw) -> None:
    """The axis arithmetic of both directions against NumPy."""
    y = np.arange(prod(shape := data.draw(st.lists(st.sampled_from([1, 2, 4, 6]), min_size=2, max_size=4))))
    y = y.reshape(shape)
    perm = tuple(data.draw(st.permutations(range(y.ndim))))
    x = y.transpose(perm)
    after = list(x.shape)
    for _ in range(2):
        axis = data.draw(st.integers(0, len(after) - 1))
        if after[axis] % 2 == 0 and data.draw(st.booleans()):
            after[axis : axis + 1] = [2, after[axis] // 2]
        elif axis + 1 < len(after):
            after[axis : axis + 2] = [after[axis] * after[axis + 1]]
    expected = x.reshape(after)
    if (passed := sink_through_reshape(perm, x.shape, tuple(after))) is not None:
        np.testing.assert_array_equal(y.reshape(passed[0]).transpose(passed[1]), expected)
    outer = tuple(data.draw(st.permutations(range(len(after)))))
    if (moved := hoist_through_reshape(outer, x.shape, tuple(after))) is not None:
        np.testing.assert_array_equal(
            x.transpose(moved).reshape([after[axis] for axis in outer]), expected.transpose(outer)
        )


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ((2, 6, 5), (2, 2, 3, 5), [((0,), (0,)), ((1,), (1, 2)), ((2,), (3,))]),
        ((4, 3), (12,), [((0, 1), (0,))]),
        ((2, 3), (3, 2), [((0, 1), (0, 1))]),
        ((5, 1, 1), (5,), [((0, 1, 2), (0,))]),
    ],
)
def test_axis_groups(before: tuple[int, ...], after: tuple[int, ...], groups: list[tuple[object, object]]) -> None:
    found = axis_groups(before, after)
    assert found is not None
    assert [(group.before, group.after) for group in found] == groups
