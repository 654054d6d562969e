"""Every tile operation alone: lowered, simulated, and compared with the tile interpreter and with NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from checking import check_values, random, store
from npucc.dialects import tile
from npucc.passes.npu.operations import form_of
from npuisa.instructions import BY_MNEMONIC, AccMode, DmaFill, MxGemm, QSync, VReduce
from npuisa.program import Program
from tile_builder import TileProgram
from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue
from xdsl.ir.affine import AffineDimExpr, AffineMap

Arrays = dict[str, np.ndarray]


class OneOperation:
    """Loads its inputs to SRAM, runs what the test adds, stores one result."""

    def __init__(self, inputs: Arrays, out_shape: Sequence[int], out_dtype: str = "f32") -> None:
        self.inputs = inputs
        names = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16", np.dtype(np.int32): "i32"}
        self.types = {name: (array.shape, names[array.dtype]) for name, array in inputs.items()}
        self.p = TileProgram(self.types, {"y": (out_shape, out_dtype)})
        self.out_shape, self.out_dtype = out_shape, out_dtype

    def run(self, build, *, acc: bool = False, tolerance: float = 1e-6) -> Program:
        """`build(sources.., dst)` adds the operation; with `acc` its destination is an accumulator."""
        p = self.p
        with p.group("g"):
            pools = {name: p.pool(name, "sram", 1, 4096) for name in [*self.types, "y"]}
            acc_pool = p.pool("acc", "acc", 1, 4096)
            buffers = {name: p.acquire(pools[name], *type_) for name, type_ in self.types.items()}
            for name, buffer in buffers.items():
                p.add(tile.CopyOp(p.args[name], buffer))
            y = p.acquire(pools["y"], self.out_shape, self.out_dtype)
            dst: SSAValue = p.acquire(acc_pool, self.out_shape, "f32") if acc else y
            build(*buffers.values(), dst)
            if acc:
                p.map([dst], y, [f32], lambda builder, a: a, engine="out")
            p.add(tile.CopyOp(y, p.args["y"], "dma2"))
        return check_values(p.finish(), self.inputs, store(), tolerance)


def test_every_tile_operation_has_an_instruction() -> None:
    from npucc.passes.npu.operations import FORMS

    operations = {op for op in tile.Tile.operations if issubclass(op, tile.InstructionOp)}
    assert operations - FORMS.keys() == set(), "say in passes/npu/operations.py what these become"


@pytest.mark.parametrize("engine", ["vx", "mx"])
def test_depthwise_convolution(engine: str) -> None:
    one = OneOperation({"x": random((1, 6, 5, 3)), "w": random((3, 3, 3), seed=1)}, (1, 3, 3, 3))
    program = one.run(
        lambda x, w, dst: one.p.add(tile.DwconvOp(x, w, dst, (2, 2), (1, 1), (1, 1), engine)),
        acc=engine == "mx",
        tolerance=2e-3,
    )
    (used,) = [i for i in program.instructions if i.mnemonic.endswith("dwconv")]
    assert used.mnemonic == ("mx.dwconv" if engine == "mx" else "v.dwconv")
    assert (used.stride_h, used.pad_w, used.dilation_h) == (2, 1, 1)


def test_grouped_dilated_convolution() -> None:
    one = OneOperation({"x": random((2, 7, 6, 4)), "w": random((3, 2, 2, 6), seed=1)}, (2, 4, 6, 6))
    one.run(lambda x, w, dst: one.p.add(tile.ConvOp(x, w, dst, (1, 1), (2, 1), (1, 0), 2)), acc=True, tolerance=2e-3)


@pytest.mark.parametrize("fn", ["sum", "max", "min", "prod"])
def test_reduction_over_several_axes(fn: str) -> None:
    one = OneOperation({"x": random((3, 4, 5), np.float32)}, (1, 4, 1))
    one.run(lambda x, dst: one.p.add(tile.ReduceOp(x, dst, fn, [0, 2])), tolerance=1e-5)


def test_reduction_accumulates_over_a_loop() -> None:
    one = OneOperation({"x": random((6, 4), np.float32)}, (1, 4))

    def build(x: SSAValue, dst: SSAValue) -> None:
        with one.p.loop(0, 6, 2) as i:
            one.p.add(tile.ReduceOp(one.p.view(x, [i, 0], [2, 4]), dst, "sum", [0], accumulate=i))

    program = one.run(build, tolerance=1e-5)
    (reduce,) = [i for i in program.instructions if isinstance(i, VReduce)]
    assert reduce.mode is AccMode.ADD_IF and reduce.axes == 1


@pytest.mark.parametrize("fn", ["sum", "max"])
def test_window(fn: str) -> None:
    one = OneOperation({"x": random((1, 6, 7, 2), np.float32)}, (1, 3, 7, 2))
    one.run(lambda x, dst: one.p.add(tile.WindowOp(x, dst, fn, [1, 2], [3, 2], [2, 1], [1, 2], [1, 1])), tolerance=1e-5)


@pytest.mark.parametrize("fn", ["softmax", "log_softmax"])
def test_norm_merges_leading_axes(fn: str) -> None:
    one = OneOperation({"x": random((2, 3, 4), np.float32)}, (2, 3, 4))
    program = one.run(lambda x, dst: one.p.add(tile.NormOp(x, dst, fn)), tolerance=1e-5)
    assert (6, 4) in [descriptor.dims for descriptor in program.descriptors]


@pytest.mark.parametrize("engine", ["vx", "dma1"])
@pytest.mark.parametrize("rows", [True, False])
def test_gather(engine: str, rows: bool) -> None:
    places = np.random.default_rng(1).integers(-8, 8, (1 if rows else 2, 5, 1 if rows else 3)).astype(np.int32)
    one = OneOperation({"x": random((2, 7, 3), np.float32), "i": places}, (2, 5, 3))
    program = one.run(lambda x, i, dst: one.p.add(tile.GatherOp(x, i, dst, engine)))
    (used,) = [i for i in program.instructions if i.mnemonic.endswith("gather")]
    assert used.mnemonic == ("v.gather" if engine == "vx" else "dma.gather")


@pytest.mark.parametrize("engine", ["vx", "dma1"])
@pytest.mark.parametrize("fn", ["none", "add", "mul", "min", "max"])
def test_scatter(engine: str, fn: str) -> None:
    places = np.random.default_rng(1).integers(-5, 5, (1, 9, 1)).astype(np.int32)
    inputs = {"x": random((2, 4, 3), np.float32), "u": random((2, 9, 3), np.float32, 1), "i": places}
    one = OneOperation(inputs, (2, 4, 3))

    def build(x: SSAValue, updates: SSAValue, indices: SSAValue, dst: SSAValue) -> None:
        one.p.add(tile.CopyOp(x, dst, "dma1"))
        one.p.add(tile.ScatterOp(updates, indices, dst, fn, engine))

    one.run(build)


@pytest.mark.parametrize("value, dtype", [(float("-inf"), "f32"), (0.5, "f16"), (-7, "i32"), (2, "f32")])
def test_fill(value: float, dtype: str) -> None:
    one = OneOperation({}, (3, 5), dtype)

    def build(dst: SSAValue) -> None:
        one.p.add(tile.FillOp(one.p.view(dst, [0, 0], [3, 5]), value, "dma3"))

    program = one.run(build)
    (fill,) = [i for i in program.instructions if isinstance(i, DmaFill)]
    assert program.descriptors[fill.dst.desc].fill == value and program.descriptors[fill.dst.desc].dims == (15,)


def test_copy_converts_and_strides() -> None:
    one = OneOperation({"x": random((4, 6), np.float32)}, (2, 3), "f16")

    def build(x: SSAValue, dst: SSAValue) -> None:
        one.p.add(tile.CopyOp(one.p.view(x, [1, 0], [2, 3], [2, 2]), dst, "dma1"))

    one.run(build)


def test_batched_product_with_maps() -> None:
    """a stored transposed; b shared by the first batch axis (broadcast)."""
    d = [AffineDimExpr(i) for i in range(5)]
    a_map = AffineMap(5, 0, (d[0], d[1], d[4], d[2]))
    b_map = AffineMap.from_callable(lambda b0, b1, m, n, k: (0, b1, k, n))
    one = OneOperation({"a": random((2, 3, 5, 4)), "b": random((1, 3, 5, 6), seed=1)}, (2, 3, 4, 6))
    one.run(lambda a, b, dst: one.p.add(tile.GemmOp(a, b, dst, a_map=a_map, b_map=b_map)), acc=True, tolerance=2e-3)


def test_batch_axes_that_stay_together_are_one() -> None:
    one = OneOperation({"a": random((2, 3, 4, 5)), "b": random((2, 3, 5, 6), seed=1)}, (2, 3, 4, 6))
    program = one.run(lambda a, b, dst: one.p.add(tile.GemmOp(a, b, dst)), acc=True, tolerance=2e-3)
    (gemm,) = [i for i in program.instructions if isinstance(i, MxGemm)]
    assert program.descriptors[gemm.a.desc].dims == (6, 4, 5)


def test_sync_counts() -> None:
    form = form_of(tile.SyncOp("vx", ["a"], ["b"], 3))
    assert form.mnemonic == QSync.mnemonic and form.fields == {"count": 3}
    assert form_of(tile.SyncOp("vx", ["a"], ["b"], 1)).fields == {}


def test_fields_of_forms_exist_in_the_table() -> None:
    """A misspelt field would only fail when that operation is used with a value that is not the default."""
    x, dst = (TileProgram({"x": ((1, 9, 9, 2), "f16")}, {}).args["x"] for _ in range(2))
    window = tile.WindowOp(x, dst, "sum", [1, 2], [3, 3], [2, 2], [2, 2], [1, 1])
    conv = tile.ConvOp(x, x, dst, (2, 2), (2, 2), (1, 1), 2)
    depthwise = tile.DwconvOp(x, x, dst, (2, 2), (2, 2), (1, 1))
    for op in (window, conv, depthwise, tile.ReduceOp(x, dst, "sum", [1]), tile.NormOp(x, dst, "softmax")):
        form = form_of(op)
        fields = {name for name, _ in BY_MNEMONIC[form.mnemonic].fields()}
        assert form.fields.keys() <= fields
        assert {operand.field for operand in form.operands} <= fields
