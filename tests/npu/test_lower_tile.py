"""Handwritten tile programs, lowered, emitted and simulated: the values of the tile interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from checking import check_values, lower, random, store
from npucc.dialects import tile
from npucc.emit import emit_program
from npuisa.instructions import AccMode, MxGemm, SLoop
from npuisa.program import Increment
from tile_builder import TileProgram
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, ModuleOp, f32
from xdsl.ir.affine import AffineDimExpr, AffineMap


def gelu_gemm() -> ModuleOp:
    """gelu(x @ w + b) with double-buffered weight, accumulator and result tiles."""
    m, k, n, step = 6, 16, 24, 8
    p = TileProgram({"x": ((m, k), "f16")}, {"y": ((m, n), "f16")})
    w, b = p.constant("w", (k, n), "f16"), p.constant("b", (n,), "f16")
    with p.group("fc1", ["/fc1/MatMul", "/fc1/Gelu"]):
        pools = [
            p.pool("xs", "sram", 1, 2 * m * k),
            p.pool("bs", "sram", 1, 2 * n),
            p.pool("ws", "sram", 2, 2 * k * step),
            p.pool("acc", "acc", 2, 4 * m * step),
            p.pool("ys", "sram", 2, 2 * m * step),
        ]
        xs, bs = p.acquire(pools[0], (m, k), "f16"), p.acquire(pools[1], (n,), "f16")
        p.add(tile.CopyOp(p.args["x"], xs, "dma0"), posts=["x_full"])
        p.add(tile.CopyOp(b, bs, "dma0"), posts=["b_full"])
        p.add(tile.SyncOp("mx", waits=["x_full"]))
        p.add(tile.SyncOp("out", waits=["b_full"]))
        with p.loop(0, n, step) as i:
            ws = p.acquire(pools[2], (k, step), "f16")
            acc = p.acquire(pools[3], (m, step), "f32")
            ys = p.acquire(pools[4], (m, step), "f16")
            p.add(tile.CopyOp(p.view(w, [0, i], [k, step]), ws, "dma1"), ["w_free"], ["w_full"])
            p.add(tile.GemmOp(xs, ws, acc), ["w_full", "acc_free"], ["w_free", "acc_full"])
            bias_map = AffineMap(2, 0, (AffineDimExpr(1),))
            p.map(
                [acc, p.view(bs, [i], [step])],
                ys,
                [f32, f32],
                gelu_body,
                [AffineMap.identity(2), bias_map],
                "out",
                ["acc_full", "y_free"],
                ["acc_free", "y_full"],
            )
            p.add(tile.CopyOp(ys, p.view(p.args["y"], [0, i], [m, step]), "dma2"), ["y_full"], ["y_free"])
    semaphores = {"w_free": 2, "acc_free": 2, "y_free": 2, "w_full": 0, "acc_full": 0, "y_full": 0}
    return p.finish(semaphores | {"x_full": 0, "b_full": 0})


def gelu_body(builder, a, c):
    """0.5 * v * (1 + erf(v / sqrt 2)) of v = a + c."""
    constant = lambda value: builder.insert(arith.ConstantOp(FloatAttr(value, f32))).result  # noqa: E731
    one, half, root = constant(1.0), constant(0.5), constant(0.5**0.5)
    v = builder.insert(arith.AddfOp(a, c)).result
    erf = builder.insert(math.ErfOp(builder.insert(arith.MulfOp(v, root)).result)).result
    factor = builder.insert(arith.MulfOp(builder.insert(arith.AddfOp(erf, one)).result, half)).result
    return builder.insert(arith.MulfOp(v, factor)).result


def test_double_buffered_gemm_reads_like_the_example() -> None:
    module = gelu_gemm()
    constants = store(w=random((16, 24), seed=1), b=random((24,), seed=2))
    program = check_values(module, {"x": random((6, 16))}, constants, 2e-3)
    mnemonics = [type(i).mnemonic for i in program.instructions]
    assert mnemonics == [
        *["dma.copy", "dma.copy", "q.sync", "q.sync", "s.loop"],
        *["dma.copy", "mx.gemm", "out.store", "dma.copy", "s.halt"],
    ]
    loop = next(i for i in program.instructions if isinstance(i, SLoop))
    assert loop.count == 3 and loop.end == 9
    moves = sorted((i.step, i.modulus) for i in program.loops[loop.step].increments)
    # weights and accumulators: 256 and 192 bytes of two slots each, results 96 of 192, and 8 columns of f16
    assert moves == [(16, 0), (96, 192), (192, 384), (256, 512)]
    assert program.debug[5].nodes == ("/fc1/MatMul", "/fc1/Gelu")
    assert program.debug[5].tile_op == "tile.copy 16x8xf16"
    assert np.shares_memory(program.constants["w"], constants["w"])


def test_text_parses_back() -> None:
    from npucc.driver import make_context
    from xdsl.parser import Parser

    lowered = lower(gelu_gemm())
    text = str(lowered)
    again = Parser(make_context(), text).parse_module()
    again.verify()
    assert again.is_structurally_equivalent(lowered)
    assert str(again) == text


def test_accumulation_over_a_reduction_loop_uses_one_instruction() -> None:
    m, k, n = 4, 12, 8
    p = TileProgram({"x": ((m, k), "f32"), "w": ((k, n), "f32")}, {"y": ((m, n), "f32")})
    with p.group("g"):
        xs_pool, ws_pool = p.pool("xs", "sram", 2, 4 * m * 4), p.pool("ws", "sram", 3, 4 * 4 * n)
        acc_pool, ys_pool = p.pool("acc", "acc", 1, 4 * m * n), p.pool("ys", "sram", 1, 4 * m * n)
        acc = p.acquire(acc_pool, (m, n), "f32")
        with p.loop(0, k, 4) as i:
            xs, ws = p.acquire(xs_pool, (m, 4), "f32"), p.acquire(ws_pool, (4, n), "f32")
            p.add(tile.CopyOp(p.view(p.args["x"], [0, i], [m, 4]), xs))
            p.add(tile.CopyOp(p.view(p.args["w"], [i, 0], [4, n]), ws))
            p.add(tile.GemmOp(xs, ws, acc, accumulate=i))
        ys = p.acquire(ys_pool, (m, n), "f32")
        p.map([acc], ys, [f32], lambda builder, a: a, engine="out")
        p.add(tile.CopyOp(ys, p.args["y"]))
    inputs = {"x": random((m, k), np.float32), "w": random((k, n), np.float32, 1)}
    program = check_values(p.finish(), inputs, store(), 1e-5)
    (gemm,) = [i for i in program.instructions if isinstance(i, MxGemm)]
    assert gemm.mode is AccMode.ADD_IF and gemm.pred != 0
    (loop,) = [i for i in program.instructions if isinstance(i, SLoop)]
    # the predicate is the register that walks the rows or columns of a source: no extra increment
    assert (
        Increment(gemm.pred, 16) in program.loops[loop.step].increments
        or Increment(gemm.pred, 128) in program.loops[loop.step].increments
    )
    assert len(program.loops[loop.step].increments) == 4


@pytest.mark.parametrize("lower_bound, expected", [(0, AccMode.ADD_IF), (4, AccMode.ADD)])
def test_accumulation_in_a_later_segment_always_adds(lower_bound: int, expected: AccMode) -> None:
    p = TileProgram({"x": ((4, 12), "f32"), "w": ((12, 8), "f32")}, {"y": ((4, 8), "f32")})
    with p.group("g"):
        acc = p.acquire(p.pool("acc", "acc", 1, 128), (4, 8), "f32")
        xs = p.acquire(_pool_first(p, "xs", 4 * 48), (4, 12), "f32")
        ws = p.acquire(_pool_first(p, "ws", 4 * 96), (12, 8), "f32")
        with p.loop(lower_bound, 12, 4) as i:
            p.add(tile.GemmOp(p.view(xs, [0, i], [4, 4]), p.view(ws, [i, 0], [4, 8]), acc, accumulate=i))
    program = emit_program(lower(p.finish()), store())
    (gemm,) = [i for i in program.instructions if isinstance(i, MxGemm)]
    assert gemm.mode is expected


def _pool_first(p: TileProgram, name: str, size: int):
    """A pool declared before the code that exists already."""
    block = p.builder.insertion_point.block
    pools = [op for op in block.ops if isinstance(op, tile.PoolOp)]
    pool = tile.PoolOp("sram", 1, size, name, p._place("sram", size))
    block.insert_op_after(pool, pools[-1])
    return pool.result


def test_convolution_in_three_segments() -> None:
    """Rows of a padded 3x3 convolution: first tile (pad above), middle tiles in a loop, last (pad below)."""
    h, w, ci, co = 10, 5, 3, 4
    p = TileProgram({"x": ((1, h, w, ci), "f16"), "k": ((3, 3, ci, co), "f16")}, {"y": ((1, h, w, co), "f16")})
    with p.group("conv"):
        xs_pool, ks_pool = p.pool("xs", "sram", 2, 2 * 4 * w * ci), p.pool("ks", "sram", 1, 2 * 9 * ci * co)
        acc_pool, ys_pool = p.pool("acc", "acc", 2, 4 * 2 * w * co), p.pool("ys", "sram", 2, 2 * 2 * w * co)
        ks = p.acquire(ks_pool, (3, 3, ci, co), "f16")
        p.add(tile.CopyOp(p.args["k"], ks, "dma1"))

        def rows(start, first_row: int, count: int, pad: int) -> None:
            xs = p.acquire(xs_pool, (1, count, w, ci), "f16")
            acc, ys = p.acquire(acc_pool, (1, 2, w, co), "f32"), p.acquire(ys_pool, (1, 2, w, co), "f16")
            top = p.builder.insert(arith.AddiOp(start, p.index(first_row))).result
            p.add(tile.CopyOp(p.view(p.args["x"], [0, top, 0, 0], [1, count, w, ci]), xs, "dma0"))
            p.add(tile.ConvOp(xs, ks, acc, pads_lo=(pad, 1)))
            p.map([acc], ys, [f32], lambda b, a: b.insert(math.TanhOp(a)).result, engine="out")
            p.add(tile.CopyOp(ys, p.view(p.args["y"], [0, start, 0, 0], [1, 2, w, co]), "dma2"))

        with p.loop(0, 2, 2) as i:
            rows(i, 0, 3, 1)
        with p.loop(2, 8, 2) as i:
            rows(i, -1, 4, 0)
        with p.loop(8, 10, 2) as i:
            rows(i, -1, 3, 0)
    inputs = {"x": random((1, h, w, ci)), "k": random((3, 3, ci, co), seed=3)}
    program = check_values(p.finish(), inputs, store(), 2e-3)
    assert sum(isinstance(i, SLoop) for i in program.instructions) == 1


def test_maps_with_transposes_and_broadcasts() -> None:
    d0, d1, d2 = (AffineDimExpr(i) for i in range(3))
    p = TileProgram({"a": ((4, 2, 3), "f32"), "b": ((4, 1), "f16")}, {"y": ((2, 3, 4), "f32")})
    with p.group("g"):
        pools = [p.pool(name, "sram", 1, 256) for name in ("as", "bs", "ys")]
        a, b = p.acquire(pools[0], (4, 2, 3), "f32"), p.acquire(pools[1], (4, 1), "f16")
        y = p.acquire(pools[2], (2, 3, 4), "f32")
        p.add(tile.CopyOp(p.args["a"], a))
        p.add(tile.CopyOp(p.args["b"], b))
        maps = [AffineMap(3, 0, (d2, d0, d1)), AffineMap.from_callable(lambda i, j, k: (k, 0))]
        p.map([a, b], y, [f32, f32], lambda s, u, v: s.insert(arith.SubfOp(u, v)).result, maps)
        p.add(tile.CopyOp(y, p.args["y"]))
    program = check_values(p.finish(), {"a": random((4, 2, 3), np.float32), "b": random((4, 1))}, store(), 1e-6)
    used = {d.name: (d.dims, d.strides) for d in program.descriptors}
    # (2, 3) is contiguous in all three operands, so the map runs over two axes
    assert ((6, 4), (1, 6)) in used.values() and ((6, 4), (0, 1)) in used.values()
