"""The way back from windows to an image: MaxUnpool puts elements to given places, Col2Im adds up columns."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from npucc.frontend import lookups
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.frontend.windows import explicit_pads, per_axis
from npucc.types import Array, element_of, numpy_dtype, shape_of


def _zeros(node: ImportNode, like: SSAValue, shape: tuple[int, ...]) -> SSAValue:
    zero = np.zeros((), numpy_dtype(element_of(like)))
    return node.build.constant(np.broadcast_to(zero, shape), f"{node.label}.zeros")


@onnx_op("MaxUnpool")
def max_unpool(node: ImportNode) -> SSAValue:
    """x at the numbers `indices` of the flattened image of size (d - 1) * stride - pads + kernel, 0 elsewhere."""
    build, x = node.build, node.input(0)
    shape, kernel = shape_of(x), node.integers("kernel_shape")
    rank = len(shape) - 2
    if rank < 1 or len(kernel) != rank or node.shape(1) != shape:
        raise Malformed("indices have the shape of the input [n, c, spatial ...]", f"{list(node.shape(1))}")
    strides, (before, after) = per_axis(node, "strides", rank), explicit_pads(node, rank)
    image = tuple((shape[2 + i] - 1) * strides[i] - before[i] - after[i] + kernel[i] for i in range(rank))
    if min(image) < 1:
        raise Malformed("the image has elements", f"{list(image)}")
    full, count = (*shape[:2], *image), math.prod(shape)
    places, updates = build.reshape(node.input(1), (1, count, 1)), build.reshape(x, (1, count, 1))
    y = lookups.scatter_3d(build, _zeros(node, x, (1, math.prod(full), 1)), places, updates)
    return _resized(node, build.reshape(y, full))


def _resized(node: ImportNode, y: SSAValue) -> SSAValue:
    """The leading part of `output_shape` (input 2) that y fills, zeros behind it."""
    build = node.build
    if not node.has(2):
        return y
    wanted = node.constant_ints(2, "output_shape")
    if len(wanted) != len(shape_of(y)) or wanted[:2] != list(shape_of(y)[:2]):
        raise Malformed("`output_shape` keeps batch and channels", f"{wanted} for {list(shape_of(y))}")
    for axis, size in enumerate(wanted):
        shape = shape_of(y)
        if size <= shape[axis]:
            y = build.slice_axis(y, axis, 0, size)
        else:
            y = build.concat([y, _zeros(node, y, (*shape[:axis], size - shape[axis], *shape[axis + 1 :]))], axis)
    return y


@onnx_op("Col2Im", since=18)
def columns_to_image(node: ImportNode) -> SSAValue:
    """Columns [n, c x block, positions] added up where their blocks lie in the image; padding is lost."""
    build, x = node.build, node.input(0)
    image, block = node.constant_ints(1, "image_shape"), node.constant_ints(2, "block_shape")
    shape, rank = shape_of(x), len(image)
    elements = math.prod(block)
    if len(shape) != 3 or len(block) != rank or not elements or shape[1] % elements:
        raise Malformed("columns are [n, c x block, positions]", f"{list(shape)}, block {block}")
    places = _places(node, image, block)
    if places.shape[1] != shape[2]:
        raise Malformed("there is a column for every position of the block", f"{shape[2]}, not {places.shape[1]}")
    n, channels = shape[0], shape[1] // elements
    updates = build.reshape(x, (n * channels, elements * shape[2], 1))
    rows = build.constant(places.reshape(1, -1, 1), f"{node.label}.places")
    zeros = _zeros(node, x, (n * channels, math.prod(image), 1))
    y = lookups.scatter_3d(build, zeros, rows, updates, "add")
    return build.reshape(y, (n, channels, *image))


def _places(node: ImportNode, image: list[int], block: list[int]) -> Array:
    """Pixel number [elements of the block, positions]; the number of pixels (outside) in the padding."""
    rank = len(image)
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    before, after = explicit_pads(node, rank)
    counts = [
        (image[i] + before[i] + after[i] - (block[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in range(rank)
    ]
    if min(counts) < 1:
        raise Malformed("the block fits into the padded image", f"block {block}, image {image}")
    elements, steps = np.indices(block).reshape(rank, -1, 1), np.indices(counts).reshape(rank, 1, -1)
    flat = np.zeros((math.prod(block), math.prod(counts)), np.int64)
    inside = np.ones(flat.shape, bool)
    for i in range(rank):
        place = steps[i] * strides[i] + elements[i] * dilations[i] - before[i]
        inside &= (place >= 0) & (place < image[i])
        flat = flat * image[i] + place
    return np.where(inside, flat, math.prod(image))
