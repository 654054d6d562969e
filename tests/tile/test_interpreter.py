# ruff: noqa: E501 (program text)
"""The tile interpreter against references written as loops or by ONNX."""

from __future__ import annotations

import math

import numpy as np
import pytest
from npucc.constants import ConstantStore
from npucc.interpreters import tile_compute as compute
from npucc.interpreters.tile import run_tile
from npuisa.errors import NpuError
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from tile_text import parse
from xdsl.ir.affine import AffineMap

RNG = np.random.default_rng(3)
F32, I32 = np.dtype(np.float32), np.dtype(np.int32)


def onnx_conv(x: np.ndarray, w: np.ndarray, **attributes: object) -> np.ndarray:
    """Convolution of channels-last x with w [kh, kw, ci, co] by ONNX's reference."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    tensors = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, None) for n in "xwy"]
    model = helper.make_model(helper.make_graph([node], "g", tensors[:2], tensors[2:]))
    feeds = {"x": np.moveaxis(x, 3, 1).astype(np.float64), "w": w.transpose(3, 2, 0, 1).astype(np.float64)}
    (result,) = ReferenceEvaluator(model).run(None, feeds)
    return np.moveaxis(result, 1, 3)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("strides", "dilations", "pads"), [((1, 1), (1, 1), (1, 1)), ((2, 1), (1, 2), (0, 2))])
def test_conv(groups: int, strides: tuple[int, int], dilations: tuple[int, int], pads: tuple[int, int]) -> None:
    x = RNG.standard_normal((2, 9, 8, 4)).astype(np.float32)
    w = RNG.standard_normal((3, 2, 4 // groups, 8)).astype(np.float32)
    expected = onnx_conv(x, w, group=groups, strides=strides, dilations=dilations, pads=[*pads, *pads])
    geometry = tuple(zip(strides, dilations, pads))
    found = compute.conv(x, w, expected.shape[1:3], geometry, groups, F32)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_depthwise() -> None:
    x = RNG.integers(-100, 100, (1, 7, 7, 5)).astype(np.int8)
    w = RNG.integers(-100, 100, (3, 3, 5)).astype(np.int8)
    expected = onnx_conv(x, w[:, :, None, :], group=5, strides=(2, 2), pads=[1, 1, 1, 1])
    found = compute.depthwise(x, w, expected.shape[1:3], ((2, 1, 1), (2, 1, 1)))
    assert found.dtype == I32 and (found == expected).all()


def test_gemm_maps() -> None:
    a = RNG.integers(-128, 128, (3, 5, 4)).astype(np.int8)
    b = RNG.integers(-128, 128, (6, 4)).astype(np.int8)
    a_map = AffineMap.from_callable(lambda n, i, j, k: (n, i, k))
    b_map = AffineMap.from_callable(lambda n, i, j, k: (j, k))
    found = compute.gemm(a, b, (a_map, b_map), I32)
    expected = [
        [[sum(int(a[n, i, k]) * int(b[j, k]) for k in range(4)) for j in range(6)] for i in range(5)] for n in range(3)
    ]
    assert (found == np.array(expected)).all()


def test_integer_products_wrap() -> None:
    a = np.full((1, 3), 2**30, np.int32)
    maps = (AffineMap.from_callable(lambda m, n, k: (m, k)), AffineMap.from_callable(lambda m, n, k: (k, n)))
    found = compute.gemm(a, np.full((3, 1), 4, np.int32), maps, I32)
    assert found.item() == (3 * 4 * 2**30 + 2**31) % 2**32 - 2**31


def test_window_ignores_padding() -> None:
    x = RNG.standard_normal((1, 4, 5, 2)).astype(np.float32) - 10
    geometry = ((2, 1, 1), (1, 2, 1))
    found = {fn: compute.window(x, fn, (1, 2), (3, 2), (2, 5), geometry) for fn in ("max", "sum", "min", "prod")}
    for i in range(2):
        for j in range(5):
            rows = [r for r in range(2 * i - 1, 2 * i + 2) if 0 <= r < 4]
            cols = [c for c in (j - 1, j + 1) if 0 <= c < 5]
            inside = x[0][np.ix_(rows, cols)].reshape(-1, 2)
            for fn, function in (("max", np.max), ("sum", np.sum), ("min", np.min), ("prod", np.prod)):
                np.testing.assert_allclose(found[fn][0, i, j], function(inside, axis=0), rtol=1e-5)


def test_reduce_and_norm() -> None:
    x = RNG.standard_normal((3, 4, 5)).astype(np.float16)
    before = RNG.standard_normal((3, 1, 1)).astype(np.float32)
    found = compute.reduce(x, "sum", (1, 2), before)
    assert found.dtype == F32
    np.testing.assert_allclose(found, before + x.astype(np.float64).sum((1, 2), keepdims=True), rtol=1e-4, atol=1e-4)
    wide = x.astype(np.float64)
    softmax = np.exp(wide) / np.exp(wide).sum(-1, keepdims=True)
    np.testing.assert_allclose(compute.norm(x, "softmax"), softmax, rtol=1e-5)
    np.testing.assert_allclose(compute.norm(x, "log_softmax"), np.log(softmax), rtol=1e-4, atol=1e-5)


KERNEL = """
func.func @main(%x: memref<2x3x{x}, #dram>, %z: memref<3x{x}, #dram>, %y: memref<2x3x{y}, #dram>) attributes {{npucc.inputs = ["x", "z"], npucc.outputs = ["y"]}} {{
  tile.group "g" index 0 nodes [] {{
    %p = tile.pool "p" in <sram> depth 3 slot_bytes 256
    %xs = tile.acquire %p : memref<2x3x{x}, #sram>
    %zs = tile.acquire %p : memref<3x{x}, #sram>
    %ys = tile.acquire %p : memref<2x3x{y}, #sram>
    tile.copy %x -> %xs engine "dma0" : memref<2x3x{x}, #dram> -> memref<2x3x{x}, #sram>
    tile.copy %z -> %zs engine "dma0" : memref<3x{x}, #dram> -> memref<3x{x}, #sram>
    tile.map ins(%xs, %zs : memref<2x3x{x}, #sram>, memref<3x{x}, #sram>) outs(%ys : memref<2x3x{y}, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] engine "vx" {{
    ^bb0(%a: {c}, %b: {c}):
      {body}
      tile.yield %r : {r}
    }}
    tile.copy %ys -> %y engine "dma0" : memref<2x3x{y}, #sram> -> memref<2x3x{y}, #dram>
  }}
  func.return
}}
"""


def kernel(body: str, x: np.ndarray, z: np.ndarray, types: str) -> np.ndarray:
    """Run a kernel on x [2, 3] and z [3] (broadcast); `types`: element of x and z, of y, compute type, result type."""
    names = dict(zip(("x", "y", "c", "r"), types.split()))
    (result,) = run_tile(parse(KERNEL.format(body=body, **names)), [x, z], ConstantStore())
    return result


X = np.array([[0.5, -1.25, 3.0], [2.0, 0.0, -0.75]])
Z = np.array([1.5, -2.0, 0.25])


@pytest.mark.parametrize(
    ("body", "function"),
    [
        ("%r = arith.divf %a, %b : f32", lambda a, b: a / b),
        ('%r = "math.erf"(%a) : (f32) -> f32', lambda a, b: np.vectorize(math.erf)(a)),
        ("%r = arith.minimumf %a, %b : f32", np.minimum),
        ("%l = arith.cmpf olt, %a, %b : f32\n%r = arith.select %l, %b, %a : f32", np.maximum),
        ('%r = "tile.remf"(%a, %b) : (f32, f32) -> f32', np.fmod),
        ("%i = arith.fptosi %a : f32 to i32\n%r = arith.sitofp %i : i32 to f32", lambda a, b: np.trunc(a)),
        ('%r = "math.roundeven"(%a) <{fastmath = #arith.fastmath<none>}> : (f32) -> f32', lambda a, b: np.round(a)),
    ],
)
def test_kernels(body: str, function) -> None:
    found = kernel(body, X, Z, "f32 f32 f32 f32")
    np.testing.assert_allclose(found, function(X, np.broadcast_to(Z, X.shape)), rtol=1e-6, atol=1e-6)


def test_kernel_converts_on_load_and_store() -> None:
    found = kernel("%r = arith.mulf %a, %b : f32", X, Z, "f16 i8 f32 f32")
    assert found.dtype == np.int8 and (found == np.trunc(X * Z)).all()
    found = kernel("%r = arith.cmpf oeq, %a, %b : f32", X, np.array([0.5, 0.0, 3.0]), "bf16 i1 f32 i1")
    assert found.dtype == np.bool_ and (found == (np.array([0.5, 0.0, 3.0]) == X)).all()


def test_unwritten_memory_is_nan() -> None:
    module = parse("""
func.func @main(%x: memref<4xf32, #dram>, %y: memref<4xf32, #dram>, %z: memref<4xui8, #dram>) attributes {npucc.inputs = ["x"], npucc.outputs = ["y", "z"]} {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 16
    %xs = tile.acquire %p : memref<4xf32, #sram>
    tile.copy %xs -> %y engine "dma0" : memref<4xf32, #sram> -> memref<4xf32, #dram>
  }
  func.return
}""")
    y, z = run_tile(module, [np.zeros(4)], ConstantStore())
    assert np.isnan(y).all() and (z == 0x5A).all()


BAD = """
func.func @main(%x: memref<4xf32, #dram>, %y: memref<4xf32, #dram>) attributes {{npucc.inputs = ["x"], npucc.outputs = ["y"]}} {{
  %k = tile.constant @k : memref<4xf32, #dram>
  tile.group "g" index 0 nodes [] {{
    %c0 = arith.constant 0 : index
    %v = memref.subview %y[{start}] [2] [1] : memref<4xf32, #dram> to memref<2xf32, strided<[1], offset: {start}>, #dram>
    %u = memref.subview %x[0] [2] [1] : memref<4xf32, #dram> to memref<2xf32, strided<[1]>, #dram>
    tile.copy %u -> %v engine "dma0" : memref<2xf32, strided<[1]>, #dram> -> memref<2xf32, strided<[1], offset: {start}>, #dram>
  }}
  func.return
}}"""


def test_errors_name_what_is_wrong() -> None:
    constants = ConstantStore()
    with pytest.raises(NpuError, match="no such symbol"):
        run_tile(parse(BAD.format(start=0)), [np.zeros(4)], constants)
    constants.add("k", np.zeros(4, np.float32))
    with pytest.raises(NpuError, match="elements 3 to 5 of 4"):
        run_tile(parse(BAD.format(start=3)), [np.zeros(4)], constants)
    with pytest.raises(NpuError, match="wrong shape"):
        run_tile(parse(BAD.format(start=0)), [np.zeros(5)], constants)
    with pytest.raises(NpuError, match="its inputs, then its outputs"):
        run_tile(parse(BAD.format(start=0)), [], constants)
    with pytest.raises(NpuError, match="has no func"):
        run_tile(parse("func.func @other() {\n func.return\n}"), [], constants)
