"""Groups lowered to tile loops compute the graph's values, on memories from roomy to tiny."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npucc.dialects import graph, tile
from npuisa.errors import NpuError
from xdsl.dialects import scf
from xdsl.dialects.builtin import ModuleOp

MACHINES = [(1 << 20, 1 << 17), (40_000, 8_192), (12_000, 2_048)]
RELAXED = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def classifier(builder: type) -> tuple[Any, ModuleOp]:
    """Strided, padded, depthwise and pointwise convolutions, residual, pooling, mean, dense layer, softmax."""
    b = builder([(1, 30, 30, 3)])
    x = b.block.args[0]
    y = b.insert(graph.ConvOp(x, b.constant(3, 3, 3, 40), (2, 2), (1, 1), (1, 1, 1, 1)))
    y = b.insert(graph.ReluOp(b.insert(graph.AddOp(y, b.constant(40)))))
    z = b.insert(graph.DepthwiseConvOp(y, b.constant(3, 3, 40), (1, 1), (1, 1), (1, 1, 1, 1)))
    z = b.insert(graph.ReluOp(z))
    z = b.insert(graph.AddOp(b.insert(graph.ConvOp(z, b.constant(1, 1, 40, 40))), y))
    p = b.insert(graph.WindowReduceOp(z, "max", (1, 2), (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)))
    m = b.insert(graph.ReshapeOp(b.insert(graph.ReduceOp(p, "sum", [1, 2])), (1, 40)))
    return b, b.module(b.insert(graph.SoftmaxOp(b.insert(graph.MatmulOp(m, b.constant(40, 100))))))


def movements(builder: type) -> tuple[Any, ModuleOp]:
    """Grouped convolution, concatenation in place and with a copy, strided and reversed slices, shared results."""
    b = builder([(2, 10, 12, 16)])
    x = b.block.args[0]
    a = b.insert(graph.ReluOp(b.insert(graph.ConvOp(x, b.constant(1, 1, 16, 24)))))
    c = b.insert(graph.ConvOp(x, b.constant(3, 3, 8, 20), (1, 1), (1, 1), (1, 1, 1, 1), 2))
    d = b.insert(graph.ConcatOp([a, b.insert(graph.SigmoidOp(c)), x], 3))
    e = b.insert(graph.TransposeOp(d, (0, 3, 1, 2)))
    e = b.insert(graph.SliceOp(e, (0, 1, 0, 11), (1, 2, 1, -1), (2, 29, 10, 12)))
    r = b.insert(graph.ReshapeOp(e, (2, 29, 120)))
    s = b.insert(graph.MatmulOp(r, b.insert(graph.TransposeOp(r, (0, 2, 1)))))
    return b, b.module(s, d, b.insert(graph.ReshapeOp(r, (58, 120))))


def perceptron(builder: type) -> tuple[Any, ModuleOp]:
    """A value used twice inside its group, a broadcast column, a reduction over a long axis."""
    b = builder([(70, 200), (200, 130), (70, 1)])
    x, w, v = b.block.args
    s = b.insert(graph.MatmulOp(x, w))
    t = b.insert(graph.AddOp(b.insert(graph.MulOp(s, b.insert(graph.TanhOp(s)))), v))
    u = b.insert(graph.AddOp(b.insert(graph.MatmulOp(t, b.constant(130, 33))), b.constant(33)))
    return b, b.module(b.insert(graph.MulOp(u, b.constant(1))), b.insert(graph.ReduceOp(x, "max", [0])))


@pytest.mark.parametrize("residency", [True, False])
@pytest.mark.parametrize("memory", MACHINES)
@pytest.mark.parametrize("model", [classifier, movements, perceptron])
def test_values(
    model: Any, memory: Any, residency: bool, graph_builder: Any, make_machine: Any, checked_lowering: Any
) -> None:
    built, module = model(graph_builder)
    checked_lowering(built, module, make_machine(*memory), residency=residency)


@RELAXED
@given(data=st.data())
def test_random_convolutions(data: st.DataObject, graph_builder: Any, make_machine: Any, checked_lowering: Any) -> None:
    """Any kernel, stride, dilation, padding and group count, on a machine that forces many tiles."""
    draw = data.draw
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    ci, co = groups * draw(st.integers(1, 9)), groups * draw(st.integers(1, 9))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = draw(st.tuples(*[st.integers(0, 3)] * 4))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    size = [draw(st.integers(max(1, r - pads[i] - pads[i + 2]), 17)) for i, r in enumerate(reach)]
    b = graph_builder([(draw(st.integers(1, 2)), *size, ci)])
    y = b.insert(graph.ConvOp(b.block.args[0], b.constant(*kernel, ci // groups, co), stride, dilation, pads, groups))
    module = b.module(b.insert(graph.ReluOp(b.insert(graph.AddOp(y, b.constant(co))))))
    checked_lowering(
        b, module, make_machine(draw(st.sampled_from([9_000, 1 << 20])), draw(st.sampled_from([512, 4096])))
    )


@RELAXED
@given(data=st.data())
def test_random_windows(data: st.DataObject, graph_builder: Any, make_machine: Any, checked_lowering: Any) -> None:
    draw = data.draw
    sizes = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pads = tuple(draw(st.integers(0, s - 1)) for s in (*sizes, *sizes))
    shape = (1, draw(st.integers(4, 15)), draw(st.integers(4, 15)), draw(st.integers(1, 40)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    b = graph_builder([shape])
    fn = draw(st.sampled_from(["max", "sum"]))
    y = b.insert(graph.WindowReduceOp(b.block.args[0], fn, (1, 2), sizes, stride, (1, 1), pads))
    checked_lowering(b, b.module(y), make_machine(draw(st.sampled_from([6_000, 1 << 20])), 4096))


def test_loops_stay_rolled(graph_builder: Any, make_machine: Any, lower_module: Any) -> None:
    """The number of operations does not grow with the number of tiles."""

    def ops(rows: int) -> int:
        b = graph_builder([(rows, 64)])
        module = b.module(b.insert(graph.MatmulOp(b.block.args[0], b.constant(64, 64))))
        return sum(1 for _ in lower_module(module, b.constants, make_machine(32_768, 8_192)).walk())

    assert ops(64_000) <= ops(640) + 20


def test_an_edited_schedule_is_obeyed(graph_builder: Any, make_machine: Any, lower_module: Any) -> None:
    """A person's schedule on a group decides the loops."""
    b = graph_builder([(64, 64)])
    module = b.module(b.insert(graph.MatmulOp(b.block.args[0], b.constant(64, 96))))
    _fuse_with(
        module,
        graph.ScheduleAttr.make(["n", "m", "k"], {"m": 16, "n": 32, "k": 8}, {"in0": 2, "in1": 2, "acc": 2, "out": 2}),
    )
    lowered = lower_module(module, b.constants, make_machine(1 << 20, 1 << 17))
    loops = [op for op in lowered.walk() if isinstance(op, scf.ForOp)]
    assert [loop.body.block.args[0].name_hint for loop in loops] == ["n", "m", "k"]
    assert next(op for op in lowered.walk() if isinstance(op, tile.GemmOp)).accumulate is not None


@pytest.mark.parametrize(
    ("order", "tiles", "message"),
    [
        (["n", "z"], {"n": 32}, "has no dim z"),
        (["n"], {"n": 32, "m": 16}, "m is split but not in the loop order"),
        (["k", "m"], {"k": 8, "m": 16}, "parallel loop stands inside a reduction loop"),
    ],
)
def test_a_wrong_schedule_is_refused(
    order: list[str], tiles: dict[str, int], message: str, graph_builder: Any, make_machine: Any, lower_module: Any
) -> None:
    b = graph_builder([(64, 64)])
    module = b.module(b.insert(graph.MatmulOp(b.block.args[0], b.constant(64, 96))))
    _fuse_with(module, graph.ScheduleAttr.make(order, tiles, {}))
    with pytest.raises(NpuError, match=message) as caught:
        lower_module(module, b.constants, make_machine(1 << 20, 1 << 17))
    assert caught.value.remedy and caught.value.entry.exit_code == 4


def _fuse_with(module: ModuleOp, schedule: graph.ScheduleAttr) -> None:
    from npucc.context import NpuContext
    from npucc.passes.graph.fuse import GraphFusePass

    GraphFusePass().apply(NpuContext(), module)
    next(op for op in module.walk() if isinstance(op, graph.GroupOp)).schedule = schedule


def test_too_small_a_machine_is_a_clear_error(graph_builder: Any, make_machine: Any, lower_module: Any) -> None:
    b = graph_builder([(4, 5000)])
    module = b.module(b.insert(graph.SoftmaxOp(b.block.args[0])))
    with pytest.raises(NpuError) as caught:
        lower_module(module, b.constants, make_machine(8_192, 512))
    assert caught.value.entry.code == "NPU-E0701"
    assert "graph.softmax" in caught.value.where and "bytes of SRAM at least" in caught.value.found


def test_scalar_constants_become_immediates(graph_builder: Any, make_machine: Any, lower_module: Any) -> None:
    b = graph_builder([(8, 8)])
    module = b.module(b.insert(graph.AddOp(b.insert(graph.MulOp(b.block.args[0], b.constant(1))), b.constant(1, 1))))
    lowered = lower_module(module, b.constants, make_machine(1 << 20, 1 << 17))
    assert not [op for op in lowered.walk() if isinstance(op, tile.ConstantOp)]
    assert len([op for op in lowered.walk() if isinstance(op, tile.MapOp)]) == 1


def test_nan_free_inputs_give_nan_free_outputs(graph_builder: Any, make_machine: Any, checked_lowering: Any) -> None:
    """Buffers start as NaN in the interpreter, so a tile that is read but never written would show."""
    built, module = classifier(graph_builder)
    checked_lowering(built, module, make_machine(12_000, 2_048))
    assert all(np.isfinite(x).all() for x in built.inputs)
