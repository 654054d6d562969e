"""Cast, CastLike and BitCast of models, against the standard's own words and references.

References: onnx.reference, but for what it does not do as the standard says (float8e8m0 of numbers that are not
positive and normal, and rounding from f64, which goes by way of f32); there onnxruntime or exact arithmetic.
"""

from __future__ import annotations

from itertools import product

import ml_dtypes
import npucc
import numpy as np
import onnx
import pytest
from npucc.frontend.ops.conversion import ROUND_MODES
from npucc.reference import run_reference
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from running import run_everywhere, same

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
F8 = (T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ)
FLOATS = (T.FLOAT, T.FLOAT16, T.BFLOAT16, T.DOUBLE, *F8, T.FLOAT4E2M1, T.FLOAT6E2M3, T.FLOAT6E3M2)
INTEGERS = (
    T.INT8, T.UINT8, T.INT16, T.UINT16, T.INT32, T.UINT32, T.INT64, T.UINT64, T.INT4, T.UINT4, T.INT2, T.UINT2
)  # fmt: skip
ALL = (*FLOATS, T.FLOAT8E8M0, *INTEGERS, T.BOOL)
name_of = T.DataType.Name


def numpy_type(number: int) -> np.dtype:
    return np.dtype(helper.tensor_dtype_to_np_dtype(number))


def cast_model(source: int, target: int, size: int, **attributes: object) -> onnx.ModelProto:
    return one_node(helper.make_node("Cast", ["x"], ["y"], to=target, **attributes), source, target, size)


def one_node(node: onnx.NodeProto, source: int, target: int, size: int) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", source, [size])
    y = helper.make_tensor_value_info("y", target, [size])
    graph = helper.make_graph([node], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=11)


def patterns(number: int) -> np.ndarray:
    """Every value of a type of at most 16 bits; edges and random bits of a wider one."""
    dtype = numpy_type(number)
    if dtype == np.bool_:
        return np.array([False, True])
    if dtype.itemsize == 1:
        bits = ml_dtypes.iinfo(dtype).bits if number in INTEGERS else ml_dtypes.finfo(dtype).bits
        return np.arange(1 << bits, dtype=np.uint8).view(dtype)
    if dtype.itemsize == 2:
        return np.arange(65536, dtype=np.uint16).view(dtype)
    raw = np.random.default_rng(number).integers(0, 2**64, 4096, dtype=np.uint64)
    wide = raw.astype(f"u{dtype.itemsize}").view(dtype)
    if number in INTEGERS:
        near = np.arange(-70000, 70000, 7) if dtype.kind == "i" else np.arange(0, 140000, 7)
        return np.concatenate([wide, near.astype(dtype)])
    return np.concatenate([wide, edges().astype(dtype)])


def edges() -> np.ndarray:
    """f64: the ties and the ends of every 8-bit type, and the f32 on either side of them."""
    found = [np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e30, -1e30, 1e-45])]
    for number in (*F8, T.FLOAT4E2M1, T.FLOAT6E2M3, T.FLOAT6E3M2):
        values = patterns(number).astype(np.float64)
        exact = np.unique(values[np.isfinite(values)])
        points = np.concatenate([exact, (exact[:-1] + exact[1:]) / 2, [exact[-1] * 1.04, exact[-1] * 1.07]])
        single = points.astype(np.float32)
        found += [points, *(np.nextafter(single, np.float32(to)).astype(np.float64) for to in (np.inf, -np.inf))]
    return np.concatenate(found)


def defined(values: np.ndarray, target: int) -> np.ndarray:
    """Those whose conversion the standard defines: to integers only what they hold."""
    if target not in INTEGERS or values.dtype == np.bool_ or numpy_type(target) == values.dtype:
        return values
    wide = values.astype(np.float64)
    if values.dtype.kind in "iu" or values.dtype.name in ("int4", "uint4", "int2", "uint2"):
        return values
    info = ml_dtypes.iinfo(numpy_type(target))
    return values[np.isfinite(wide) & (np.trunc(wide) >= info.min) & (np.trunc(wide) < float(info.max))]


def by_reference(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return ReferenceEvaluator(model).run(None, {"x": x})[0]


@pytest.mark.parametrize("saturate", [1, 0])
@pytest.mark.parametrize("target", F8, ids=name_of)
@pytest.mark.parametrize("source", [T.FLOAT, T.FLOAT16, T.BFLOAT16, T.INT16, T.UINT8], ids=name_of)
def test_to_float8_all_patterns(source, target, saturate):
    """All 65,536 patterns of 16 bits, and every tie and end for f32."""
    x = patterns(source)
    model = cast_model(source, target, len(x), saturate=saturate)
    assert same(run_everywhere(model, {"x": x}), by_reference(model, x))


def covered_elsewhere(source: int, target: int) -> bool:
    """Types of 8 bits and more among themselves (tests/lowering), f8e8m0, and f64 to what the reference rounds to
    twice (below)."""
    narrow = {*F8, T.FLOAT4E2M1, T.FLOAT6E2M3, T.FLOAT6E3M2, T.INT4, T.UINT4, T.INT2, T.UINT2}
    if not narrow & {source, target}:
        return True
    return T.FLOAT8E8M0 in (source, target) or (source == T.DOUBLE and target in FLOATS[4:])


PAIRS_OF_VALUES = [pair for pair in product(ALL, ALL) if pair[0] != pair[1] and not covered_elsewhere(*pair)]


@pytest.mark.parametrize(("source", "target"), PAIRS_OF_VALUES, ids=lambda number: name_of(number))
def test_every_pair_of_types(source, target):
    x = defined(patterns(source), target)[:1000]
    if numpy_type(source).itemsize == 1 and source not in (T.INT8, T.UINT8, T.BOOL):
        model = cast_model(source, target, len(x))
        expected = by_reference(cast_model(T.FLOAT, target, len(x)), x.astype(np.float32))
        expected = (
            x.astype(np.int8).astype(numpy_type(target)) if source in INTEGERS and target in INTEGERS else expected
        )
    else:
        model = cast_model(source, target, len(x))
        expected = by_reference(model, x)
    assert same(run_everywhere(model, {"x": x}), expected)


@pytest.mark.parametrize("saturate", [1, 0])
@pytest.mark.parametrize("target", F8, ids=name_of)
def test_f64_is_rounded_once(target, saturate):
    """A tie that is broken by less than an f32 can hold."""
    values = patterns(target).astype(np.float64)
    exact = np.unique(values[np.isfinite(values)])
    ties = (exact[:-1] + exact[1:]) / 2
    x = np.concatenate([np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf)])
    model = cast_model(T.DOUBLE, target, len(x), saturate=saturate)
    found = run_everywhere(model, {"x": x}).astype(np.float64)
    np.testing.assert_array_equal(found, np.concatenate([exact[1:], exact[:-1]]))


@pytest.mark.parametrize(("mode", "saturate"), product(ROUND_MODES, (1, 0)))
@pytest.mark.parametrize("source", [T.FLOAT, T.FLOAT16, T.BFLOAT16], ids=name_of)
def test_to_powers_of_two(source, mode, saturate):
    """float8e8m0 as onnxruntime rounds it, which is the table of the standard; subnormal and special values too."""
    x = patterns(source)
    model = cast_model(source, T.FLOAT8E8M0, len(x), round_mode=mode, saturate=saturate)
    expected = run_reference(model, {"x": x})["y"]
    assert same(run_everywhere(model, {"x": x}), expected)


@pytest.mark.parametrize("target", [*F8, T.FLOAT8E8M0, T.FLOAT4E2M1], ids=name_of)
def test_constants_are_converted_as_inputs_are(target):
    x = edges()
    model = cast_model(T.DOUBLE, target, len(x))
    expected = run_everywhere(model, {"x": x})
    del model.graph.input[:]
    model.graph.initializer.append(numpy_helper.from_array(x, "x"))
    assert same(run_everywhere(model, {}), expected)


def test_powers_of_two_are_what_the_table_of_the_standard_says():
    x = np.array([0, np.nan, np.inf, 1.5 * 2.0**127, 2.0**-130], np.float32)
    expected = {
        ("up", 1): [2.0**-127, np.nan, 2.0**127, 2.0**127, 2.0**-127],
        ("nearest", 0): [np.nan, np.nan, np.nan, np.nan, np.nan],
    }
    for (mode, saturate), wanted in expected.items():
        model = cast_model(T.FLOAT, T.FLOAT8E8M0, len(x), round_mode=mode, saturate=saturate)
        np.testing.assert_array_equal(run_everywhere(model, {"x": x}).astype(np.float64), wanted)


@pytest.mark.parametrize("target", [T.FLOAT, T.FLOAT16, T.BFLOAT16, T.DOUBLE], ids=name_of)
def test_from_powers_of_two(target):
    x = patterns(T.FLOAT8E8M0)
    model = cast_model(T.FLOAT8E8M0, target, len(x))
    assert same(run_everywhere(model, {"x": x}), x.astype(np.float32).astype(numpy_type(target)))


@pytest.mark.parametrize("precision", ["f16", "bf16"])
def test_bits_are_those_of_the_model_whatever_the_precision(precision):
    """The pass that narrows floats leaves alone what is read as bits."""
    x = patterns(T.FLOAT)[:1000]
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("BitCast", ["r"], ["y"], to=T.INT32)]
    info = [helper.make_tensor_value_info(name, kind, [1000]) for name, kind in (("x", T.FLOAT), ("y", T.INT32))]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26)], ir_version=13)
    program = npucc.compile(model, options=npucc.Options(precision=precision))
    found = npucc.simulate(program, {"x": x}).outputs["y"]
    nan = np.isnan(x)
    np.testing.assert_array_equal(found[~nan], np.maximum(x, np.float32(0))[~nan].view(np.int32))


WIDTHS = {1: (T.INT8, T.UINT8, T.BOOL, *F8, T.FLOAT8E8M0), 2: (T.INT16, T.UINT16, T.FLOAT16, T.BFLOAT16),
          4: (T.INT32, T.UINT32, T.FLOAT), 8: (T.INT64, T.UINT64, T.DOUBLE)}  # fmt: skip
PAIRS = [pair for types in (*WIDTHS.values(), (T.INT4, T.UINT4, T.FLOAT4E2M1), (T.INT2, T.UINT2))
         for pair in product(types, types) if pair[0] != pair[1] and pair[1] != T.BOOL]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda number: name_of(number))
def test_bit_cast_keeps_every_bit(source, target):
    x = patterns(source)[:5000]
    node = helper.make_node("BitCast", ["x"], ["y"], to=target)
    model = one_node(node, source, target, len(x))
    model.opset_import[0].version = 26
    found = run_everywhere(model, {"x": x})
    assert found.dtype == numpy_type(target)
    assert found.tobytes() == x.tobytes()
