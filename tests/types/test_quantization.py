"""QuantizeLinear and DequantizeLinear: every type, granularity and option, against onnx.reference."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from npucc.reference import run_reference
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from running import run_everywhere, same

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
F8 = (T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ)
INTEGERS = (T.INT8, T.UINT8, T.INT16, T.UINT16, T.INT4, T.UINT4, T.INT2, T.UINT2)
QUANTIZED = (*INTEGERS, *F8, T.FLOAT4E2M1, T.FLOAT6E2M3, T.FLOAT6E3M2)
SHAPE = (3, 6, 5)
GRANULARITIES = {"tensor": (), "axis 1": (6,), "blocks of 4": (3, 2, 5)}
name_of = T.DataType.Name


def numpy_type(number: int) -> np.dtype:
    return np.dtype(helper.tensor_dtype_to_np_dtype(number))


def model_of(op: str, arrays: dict[str, np.ndarray], output: int, **attributes: object) -> onnx.ModelProto:
    """One node on input x; scale and zero point are constants."""
    node = helper.make_node(op, list(arrays), ["y"], **attributes)
    x = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(arrays["x"].dtype), arrays["x"].shape)
    y = helper.make_tensor_value_info("y", output, arrays["x"].shape)
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items() if name != "x"]
    graph = helper.make_graph([node], "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)], ir_version=13)


def operands(granularity: str, scale_type: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """x, scale, attributes. Half of the quotients of one scale are ties."""
    rng = np.random.default_rng(seed)
    shape = GRANULARITIES[granularity]
    scale = (2.0 ** rng.integers(-3, 3, shape)).astype(numpy_type(scale_type))
    x = rng.integers(-600, 600, SHAPE) / 8 * (rng.random(SHAPE) > 0.05)
    attributes = {} if not shape else {"axis": 1}
    return x, scale, attributes | ({"block_size": 4} if len(shape) > 1 else {})


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("target", QUANTIZED, ids=name_of)
def test_quantize(target, granularity):
    x, scale, attributes = operands(granularity, T.FLOAT)
    arrays = {"x": x.astype(np.float32), "scale": scale}
    if target in INTEGERS:
        zero = np.random.default_rng(1).integers(0, 2, scale.shape)
        arrays["zero"] = np.asarray(zero).astype(numpy_type(target))
    model = model_of("QuantizeLinear", arrays, target, output_dtype=target, **attributes)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": arrays["x"]})
    assert same(run_everywhere(model, {"x": arrays["x"]}), expected)


@pytest.mark.parametrize("saturate", [1, 0])
@pytest.mark.parametrize("target", F8, ids=name_of)
def test_quantize_to_float8_beyond_the_range(target, saturate):
    x = np.array([0, -0.0, 1e3, -1e3, 1e6, -1e6, np.inf, -np.inf, np.nan, 447, 465, 57345, 1e-9], np.float32)
    model = model_of("QuantizeLinear", {"x": x, "scale": np.float32(1)}, target, output_dtype=target, saturate=saturate)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert same(run_everywhere(model, {"x": x}), expected)


@pytest.mark.parametrize("precision", [0, T.FLOAT, T.FLOAT16, T.BFLOAT16])
@pytest.mark.parametrize("kind", [T.FLOAT16, T.BFLOAT16, T.FLOAT, T.INT32], ids=name_of)
def test_the_quotient_has_the_precision_asked_for(kind, precision):
    """Thirds of numbers, some of which round to a tie in 16 bits."""
    rng = np.random.default_rng(2)
    x = (rng.integers(-300, 300, (400,)) / (1 if kind == T.INT32 else 8)).astype(numpy_type(kind))
    scale = np.array(3, np.float32 if kind == T.INT32 else numpy_type(kind))
    model = model_of("QuantizeLinear", {"x": x, "scale": scale}, T.INT8, output_dtype=T.INT8, precision=precision)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert same(run_everywhere(model, {"x": x}), expected)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("source", (*QUANTIZED, T.INT32), ids=name_of)
def test_dequantize(source, granularity):
    _, scale, attributes = operands(granularity, T.FLOAT, 3)
    rng = np.random.default_rng(4)
    if source in (*INTEGERS, T.INT32):
        low, high = (0 if name_of(source).startswith("U") else -2), 4 if source not in (T.INT2, T.UINT2) else 2
        arrays = {"x": rng.integers(low, high, SHAPE).astype(numpy_type(source)), "scale": scale}
        if source != T.INT32:
            arrays["zero"] = np.asarray(rng.integers(0, 2, scale.shape)).astype(numpy_type(source))
    else:
        arrays = {"x": rng.normal(size=SHAPE).astype(numpy_type(source)), "scale": scale}
    model = model_of("DequantizeLinear", arrays, T.FLOAT, **attributes)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": arrays["x"]})
    assert same(run_everywhere(model, {"x": arrays["x"]}), expected)


@pytest.mark.parametrize("output", [T.FLOAT, T.FLOAT16, T.BFLOAT16], ids=name_of)
@pytest.mark.parametrize("scale", [T.FLOAT, T.FLOAT16, T.BFLOAT16, T.FLOAT8E8M0], ids=name_of)
def test_dequantize_to_every_type_with_every_scale(scale, output):
    x = np.arange(-128, 128, dtype=np.int8)
    arrays = {"x": x, "scale": np.array(0.25).astype(numpy_type(scale)), "zero": np.array(3, np.int8)}
    model = model_of("DequantizeLinear", arrays, output, output_dtype=output)
    expected = ((x.astype(np.float32) - 3) * 0.25).astype(numpy_type(output))
    assert same(run_everywhere(model, {"x": x}), expected)


@pytest.mark.parametrize("kind", [T.INT8, T.UINT8, T.INT16, T.UINT16, T.INT4, T.UINT4, *F8], ids=name_of)
def test_there_and_back_is_what_onnxruntime_says(kind):
    rng = np.random.default_rng(5)
    x = rng.normal(scale=40, size=(64,)).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    info = [helper.make_tensor_value_info(name, T.FLOAT, [64]) for name in ("x", "y")]
    zero = np.array(0 if kind in F8 else 2).astype(numpy_type(kind))
    constants = [numpy_helper.from_array(np.float32(0.37), "scale"), numpy_helper.from_array(zero, "zero")]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    assert same(run_everywhere(model, {"x": x}), run_reference(model, {"x": x})["y"])
