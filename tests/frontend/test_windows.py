"""Convolutions and pooling against onnxruntime: padding, strides, dilations, groups, auto_pad, ceil_mode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from npuisa.errors import NpuError

RNG = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@st.composite
def window_attributes(draw: st.DrawFn, rank: int) -> tuple[list[int], dict]:
    """(kernel, attributes) of a window op of `rank` spatial axes."""
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    attributes: dict = {
        "strides": [draw(st.integers(1, 3)) for _ in range(rank)],
        "dilations": [draw(st.integers(1, 2)) for _ in range(rank)],
    }
    mode = draw(st.sampled_from(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if mode == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, size - 1)) for size in (*kernel, *kernel)]
    else:
        attributes["auto_pad"] = mode
        if mode != "VALID":  # onnxruntime refuses strides beyond the kernel
            attributes["dilations"] = [1] * rank
            attributes["strides"] = [min(pair) for pair in zip(attributes["strides"], kernel)]
    return kernel, attributes


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rank=st.sampled_from([1, 2, 2, 3]), groups=st.sampled_from([1, 1, 2, 4]), bias=st.booleans())
def test_conv(data, rank, groups, bias, matches_onnxruntime):
    kernel, attributes = data.draw(window_attributes(rank))
    per_group, outputs = data.draw(st.integers(1, 3)), groups * data.draw(st.integers(1, 3))
    x, w = normal(2, groups * per_group, *[9, 8, 7][:rank]), normal(outputs, per_group, *kernel)
    inputs = [x, w] + ([normal(outputs)] if bias else [])
    constants = list(range(1, len(inputs)))
    matches_onnxruntime("Conv", inputs, constants=constants, group=groups, **attributes)


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [3, 3, 3, 3], [0, 1, 4, 3]])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_padding_of_the_kernel_size_and_more(kernel, pads, stride, matches_onnxruntime):
    """Windows that lie in the padding alone are results too (the bias)."""
    x, w, bias = normal(1, 2, 3, 4), normal(3, 2, kernel, kernel), normal(3)
    matches_onnxruntime("Conv", [x, w, bias], constants=[1, 2], pads=pads, strides=[stride, stride])


@settings(max_examples=30, deadline=None)
@given(data=st.data(), rank=st.sampled_from([1, 2, 2, 3]), groups=st.sampled_from([1, 2]))
def test_conv_transpose(data, rank, groups, matches_onnxruntime):
    kernel, attributes = data.draw(window_attributes(rank))
    assume("auto_pad" not in attributes or attributes["auto_pad"] == "VALID")
    extents = [(k - 1) * d for k, d in zip(kernel, attributes["dilations"])]
    pads = attributes.get("pads", [0] * 2 * rank)
    extra = [data.draw(st.integers(0, stride - 1)) for stride in attributes["strides"]]
    attributes["output_padding"] = extra
    sizes = [5, 4, 3][:rank]
    ends = [(n - 1) * s + e + 1 + o for n, s, e, o in zip(sizes, attributes["strides"], extents, extra)]
    assume(all(end - low - high >= 1 for end, low, high in zip(ends, pads, pads[rank:])))
    x, w = normal(1, 2 * groups, *sizes), normal(2 * groups, data.draw(st.integers(1, 3)), *kernel)
    matches_onnxruntime("ConvTranspose", [x, w], constants=[1], group=groups, **attributes)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv_transpose_same(mode, stride, matches_reference):
    x, w = normal(1, 2, 5), normal(2, 3, 4)
    matches_reference("ConvTranspose", [x, w], constants=[1], auto_pad=mode, strides=[stride], rtol=1e-4, atol=1e-5)


def test_conv_transpose_output_shape(matches_onnxruntime):
    x, w = normal(1, 1, 3, 3), normal(1, 2, 3, 3)
    matches_onnxruntime("ConvTranspose", [x, w], constants=[1], strides=[3, 2], output_shape=[10, 8])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rank=st.sampled_from([1, 2, 2, 3]), ceil_mode=st.booleans())
def test_max_pool(data, rank, ceil_mode, matches_onnxruntime):
    kernel, attributes = data.draw(window_attributes(rank))
    x = normal(2, 3, *[10, 7, 8][:rank])
    matches_onnxruntime("MaxPool", [x], kernel_shape=kernel, ceil_mode=int(ceil_mode), **attributes)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rank=st.sampled_from([1, 2, 2, 3]), include=st.booleans(), ceil_mode=st.booleans())
def test_average_pool(data, rank, include, ceil_mode, matches_onnxruntime):
    kernel, attributes = data.draw(window_attributes(rank))
    attributes.pop("dilations")
    x = normal(2, 3, *[10, 7, 8][:rank])
    options = {"count_include_pad": int(include), "ceil_mode": int(ceil_mode)}
    matches_onnxruntime("AveragePool", [x], opset=19, kernel_shape=kernel, **options, **attributes)


@pytest.mark.parametrize("op, options", [("MaxPool", {}), ("AveragePool", {}), ("LpPool", {"p": 2})])
@pytest.mark.parametrize("step", [2, 3, 6])
def test_strides_and_dilations_with_a_common_divisor(op, options, step, matches_onnxruntime):
    """Windows meet one position in two or three: the others are left out first."""
    attributes = {"strides": [6, 4], "dilations": [step, 2], "pads": [1, 3, 2, 1], "kernel_shape": [4, 5], **options}
    opset = {"MaxPool": 12, "AveragePool": 19, "LpPool": 18}[op]
    matches_onnxruntime(op, [normal(2, 3, 31, 22)], opset=opset, rtol=1e-5, atol=1e-5, **attributes)


def test_pooling_of_four_axes(one_node, run):
    """onnxruntime has three axes at most, and onnx.reference loses its way with four."""
    x = normal(1, 2, 4, 5, 4, 3)
    model = one_node("MaxPool", [x], kernel_shape=[2, 3, 2, 2], pads=[1, 0, 0, 1, 0, 1, 1, 0])
    padded = np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 1), (0, 1), (1, 0)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 3, 2, 2), (2, 3, 4, 5))
    np.testing.assert_array_equal(run(model, {"x0": x})[0], windows.max((6, 7, 8, 9)))


def test_convolution_of_four_axes(matches_reference):
    x, w = normal(1, 4, 4, 5, 4, 3), normal(6, 2, 2, 3, 2, 2)
    pads, strides = [1, 0, 0, 1, 0, 1, 1, 0], [2, 1, 1, 2]
    matches_reference("Conv", [x, w], constants=[1], group=2, pads=pads, strides=strides, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_transpose_by_weights_that_the_model_computes(rank, matches_onnxruntime):
    x, w = normal(1, 4, *[4, 5, 3][:rank]), normal(4, 3, *[3, 2, 2][:rank])
    matches_onnxruntime("ConvTranspose", [x, w], group=2, strides=[2] * rank, pads=[1] * 2 * rank, atol=1e-5)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_rounding_up_admits_a_window_larger_than_the_input(op, matches_onnxruntime):
    attributes = {"kernel_shape": [3], "strides": [2], "dilations": [2], "ceil_mode": 1}
    matches_onnxruntime(op, [normal(2, 3, 4)], opset=19, **attributes)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 3, 4, 5), (1, 2, 3, 4, 5)])
def test_global_pools(op, shape, matches_onnxruntime):
    matches_onnxruntime(op, [normal(*shape)])


@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pool(p, matches_onnxruntime):
    matches_onnxruntime("LpPool", [normal(1, 2, 7, 6)], kernel_shape=[3, 2], strides=[2, 1], p=p)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 3)])
@pytest.mark.parametrize("other", [(3,), (3, 4), (2, 3, 4)])
def test_matmul_ranks(shape, other, matches_reference):
    matches_reference("MatMul", [normal(*shape), normal(*other)], atol=1e-5)


@pytest.mark.parametrize("transposed", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.5, 2.0), (2.0, 0.0)])
@pytest.mark.parametrize("c", [None, (3,), (4, 1), (4, 3)])
def test_gemm(transposed, factors, c, matches_onnxruntime):
    a = normal(*((5, 4) if transposed[0] else (4, 5)))
    b = normal(*((3, 5) if transposed[1] else (5, 3)))
    inputs = [a, b] + ([normal(*c)] if c else [])
    attributes = {"transA": transposed[0], "transB": transposed[1], "alpha": factors[0], "beta": factors[1]}
    matches_onnxruntime("Gemm", inputs, constants=[1], **attributes)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("bhid,bhjd->bhij", [(1, 2, 3, 4), (1, 2, 5, 4)]),
        ("ij,kj", [(2, 3), (4, 3)]),
        ("ijk->kj", [(2, 3, 4)]),
        ("i,j->ji", [(2,), (3,)]),
        ("abc,cd->bd", [(2, 3, 4), (4, 5)]),
    ],
)
def test_einsum(equation, shapes, matches_reference):
    matches_reference("Einsum", [normal(*shape) for shape in shapes], equation=equation, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "rule"),
    [
        ("Conv", [(1, 2, 5, 5), (3, 1, 3, 3)], {"group": 1}, "channels"),
        ("Conv", [(1, 2, 2, 2), (3, 2, 5, 5)], {}, "fits into the padded input"),
        ("Conv", [(1, 2, 5, 5), (3, 2, 3, 3)], {"pads": [-1, 0, 0, 0]}, "`pads`"),
        ("MaxPool", [(1, 2, 5, 5)], {"kernel_shape": [3, 3], "strides": [0, 1]}, "`strides`"),
        ("Gemm", [(2, 3), (4, 5)], {}, "k differs"),
        ("MatMul", [(2, 3), (4, 5)], {}, "inner sizes"),
    ],
)
def test_bad_geometry_names_node_and_rule(op, inputs, attributes, rule, one_node, run):
    arrays = [normal(*shape) for shape in inputs]
    with pytest.raises(NpuError) as caught:
        run(one_node(op, arrays, **attributes), {})
    assert caught.value.entry.code == "NPU-E0508"
    assert rule in str(caught.value)
    assert "the_node" in caught.value.where


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (2, 3, 1), (3, 2, 2), (4, 2, 1), (3, 2, 3)])
def test_infinities_stay_where_the_transposed_kernel_puts_them(kernel, stride, dilation, matches_onnxruntime):
    """No zero weight meets an infinite element: 0 * inf is not 0."""
    x, w = np.zeros((1, 1, 3, 3), np.float32), np.ones((1, 1, kernel, kernel), np.float32)
    x[0, 0, 1, 1] = np.inf
    options = {"strides": [stride] * 2, "dilations": [dilation] * 2}
    matches_onnxruntime("ConvTranspose", [x, w], constants=[1], **options)


@pytest.mark.parametrize("mode, scale", [("linear", 2.0), ("linear", 1.7), ("cubic", 2.0), ("cubic", 0.5)])
@pytest.mark.parametrize("channels", [1, 200])
def test_infinities_only_reach_the_pixels_that_they_weigh_on(mode, scale, channels, one_node, run):
    """No zero weight of a matrix meets an infinite pixel far away: 0 * inf is not 0."""
    x = np.zeros((1, channels, 9, 9), np.float32)
    x[0, 0, 4, 4] = np.inf
    scales = np.array([1, 1, scale, scale], np.float32)
    y = run(one_node("Resize", [x, None, scales], opset=18, constants=[2], mode=mode), {"x0": x})[0][0, 0]
    assert np.isfinite(y[:, 0]).all() and np.isfinite(y[0]).all()
    assert not np.isfinite(y).all()


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners"])
def test_phases_of_interpolation(scale, mode, coordinates, matches_onnxruntime):
    """Images of many channels, whose rows are long enough for phases."""
    scales = np.array([1, 1, scale, scale], np.float32)
    options = {"mode": mode, "coordinate_transformation_mode": coordinates}
    matches_onnxruntime("Resize", [normal(1, 130, 6, 4), None, scales], opset=18, constants=[2], **options)


def test_nearest_resize_keeps_infinities_and_nan_in_place(matches_onnxruntime):
    x = np.zeros((1, 1, 1, 7), np.float32)
    x[0, 0, 0, 2], x[0, 0, 0, 5] = np.inf, np.nan
    sizes = np.array([1, 1, 1, 10], np.int64)
    matches_onnxruntime("Resize", [x, None, None, sizes], opset=18, constants=[3], mode="nearest")
