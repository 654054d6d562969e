"""Ops that look up or scatter: shapes, axes, types and values by hypothesis, against onnx.reference and onnxruntime."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npuisa.errors import NpuError
from onnx.reference.ops.op_scatter_elements import scatter_elements

RNG = np.random.default_rng(41)
MANY = settings(max_examples=30, deadline=None)
TYPES = ["f4", "f2", "f8", "i1", "u2", "i4", "i8", "?"]
SHAPE = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def special(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Small numbers; floats hold an infinity and a NaN."""
    values = rng.integers(0, 5, shape).astype(dtype)
    if np.dtype(dtype).kind == "f" and values.size > 1:
        values.reshape(-1)[:2] = np.inf, np.nan
    return values


@MANY
@given(SHAPE, st.lists(st.integers(0, 3), max_size=3).map(tuple), st.sampled_from(TYPES), st.sampled_from("ilqB"),
       st.booleans(), st.data())  # fmt: skip
def test_gather(matches_reference, shape, places, dtype, index_type, known, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = shape[axis]
    if not size:
        places = (*places, 0)
    kind = {"i": "i4", "B": "i4"}.get(index_type, "i8")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    indices = rng.integers(-size, max(size, -size + 1), places).astype(kind)
    x = special(rng, dtype, shape)
    matches_reference("Gather", [x, indices], axis=axis, constants=[1] if known else [])


@MANY
@given(SHAPE, st.sampled_from(TYPES), st.sampled_from(["none", "add", "mul", "min", "max"]), st.booleans(), st.data())
def test_elements(one_node, run, shape, dtype, fn, known, data):
    """Indices may reach less far than the data on the other axes."""
    shape = tuple(max(size, 1) for size in shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1)) % len(shape)
    places = tuple(data.draw(st.integers(0, 5 if i == axis else size)) for i, size in enumerate(shape))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    indices, constants = rng.integers(-shape[axis], shape[axis], places), [1] if known else []
    x, updates = special(rng, dtype, shape), rng.integers(0, 4, places).astype(dtype)
    cut = x[tuple(slice(None if i == axis else extent) for i, extent in enumerate(places))]
    model = one_node("GatherElements", [x, indices], axis=axis, constants=constants)
    found = run(model, {"x0": x} | ({} if known else {"x1": indices}))[0]
    np.testing.assert_array_equal(found, np.take_along_axis(cut, indices, axis))
    model = one_node("ScatterElements", [x, indices, updates], opset=18, axis=axis, reduction=fn, constants=constants)
    found = run(model, {"x0": x, "x2": updates} | ({} if known else {"x1": indices}))[0]
    # The reference's min and max are Python's, which drop NaN by order; elsewhere it is the standard's pseudo code.
    if fn not in ("min", "max"):
        with np.errstate(all="ignore"):
            wanted = scatter_elements(x, indices, updates, axis, None if fn == "none" else fn)
        np.testing.assert_array_equal(found, wanted)


@MANY
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple), st.booleans(), st.data())
def test_index_tuples(matches_reference, shape, known, data):
    batch = data.draw(st.integers(0, len(shape) - 1))
    depth = data.draw(st.integers(1, len(shape) - batch))
    lead = (*shape[:batch], *data.draw(st.lists(st.integers(1, 3), max_size=2)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    limits = np.asarray(shape[batch : batch + depth])
    indices = rng.integers(-limits, limits, (*lead, depth))
    constants = [1] if known else []
    if len(lead) > batch or not batch:
        matches_reference("GatherND", [special(rng, "f4", shape), indices], batch_dims=batch, constants=constants)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.uint8])
def test_rows_of_other_types(dtype, one_node, run):
    x, indices = RNG.integers(0, 9, (5, 3)).astype(dtype), np.array([4, -1, 0])
    (found,) = run(one_node("Gather", [x, indices]), {"x0": x, "x1": indices})
    np.testing.assert_array_equal(found, x[indices])


def test_what_lies_outside_changes_nothing(one_node, run):
    """ONNX leaves it undefined; here a lookup reads zeros and an update is dropped."""
    x, indices, updates = np.ones((3, 2), np.float32), np.array([7, -9, 1]), np.full((3, 2), 5, np.float32)
    (found,) = run(one_node("Gather", [x, indices]), {"x0": x, "x1": indices})
    np.testing.assert_array_equal(found, [[0, 0], [0, 0], [1, 1]])
    model = one_node("ScatterND", [x, indices[:, None], updates])
    (found,) = run(model, {"x0": x, "x1": indices[:, None], "x2": updates})
    np.testing.assert_array_equal(found, [[1, 1], [5, 5], [1, 1]])


def test_nothing_to_look_up(one_node, run):
    for shape, places, wanted in (((0, 3), (0,), (0, 3)), ((3, 0), (2,), (2, 0)), ((0, 0), (2,), (2, 0))):
        x, indices = np.zeros(shape, np.float32), np.zeros(places, np.int64)
        assert run(one_node("Gather", [x, indices]), {"x0": x, "x1": indices})[0].shape == wanted
    x, indices = np.zeros((0, 3), np.float32), np.zeros((2,), np.int64)
    with pytest.raises(NpuError, match="has elements"):
        run(one_node("Gather", [x, indices]), {"x0": x, "x1": indices})


@pytest.mark.parametrize("op", ["ScatterElements", "ScatterND"])
def test_nothing_to_scatter(op, one_node, run):
    for shape, count in (((4, 2), 0), ((0, 2), 0), ((4, 0), 3)):
        x = np.ones(shape, np.float32)
        places = (count, shape[1]) if op == "ScatterElements" else (count, 1)
        indices, updates = np.zeros(places, np.int64), np.zeros((count, shape[1]), np.float32)
        model = one_node(op, [x, indices, updates], opset=18)
        np.testing.assert_array_equal(run(model, {"x0": x, "x1": indices, "x2": updates})[0], x)


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("shape", [(2, 6, 4), (2, 3, 6, 4)])
def test_caches(mode, shape, matches_reference):
    new = (*shape[:-2], 3, 4)
    first = np.array([3, 1] if mode == "linear" else [5, 4])
    matches_reference("TensorScatter", [normal(*shape), normal(*new), first], opset=24, mode=mode)


def test_a_cache_may_grow_along_another_axis(matches_reference):
    inputs = [normal(2, 3, 4, 6), normal(2, 3, 4, 1), np.array([0, 5])]
    matches_reference("TensorScatter", inputs, opset=24, axis=-1)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [1, 2]},
        {"kernel_shape": [2, 2], "dilations": [2, 1], "ceil_mode": 1, "strides": [2, 3]},
        {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"kernel_shape": [2, 2], "storage_order": 1},
    ],
)
def test_positions_of_maxima(options, matches_onnxruntime):
    x = RNG.integers(-3, 3, (2, 3, 7, 6)).astype(np.float32)
    x[0, 0, :2, :2] = -np.inf
    matches_onnxruntime("MaxPool", [x], outputs=2, opset=12, **options)


@pytest.mark.parametrize("shape", [(1, 2, 9), (1, 2, 4, 5, 6)])
def test_positions_of_maxima_on_other_ranks(shape, matches_onnxruntime):
    kernel = [2] * (len(shape) - 2)
    matches_onnxruntime("MaxPool", [normal(*shape)], outputs=2, opset=12, kernel_shape=kernel, strides=kernel)


@pytest.mark.parametrize("output_shape", [None, (1, 2, 7, 8)])
def test_unpooling(output_shape, matches_reference):
    x = normal(1, 2, 3, 4)
    places = RNG.permutation(2 * 6 * 8)[: x.size].reshape(x.shape)
    inputs = [x, places] if output_shape is None else [x, places, np.array(output_shape)]
    constants = [] if output_shape is None else [2]
    matches_reference("MaxUnpool", inputs, opset=11, constants=constants, kernel_shape=[2, 2], strides=[2, 2])


@pytest.mark.parametrize(
    ("block", "options"),
    [((2, 2), {}), ((2, 3), {"strides": [2, 1], "pads": [1, 0, 0, 1]}), ((2, 2), {"dilations": [2, 2]})],
)
def test_columns(block, options, matches_onnxruntime):
    image = (5, 6)
    strides, dilations = options.get("strides", [1, 1]), options.get("dilations", [1, 1])
    pads = options.get("pads", [0] * 4)
    room = [image[i] + pads[i] + pads[i + 2] - (block[i] - 1) * dilations[i] - 1 for i in (0, 1)]
    count = (room[0] // strides[0] + 1) * (room[1] // strides[1] + 1)
    x = normal(2, 3 * block[0] * block[1], count)
    inputs = [x, np.array(image), np.array(block)]
    matches_onnxruntime("Col2Im", inputs, opset=18, constants=[1, 2], **options)


ROIS = np.array([[0, 0, 3, 4], [-2, 1.5, 5, 9], [2.2, 3.3, 2.4, 3.5], [6, 6, 30, 30]], np.float32)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("alignment", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("ratio", [0, 1, 3])
def test_regions(mode, alignment, ratio, matches_reference):
    inputs = [normal(2, 3, 8, 9), ROIS, np.array([0, 1, 1, 0])]
    options = {"output_height": 3, "output_width": 2, "spatial_scale": 0.75, "sampling_ratio": ratio}
    options |= {"mode": mode, "coordinate_transformation_mode": alignment}
    matches_reference("RoiAlign", inputs, opset=16, constants=[] if ratio else [1], rtol=1e-4, atol=1e-5, **options)


@pytest.mark.parametrize("ratio", [0, 2])
def test_no_regions(ratio, matches_reference):
    inputs = [normal(1, 2, 6, 6), np.zeros((0, 4), np.float32), np.zeros(0, np.int64)]
    options = {"output_height": 2, "output_width": 2, "sampling_ratio": ratio}
    matches_reference("RoiAlign", inputs, opset=16, constants=[] if ratio else [1], **options)


@pytest.mark.parametrize("groups", [(1, 1), (2, 1), (1, 2), (2, 4)])
@pytest.mark.parametrize("options", [{}, {"pads": [1, 0, 1, 2], "strides": [2, 1], "dilations": [1, 2]}])
@pytest.mark.parametrize("masked", [True, False])
def test_deformed_convolutions(groups, options, masked, matches_reference):
    (group, offset_group), x, w = groups, normal(2, 4, 6, 7), normal(6, 4 // groups[0], 2, 3)
    pads, strides = options.get("pads", [0] * 4), options.get("strides", [1, 1])
    reach = [(size - 1) * step for size, step in zip((2, 3), options.get("dilations", [1, 1]))]
    out = [(x.shape[2 + i] + pads[i] + pads[i + 2] - reach[i] - 1) // strides[i] + 1 for i in (0, 1)]
    offset = normal(2, offset_group * 6 * 2, *out)
    inputs = [x, w, offset, normal(6), np.abs(normal(2, offset_group * 6, *out))]
    attributes = {"group": group, "offset_group": offset_group, "kernel_shape": [2, 3], **options}
    matches_reference("DeformConv", inputs if masked else inputs[:3], opset=19, rtol=1e-3, atol=1e-4, **attributes)


def test_sampling_between_infinities(matches_onnxruntime):
    """A product with a matrix of weights would make all of it NaN."""
    x = normal(1, 2, 4, 4)
    x[0, 0, 0, 0], x[0, 1, 3, 3] = np.inf, np.nan
    grid = RNG.uniform(-1.2, 1.2, (1, 5, 5, 2)).astype(np.float32)
    matches_onnxruntime("GridSample", [x, grid], opset=20, mode="nearest")
