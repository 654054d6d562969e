"""Movement ops: Python slicing, reshape rules, padding modes, gather, resize."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(-12, 12) | st.just(2**62),
    end=st.integers(-12, 12) | st.sampled_from([2**63 - 1, -(2**63)]),
    step=st.integers(-4, 4).filter(bool),
    axis=st.integers(-2, 1),
)
def test_slice_like_python(start, end, step, axis, one_node, run):
    x = normal(7, 5)
    inputs = [x, integers(start), integers(end), integers(axis), integers(step)]
    model = one_node("Slice", inputs, constants=[1, 2, 3, 4])
    size = x.shape[axis]
    # ONNX clamps both to the axis, Python only some: a backward slice that starts before the axis starts at element 0,
    # and its end before the first element has no Python spelling but None.
    first = max(start, -size) if step < 0 else start
    stop = None if step < 0 and end < -size else end
    expected = x[slice(first, stop, step)] if axis in (0, -2) else x[:, slice(first, stop, step)]
    np.testing.assert_array_equal(run(model, {"x0": x})[0], expected)


def test_slice_attributes_of_opset_9(matches_reference):
    matches_reference("Slice", [normal(6, 5)], opset=9, starts=[1, -3], ends=[-1, 2000], axes=[0, 1])


@pytest.mark.parametrize("shape", [[6, 4], [-1], [2, -1, 3], [0, 12], [0, -1], [1, 0, 0, 4]])
def test_reshape(shape, matches_reference):
    x = normal(1, 2, 3, 4) if len(shape) == 4 else normal(2, 3, 4)
    matches_reference("Reshape", [x, integers(*shape)], constants=[1])


def test_reshape_allowzero(matches_reference):
    matches_reference("Reshape", [normal(0, 3), integers(3, 0)], constants=[1], allowzero=1)


@pytest.mark.parametrize("opset", [11, 13])
def test_squeeze_and_unsqueeze(opset, one_node, run):
    x = normal(2, 1, 3, 1)
    for op, axes, shape in (("Squeeze", [1, -1], (2, 3)), ("Unsqueeze", [0, -1], (1, 2, 1, 3, 1, 1))):
        if opset < 13:
            model = one_node(op, [x], opset=opset, axes=axes)
        else:
            model = one_node(op, [x, integers(*axes)], opset=opset, constants=[1])
        assert run(model, {"x0": x})[0].shape == shape


@pytest.mark.parametrize("perm", [[2, 0, 1], [0, 1, 2], None])
def test_transpose(perm, matches_reference):
    matches_reference("Transpose", [normal(2, 3, 4)], **({"perm": perm} if perm else {}))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("pads", [[1, 2, 3, 0], [0, 0, 0, 1], [2, 0, -1, 1]])
def test_pad(mode, pads, matches_onnxruntime):
    if mode != "constant" and min(pads) < 0:
        pytest.skip("onnxruntime mixes negative padding into the other modes")
    inputs = [normal(4, 5), integers(*pads), np.array(1.5, np.float32)]
    matches_onnxruntime("Pad", inputs, opset=19, constants=[1, 2], mode=mode)


def test_pad_axes(matches_reference):
    inputs = [normal(2, 3, 4), integers(1, 2, 0, 1), np.array(0, np.float32), integers(2, -2)]
    matches_reference("Pad", inputs, opset=18, constants=[1, 2, 3])


@pytest.mark.parametrize("indices", [[0, 2, 4], [3, 3, 3], [-1, 0, 1, 2, 1], [[0, 1], [4, 2]], 2, [4, 3, 2, 1, 0]])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_constant_indices(indices, axis, matches_reference):
    matches_reference("Gather", [normal(5, 6, 5), np.array(indices, np.int64)], constants=[1], axis=axis)


@pytest.mark.parametrize("repeats", [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_tile(repeats, matches_reference):
    matches_reference("Tile", [normal(3, 4), integers(*repeats)], constants=[1])


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (3, 1), (1,)])
def test_expand(shape, matches_reference):
    matches_reference("Expand", [normal(3, 1), integers(*shape)], constants=[1])


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode, matches_reference):
    matches_reference("DepthToSpace", [normal(2, 8, 3, 4)], blocksize=2, mode=mode)


def test_space_to_depth(matches_reference):
    matches_reference("SpaceToDepth", [normal(2, 3, 4, 6)], blocksize=2)


@pytest.mark.parametrize("axis", [0, 1, -1, 3])
def test_flatten(axis, matches_reference):
    matches_reference("Flatten", [normal(2, 3, 4)], axis=axis)


def test_split_sizes_and_equal_parts(one_node, run):
    x = normal(7, 2)
    sized = run(one_node("Split", [x, integers(2, 5)], outputs=2, constants=[1]), {"x0": x})
    assert [part.shape[0] for part in sized] == [2, 5]
    equal = run(one_node("Split", [x], outputs=3, opset=18, num_outputs=3), {"x0": x})
    assert [part.shape[0] for part in equal] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(equal), x)


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["nearest", "linear", "cubic"]),
    coordinates=st.sampled_from(
        ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]
    ),
    nearest=st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    size=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    antialias=st.booleans(),
)
def test_resize_sizes(mode, coordinates, nearest, size, antialias, matches_reference):
    if coordinates == "pytorch_half_pixel":
        size = (size[0] + 1, size[1] + 1)  # size 1: the specification says 0, onnx.reference -0.5
    attributes: dict = {"mode": mode, "coordinate_transformation_mode": coordinates, "nearest_mode": nearest}
    if mode != "nearest":
        attributes["antialias"] = int(antialias)
    inputs = [normal(1, 2, 5, 6), None, None, integers(1, 2, *size)]
    matches_reference("Resize", inputs, opset=19, constants=[3], rtol=1e-4, atol=1e-5, **attributes)


@pytest.mark.parametrize("scales", [(2.0, 2.0), (3.0, 1.0), (1.5, 0.7)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_scales(scales, mode, matches_onnxruntime):
    inputs = [normal(1, 3, 4, 6), None, np.array([1, 1, *scales], np.float32)]
    matches_onnxruntime("Resize", inputs, opset=13, constants=[2], mode=mode)


def test_resize_crop(matches_reference):
    roi = np.array([0, 0, 0.4, 0.6, 1, 1, 1.2, 1.7], np.float32)
    options = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 10.0}
    inputs = [normal(1, 1, 4, 4), roi, None, integers(1, 1, 3, 3)]
    matches_reference("Resize", inputs, opset=19, constants=[1, 3], rtol=1e-4, atol=1e-5, **options)


@pytest.mark.parametrize("opset", [7, 9])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample(opset, mode, one_node, run):
    x, scales = normal(1, 2, 3, 4), [1.0, 1.0, 2.0, 3.0]
    if opset == 7:
        model = one_node("Upsample", [x], opset=7, mode=mode, scales=scales)
    else:
        model = one_node("Upsample", [x, np.array(scales, np.float32)], opset=9, constants=[1], mode=mode)
    y = run(model, {"x0": x})[0]
    assert y.shape == (1, 2, 6, 12)
    if mode == "nearest":
        np.testing.assert_array_equal(y, x.repeat(2, 2).repeat(3, 3))
    else:
        np.testing.assert_allclose(y[:, :, ::2, ::3], x, rtol=1e-6)
        np.testing.assert_allclose(y[:, :, 1, 0], (x[:, :, 0, 0] + x[:, :, 1, 0]) / 2, rtol=1e-5)
