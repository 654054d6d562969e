"""One function per family of ops: draws operands and attributes and adds the node to a graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from model_graph import FLOATS, INTEGERS, TYPES, Graph, Rejected
from onnx import helper

UNARY = [
    "Abs",
    "Neg",
    "Exp",
    "Log",
    "Sqrt",
    "Reciprocal",
    "Floor",
    "Ceil",
    "Round",
    "Sign",
    "Tanh",
    "Erf",
    "Sin",
    "Cos",
    "Tan",
    "Asin",
    "Acos",
    "Atan",
    "Sinh",
    "Cosh",
    "Asinh",
    "Acosh",
    "Atanh",
    "Sigmoid",
    "Relu",
    "Softplus",
    "Softsign",
    "HardSwish",
    "Mish",
    "Not",
    "IsNaN",
    "Identity",
    "BitwiseNot",
]
WITH_ALPHA = {
    "Elu": ("alpha",), "Celu": ("alpha",), "LeakyRelu": ("alpha",), "ThresholdedRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"), "Selu": ("alpha", "gamma"), "Shrink": ("bias", "lambd"),
}  # fmt: skip
BINARY = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Mod",
    "Equal",
    "Greater",
    "Less",
    "GreaterOrEqual",
    "LessOrEqual",
    "And",
    "Or",
    "Xor",
    "PRelu",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "BitShift",
]
VARIADIC = ["Max", "Min", "Sum", "Mean"]
REDUCTIONS = [
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceSumSquare",
]


def _rank(least: int):
    return lambda value: value.ndim >= least


def unary(g: Graph) -> None:
    op = g.choose(UNARY)
    g.add(op, [g.pick(g.types_of(op))])


def with_alpha(g: Graph) -> None:
    op = g.choose(list(WITH_ALPHA))
    values = {name: g.choose([None, 0.0, 0.5, 1.0, 1.5, -0.5]) for name in WITH_ALPHA[op]}
    g.add(op, [g.pick(g.types_of(op))], **values)


def gelu(g: Graph) -> None:
    # Not of f64: there the evaluator computes with constants of f32.
    g.add(
        "Gelu",
        [g.pick([name for name in g.types_of("Gelu") if name != "float64"])],
        approximate=g.choose([None, "none", "tanh"]),
    )


def is_inf(g: Graph) -> None:
    flags = g.choose([None, 0, 1]), g.choose([None, 0, 1])
    g.add("IsInf", [g.pick(g.types_of("IsInf"))], detect_negative=flags[0], detect_positive=flags[1])


def clip(g: Graph) -> None:
    x = g.pick(g.types_of("Clip"))
    if g.opset < 11:
        g.add("Clip", [x], min=g.choose([None, -1.0]), max=g.choose([None, 1.0]))
        return
    dtype = g.values[x].dtype
    low, high = (g.feed(np.array(v, dtype)) if g.coin() else "" for v in (0, 2))
    g.add("Clip", [x, low, high] if high else ([x, low] if low else [x]))


def broadcast_partner(g: Graph, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts with `shape`: some leading dims dropped, some dims 1, perhaps one more in front."""
    dims = [1 if g.integer(0, 3) == 0 else dim for dim in shape[g.integer(0, len(shape)) :]]
    if len(dims) == len(shape) < 4 and g.integer(0, 5) == 0:
        dims.insert(0, g.choose([2, 1, 3]))
    return tuple(dims)


def binary(g: Graph) -> None:
    op = g.choose(BINARY)
    a = g.pick(g.types_of(op))
    value = g.values[a]
    dtype = value.dtype
    dims = broadcast_partner(g, value.shape)
    if op == "PRelu" and len(dims) > value.ndim:
        raise Rejected
    if op in ("Div", "Mod", "Pow", "BitShift") or g.coin():
        positive = op in ("Div", "Mod", "Pow", "BitShift")
        other = g.numbers(dtype, dims, positive)
        if op in ("Pow", "BitShift"):
            other = np.minimum(other, np.array(3, dtype))
        b = g.feed(other.astype(dtype))
    else:
        b = g.pick([dtype.name], lambda v: _broadcasts(v.shape, value.shape))
    attributes = {}
    if op == "BitShift":
        attributes["direction"] = g.choose(["LEFT", "RIGHT"])
    if op == "Mod":
        attributes["fmod"] = 1 if dtype.name in FLOATS else g.choose([None, 0, 1])
    g.add(op, [a, b] if op in ("Div", "Mod", "Pow", "PRelu", "BitShift") or g.coin() else [b, a], **attributes)


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return True


def variadic(g: Graph) -> None:
    op = g.choose(VARIADIC)
    first = g.pick(g.types_of(op))
    value = g.values[first]
    others = [
        g.pick([value.dtype.name], lambda v: _broadcasts(v.shape, value.shape), broadcast_partner(g, value.shape))
        for _ in range(g.integer(0, 2))
    ]
    g.add(op, [first, *others])


def where(g: Graph) -> None:
    x = g.pick(g.types_of("Where", 1))
    value = g.values[x]
    condition = g.pick(["bool"], dims=broadcast_partner(g, value.shape))
    y = g.pick([value.dtype.name], dims=broadcast_partner(g, value.shape))
    g.add("Where", [condition, x, y])


def cast(g: Graph) -> None:
    x = g.pick(g.types_of("Cast"))
    to = g.choose(list(TYPES))
    if g.values[x].dtype.name in FLOATS and to in INTEGERS:
        info, value = np.iinfo(TYPES[to]), g.values[x].astype(np.float64)
        if np.any(value < float(info.min)) or np.any(value > float(info.max)):
            raise Rejected  # undefined
    if to in ("int4", "uint4"):
        value, low = g.values[x].astype(np.float64), 0 if to == "uint4" else -8
        if np.any(value < low) or np.any(value > low + 15):
            raise Rejected  # undefined
    g.add("Cast", [x], to=helper.np_dtype_to_tensor_dtype(TYPES[to]))


def softmax(g: Graph) -> None:
    op = g.choose(["Softmax", "LogSoftmax", "Hardmax"])
    x = g.pick(g.types_of(op), _rank(1))
    axis = g.choose([None, g.axis(g.values[x].ndim)])
    if axis is None and g.opset < 13 and g.values[x].ndim == 1:
        raise Rejected  # the default axis, 1, is none of a vector's
    g.add(op, [x], axis=axis)


def reduce(g: Graph) -> None:
    op = g.choose(REDUCTIONS)
    x = g.pick(g.types_of(op))
    value = g.values[x]
    huge = value.size == 0 or np.any(np.abs(value.astype(np.float64)) > 2**52)
    if op == "ReduceMean" and value.dtype.kind in "iu" and huge:
        raise Rejected  # of nothing undefined; both references divide in f64 and lose bits, the device does not
    rank = g.values[x].ndim
    axes = sorted({g.axis(rank) % rank for _ in range(g.integer(1, rank))}) if rank and g.coin() else None
    axes = [axis - rank if g.opset >= 11 and g.integer(0, 3) == 0 else axis for axis in axes] if axes else None
    keep = g.choose([None, 0, 1])
    if "axes" in g.schema(op).attributes:
        g.add(op, [x], axes=axes, keepdims=keep)
        return
    empty = g.choose([None, 0, 1])
    operands = [x] if axes is None else [x, g.constant(axes)]
    g.add(op, operands, keepdims=keep, noop_with_empty_axes=empty)


def arg(g: Graph) -> None:
    op = g.choose(["ArgMax", "ArgMin"])
    x = g.pick(g.types_of(op), _rank(1))
    last = g.choose([None, 0, 1]) if g.opset >= 12 else None
    g.add(op, [x], axis=g.axis(g.values[x].ndim) if g.opset >= 11 else None, keepdims=g.choose([None, 0, 1]),
          select_last_index=last)  # fmt: skip


def cumsum(g: Graph) -> None:
    x = g.pick(g.types_of("CumSum"), _rank(1))
    axis = g.constant(g.axis(g.values[x].ndim), g.choose(["int64", "int32"]))
    g.add("CumSum", [x, axis], exclusive=g.choose([None, 1]), reverse=g.choose([None, 1]))


def normalization(g: Graph) -> None:
    op = g.choose(["LayerNormalization", "LpNormalization", "MeanVarianceNormalization", "RMSNormalization"])
    x = g.pick([name for name in g.types_of(op) if name in FLOATS], _rank(1))
    value = g.values[x]
    if op == "LpNormalization":
        g.add(op, [x], axis=g.axis(value.ndim), p=g.choose([None, 1, 2]))
        return
    if op == "MeanVarianceNormalization":
        g.add(op, [x], axes=sorted({g.integer(0, value.ndim - 1) for _ in range(2)}))
        return
    axis = g.axis(value.ndim)
    dims = value.shape[axis % value.ndim :]
    operands = [x, g.pick([value.dtype.name], dims=dims)]
    if op == "LayerNormalization" and g.coin():
        operands.append(g.pick([value.dtype.name], dims=dims))
    g.add(op, operands, axis=axis, epsilon=g.choose([None, 1e-3]))


def channel_normalization(g: Graph) -> None:
    op = g.choose(["BatchNormalization", "InstanceNormalization", "GroupNormalization"])
    x = g.pick([name for name in g.types_of(op) if name in ("float32", "float64", "float16")], _rank(3))
    value = g.values[x]
    channels, names = value.shape[1], [value.dtype.name]
    scale, bias = g.pick(names, dims=(channels,)), g.pick(names, dims=(channels,))
    if op == "BatchNormalization":
        mean = g.pick(names, dims=(channels,))
        variance = g.constant(np.abs(g.numbers(value.dtype, (channels,), positive=True)))
        g.add(op, [x, scale, bias, mean, variance], epsilon=g.choose([None, 1e-2]))
    elif op == "InstanceNormalization":
        g.add(op, [x, scale, bias], epsilon=g.choose([None, 1e-2]))
    else:
        groups = g.choose([d for d in range(1, channels + 1) if channels % d == 0])
        if g.opset < 21:
            scale, bias = g.pick(names, dims=(groups,)), g.pick(names, dims=(groups,))
        g.add(op, [x, scale, bias], num_groups=groups)


def matmul(g: Graph) -> None:
    a = g.pick(g.types_of("MatMul"), _rank(1))
    value = g.values[a]
    n = g.choose([3, 1, 2, 5, 0])
    dims = (value.shape[-1], n)
    if value.ndim > 2 and g.coin():
        dims = (*(d if g.coin() else 1 for d in value.shape[:-2]), *dims)
    if g.integer(0, 4) == 0:
        dims = (value.shape[-1],)
    g.add("MatMul", [a, g.pick([value.dtype.name], dims=dims)])


def gemm(g: Graph) -> None:
    a = g.pick(g.types_of("Gemm"), lambda v: v.ndim == 2)
    value = g.values[a]
    left, right = g.coin(), g.coin()
    m, k = value.shape[::-1] if left else value.shape
    n = g.choose([3, 1, 2, 5, 0])
    names = [value.dtype.name]
    operands = [a, g.pick(names, dims=(n, k) if right else (k, n))]
    if g.coin() or g.opset < 11:
        operands.append(g.pick(names, dims=g.choose([(m, n), (n,), (1, n), (m, 1), ()])))
    if value.dtype.kind in "iu" and any(np.any(np.abs(g.values[x].astype(np.float64)) > 2**12) for x in operands):
        raise Rejected  # the evaluator multiplies by alpha in f64: sums that leave the type are not defined there
    factors = [g.choose([None, 0.5, 0.0]), g.choose([None, 2.0, 0.0])] if value.dtype.name in FLOATS else [None, None]
    g.add("Gemm", operands, transA=int(left), transB=int(right), alpha=factors[0], beta=factors[1])


FAMILIES: dict[str, Callable[[Graph], None]] = {
    function.__name__: function
    for function in (
        unary, binary, cast, reduce, where, variadic, clip, with_alpha, gelu, is_inf, softmax, arg, cumsum,
        normalization, channel_normalization, matmul, gemm,
    )
}  # fmt: skip
