"""Ops that move, select and order elements: one function per family."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from model_graph import Graph, Rejected

INDEX_TYPES = ("int64", "int32")


def _rank(least: int):
    return lambda value: value.ndim >= least


def transpose(g: Graph) -> None:
    x = g.pick(g.types_of("Transpose"))
    rank = g.values[x].ndim
    g.add("Transpose", [x], perm=g.permutation(rank) if rank and g.integer(0, 3) else None)


def reshape(g: Graph) -> None:
    x = g.pick(g.types_of("Reshape"))
    value = g.values[x]
    dims = list(value.shape)
    kind = g.choose(["merge", "flat", "split", "copy", "ones"])
    if kind == "merge" and len(dims) > 1:
        place = g.integer(0, len(dims) - 2)
        dims[place : place + 2] = [dims[place] * dims[place + 1]]
    elif kind == "flat":
        dims = [value.size]
    elif kind == "split" and dims:
        place = g.integer(0, len(dims) - 1)
        parts = [d for d in range(1, dims[place] + 1) if dims[place] % d == 0]
        if parts:
            part = g.choose(parts)
            dims[place : place + 1] = [part, dims[place] // part]
    elif kind == "copy":
        dims = [0 if dim else dim for dim in dims]
    else:
        dims.insert(g.integer(0, len(dims)), 1)
    if g.coin() and value.size and dims:
        dims[g.integer(0, len(dims) - 1)] = -1
    if kind == "copy" and -1 in dims:
        dims = [0 if dim == 0 else -1 for dim in dims]
    allow = g.choose([None, 0]) if g.opset >= 14 else None
    if g.opset >= 14 and 0 in value.shape and 0 in dims and kind != "copy" and -1 not in dims:
        allow = 1
    g.add("Reshape", [x, g.constant(dims)], allowzero=allow)


def flatten(g: Graph) -> None:
    x = g.pick(g.types_of("Flatten"))
    g.add("Flatten", [x], axis=g.integer(0, g.values[x].ndim))


def squeeze(g: Graph) -> None:
    x = g.pick(g.types_of("Squeeze"), lambda v: 1 in v.shape)
    ones = [axis for axis, dim in enumerate(g.values[x].shape) if dim == 1]
    axes = None if g.integer(0, 3) == 0 else [g.choose(ones)]
    _with_axes(g, "Squeeze", x, axes)


def unsqueeze(g: Graph) -> None:
    x = g.pick(g.types_of("Unsqueeze"), lambda v: v.ndim < 5)
    rank = g.values[x].ndim + 1
    axis = g.integer(0, rank - 1)
    _with_axes(g, "Unsqueeze", x, [axis - rank if g.opset >= 11 and g.coin() else axis])


def _with_axes(g: Graph, op: str, x: str, axes: list[int] | None) -> None:
    """Axes are an attribute in old opsets, an operand in new ones."""
    if "axes" in g.schema(op).attributes:
        g.add(op, [x], axes=axes)
    else:
        g.add(op, [x] if axes is None else [x, g.constant(axes)])


def expand(g: Graph) -> None:
    x = g.pick(g.types_of("Expand"))
    dims = [g.choose([2, 3, 1, 0]) if dim == 1 and g.coin() else dim for dim in g.values[x].shape]
    dims = [1 if g.integer(0, 4) == 0 else dim for dim in dims]
    if len(dims) < 4 and g.coin():
        dims.insert(0, g.choose([2, 1]))
    g.add("Expand", [x, g.constant(dims)])


def tile(g: Graph) -> None:
    x = g.pick(g.types_of("Tile"))
    g.add("Tile", [x, g.constant([g.choose([1, 2, 3, 0]) for _ in g.values[x].shape])])


def concat(g: Graph) -> None:
    x = g.pick(g.types_of("Concat"), _rank(1))
    value = g.values[x]
    axis = g.axis(value.ndim) if g.opset >= 11 else g.integer(0, value.ndim - 1)
    operands = [x]
    for _ in range(g.integer(0, 2)):
        dims = list(value.shape)
        dims[axis] = g.choose([2, 1, 3, 0])
        operands.append(g.pick([value.dtype.name], dims=dims))
    g.add("Concat", operands, axis=axis)


def split(g: Graph) -> None:
    x = g.pick(g.types_of("Split"), lambda v: any(d > 1 for d in v.shape))
    value = g.values[x]
    axis = g.choose([axis for axis, dim in enumerate(value.shape) if dim > 1])
    size = value.shape[axis]
    first = g.integer(0, size)
    sizes = [first, size - first]
    if "split" in g.schema("Split").attributes:
        g.add("Split", [x], 2, axis=axis, split=sizes)
    elif g.opset >= 18 and g.coin():
        g.add("Split", [x], 2, axis=axis, num_outputs=2)
    else:
        g.add("Split", [x, g.constant(sizes)], 2, axis=axis)


def slice_(g: Graph) -> None:
    x = g.pick(g.types_of("Slice"), _rank(1))
    value = g.values[x]
    axes = sorted({g.integer(0, value.ndim - 1) for _ in range(g.integer(1, 2))})
    starts = [g.integer(-value.shape[axis] - 1, value.shape[axis] + 1) for axis in axes]
    ends = [g.choose([value.shape[axis], -1, 1, 2**31 - 1, -(2**31), 3]) for axis in axes]
    if g.opset < 10:
        g.add("Slice", [x], axes=axes, starts=starts, ends=ends)
        return
    steps = [g.choose([1, 2, -1, -2, 3]) for _ in axes]
    g.add("Slice", [x, g.constant(starts), g.constant(ends), g.constant(axes), g.constant(steps)])


def pad(g: Graph) -> None:
    x = g.pick(g.types_of("Pad"), _rank(1))
    value = g.values[x]
    mode = g.choose(["constant", "edge", "reflect", *(["wrap"] if g.opset >= 19 else [])])
    limit = [max(dim - 1, 0) if mode == "reflect" else dim for dim in value.shape]
    if mode != "constant" and 0 in value.shape:
        raise Rejected
    low = -1 if mode == "constant" and value.size and min(value.shape) > 1 else 0
    pads = [g.integer(low, min(2, limit[axis] if mode != "constant" else 2)) for axis in [*range(value.ndim)] * 2]
    if g.opset < 11:
        g.add("Pad", [x], pads=pads, mode=mode)
        return
    operands = [x, g.constant(pads)]
    if mode == "constant" and g.coin():
        operands.append(g.constant(g.numbers(value.dtype, ())))
    g.add("Pad", operands, mode=mode)


def _indices(g: Graph, size: int, shape: tuple[int, ...]) -> str:
    if not size and 0 not in shape:
        raise Rejected
    rng = np.random.default_rng(g.integer(0, 999))
    low = -size if g.opset >= 11 and g.coin() else 0
    values = rng.integers(low, max(size, 1), shape)
    return g.feed(values.astype(g.choose(INDEX_TYPES)))


def gather(g: Graph) -> None:
    x = g.pick(g.types_of("Gather"), _rank(1))
    value = g.values[x]
    axis = g.axis(value.ndim)
    g.add("Gather", [x, _indices(g, value.shape[axis], g.shape(g.integer(0, 2)))], axis=axis)


def gather_elements(g: Graph) -> None:
    x = g.pick(g.types_of("GatherElements"), _rank(1))
    value = g.values[x]
    axis = g.axis(value.ndim)
    dims = [g.integer(0, dim) for dim in value.shape]
    dims[axis] = g.choose([2, 1, 3, 0])
    g.add("GatherElements", [x, _indices(g, value.shape[axis], tuple(dims))], axis=axis)


def gather_nd(g: Graph) -> None:
    x = g.pick(g.types_of("GatherND"), _rank(1))
    value = g.values[x]
    depth = g.integer(1, value.ndim)
    rows = g.shape(g.integer(1, 2))
    columns = [np.random.default_rng(g.integer(0, 99)).integers(0, max(d, 1), rows) for d in value.shape[:depth]]
    if 0 in value.shape[:depth] and 0 not in rows:
        raise Rejected
    g.add("GatherND", [x, g.feed(np.stack(columns, -1).astype(np.int64))])


def scatter_elements(g: Graph) -> None:
    x = g.pick(g.types_of("ScatterElements"), lambda v: v.ndim >= 1 and v.size > 0)
    value = g.values[x]
    axis = g.axis(value.ndim)
    dims = [g.integer(0, dim) for dim in value.shape]
    mode = g.choose([None, "add", "mul", "max", "min"]) if g.opset >= 18 and value.dtype != np.bool_ else None
    rng = np.random.default_rng(g.integer(0, 99))
    if mode is None:  # the order of equal targets is not defined
        dims[axis] = g.integer(0, value.shape[axis])
        size = value.shape[axis]
        lines = rng.permuted(np.broadcast_to(np.arange(size), (*_without(dims, axis), size)), axis=-1)
        indices = np.moveaxis(lines, -1, axis).take(range(dims[axis]), axis)
    else:
        indices = rng.integers(0, value.shape[axis], dims)
    updates = g.pick([value.dtype.name], dims=indices.shape)
    g.add("ScatterElements", [x, g.feed(indices.astype(np.int64)), updates], axis=axis, reduction=mode)


def _without(dims: list[int], axis: int) -> list[int]:
    axis %= len(dims)
    return dims[:axis] + dims[axis + 1 :]


def scatter_nd(g: Graph) -> None:
    x = g.pick(g.types_of("ScatterND"), lambda v: v.ndim >= 1 and v.shape[0] > 0)
    value = g.values[x]
    rows = g.integer(0, value.shape[0])
    indices = np.random.default_rng(g.integer(0, 99)).permutation(value.shape[0])[:rows, None]
    mode = g.choose([None, "add", "mul"]) if g.opset >= 16 and value.dtype != np.bool_ else None
    updates = g.pick([value.dtype.name], dims=(rows, *value.shape[1:]))
    g.add("ScatterND", [x, g.feed(indices.astype(np.int64)), updates], reduction=mode)


def space_and_depth(g: Graph) -> None:
    op = g.choose(["DepthToSpace", "SpaceToDepth"])
    n, c, h, w = (g.choose([1, 2, 0]), g.choose([1, 2]), g.choose([2, 1, 3]), g.choose([2, 1]))
    dims = (n, 4 * c, h, w) if op == "DepthToSpace" else (n, c, 2 * h, 2 * w)
    x = g.pick(g.types_of(op), dims=dims)
    mode = g.choose([None, "DCR", "CRD"]) if op == "DepthToSpace" and g.opset >= 11 else None
    g.add(op, [x], blocksize=2, mode=mode)


def top_k(g: Graph) -> None:
    x = g.pick(g.types_of("TopK"), lambda v: v.ndim >= 1 and len(np.unique(v)) == v.size)
    value = g.values[x]
    axis = g.axis(value.ndim) if g.opset >= 11 else g.integer(0, value.ndim - 1)
    k = g.integer(0, value.shape[axis])
    if g.opset < 10:
        g.add("TopK", [x], 2, axis=axis, k=max(k, 1))
        return
    g.add("TopK", [x, g.constant([k])], 2, axis=axis, largest=g.choose([None, 0]) if g.opset >= 11 else None)


def trilu(g: Graph) -> None:
    x = g.pick(g.types_of("Trilu"), _rank(2))
    operands = [x, g.constant(g.integer(-3, 3))] if g.coin() else [x]
    g.add("Trilu", operands, upper=g.choose([None, 0, 1]))


def one_hot(g: Graph) -> None:
    x = g.pick(["int64", "int32"], lambda v: v.ndim < 4)
    values = g.numbers(np.dtype(g.choose(["float32", "int64", "bool"])), (2,))
    axis = g.axis(g.values[x].ndim + 1)
    g.add("OneHot", [x, g.constant(g.choose([[3], [1], [7]])), g.feed(values)], axis=axis)


def shape_of(g: Graph) -> None:
    op = g.choose(["Shape", "Size"])
    x = g.pick(g.types_of(op))
    if op == "Shape" and g.opset >= 15 and g.coin():
        g.add(op, [x], start=g.integer(-3, 3), end=g.choose([None, -1, 2, 7]))
    else:
        g.add(op, [x])


def eye_like(g: Graph) -> None:
    x = g.pick(g.types_of("EyeLike"), lambda v: v.ndim == 2)
    g.add("EyeLike", [x], k=g.choose([None, 1, -1, 5]), dtype=g.choose([None, 1, 7]))


def reverse_sequence(g: Graph) -> None:
    x = g.pick(g.types_of("ReverseSequence"), lambda v: v.ndim >= 2 and v.size > 0)
    value = g.values[x]
    batch, time = g.choose([(1, 0), (0, 1)])
    lengths = np.random.default_rng(g.integer(0, 99)).integers(1, value.shape[time] + 1, value.shape[batch])
    g.add("ReverseSequence", [x, g.feed(lengths.astype(np.int64))], batch_axis=batch, time_axis=time)


def constant_of_shape(g: Graph) -> None:
    shape = g.constant(list(g.shape()))
    (made,) = g.add("ConstantOfShape", [shape])
    g.add("Identity", [made])


def data_dependent(g: Graph) -> None:
    """Ops whose result has as many elements as the data say."""
    op = g.choose(["NonZero", "Compress", "Unique"])
    x = g.pick([name for name in g.types_of(op) if name not in ("bfloat16",)], _rank(1))
    value = g.values[x]
    if op == "NonZero":
        g.add(op, [x])
    elif op == "Compress":
        axis = g.integer(0, value.ndim - 1)
        g.add(op, [x, g.pick(["bool"], dims=(g.integer(0, value.shape[axis]),))], axis=axis)
    else:
        g.add(op, [x], g.integer(1, 4), sorted=1, axis=g.choose([None, 0]))


def range_(g: Graph) -> None:
    kind = g.choose([name for name in g.types_of("Range") if name in ("int64", "int32", "float32")])
    dtype = np.dtype(kind)
    ends = [np.array(value, dtype) for value in (g.integer(-3, 3), g.integer(-3, 6), g.choose([1, 2, -1, 3]))]
    g.add("Range", [g.feed(end) for end in ends])


FAMILIES: dict[str, Callable[[Graph], None]] = {
    function.__name__: function
    for function in (
        transpose, reshape, slice_, concat, gather, pad, expand, tile, split, squeeze, unsqueeze, flatten,
        gather_elements, gather_nd, scatter_elements, scatter_nd, space_and_depth, top_k, trilu, one_hot, shape_of,
        eye_like, reverse_sequence, constant_of_shape, range_, data_dependent,
    )
}  # fmt: skip
