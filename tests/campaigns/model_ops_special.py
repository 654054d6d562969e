"""Ops with rules of their own: Einsum, sampling, quantized products, attention and others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from model_graph import FLOATS, Graph, Rejected

_LETTERS = "ijklmn"


def einsum(g: Graph) -> None:
    """One or two operands with any letters in common; the result keeps some of them, in any order."""
    sizes = {letter: g.choose([2, 3, 1, 4]) for letter in _LETTERS}
    terms = ["".join(_LETTERS[i] for i in g.permutation(4)[: g.integer(1, 3)]) for _ in range(g.integer(1, 2))]
    letters = sorted(set("".join(terms)))
    kept = "".join(letters[i] for i in g.permutation(len(letters))[: g.integer(0, len(letters))])
    name = [g.choose(["float32", "float64", "int32"])]
    operands = [g.pick(name if not i else [name[0]], dims=[sizes[c] for c in term]) for i, term in enumerate(terms)]
    if len({g.values[operand].dtype for operand in operands}) > 1:
        raise Rejected
    g.add("Einsum", operands, equation=f"{','.join(terms)}->{kept}")


def cast_like(g: Graph) -> None:
    x = g.pick([*FLOATS, "bool", "int32"])
    like = g.pick([*FLOATS, "bool"])
    g.add("CastLike", [x, like])


def grid_sample(g: Graph) -> None:
    n, c, h, w, out = g.choose([1, 2]), g.choose([1, 3]), g.choose([4, 1, 5]), g.choose([3, 1, 4]), g.choose([3, 1, 2])
    x = g.pick(["float32"], dims=(n, c, h, w))
    rng = np.random.default_rng(g.integer(0, 99))
    grid = g.feed((rng.integers(-9, 10, (n, out, 2, 2)) / 8 + 1 / 64).astype(np.float32))
    linear = "bilinear" if g.opset < 20 else "linear"
    mode = g.choose([None, linear, "nearest"])
    padding = g.choose([None, "zeros", "border", "reflection"])
    g.add("GridSample", [x, grid], mode=mode, padding_mode=padding, align_corners=g.choose([None, 0, 1]))


def conv_integer(g: Graph) -> None:
    x = g.pick(["uint8"], dims=(1, 2, g.choose([5, 3]), g.choose([4, 3])))
    w = g.pick(["uint8"], dims=(g.choose([3, 1]), 2, g.choose([2, 1, 3]), g.choose([2, 1])))
    operands = [x, w]
    if g.coin():
        operands += [g.constant(g.numbers(np.dtype(np.uint8), ())) for _ in range(g.integer(1, 2))]
    g.add("ConvInteger", operands, pads=g.choose([None, [1, 0, 1, 0]]), strides=g.choose([None, [2, 1]]))


def qlinear_matmul(g: Graph) -> None:
    a = g.pick(["uint8", "int8"], lambda v: v.ndim == 2 and v.size > 0)
    value = g.values[a]
    second = ["uint8", "int8"] if value.dtype == np.uint8 else ["int8"]  # what onnxruntime has
    b = g.pick(second, dims=(value.shape[1], g.choose([3, 1, 2])))

    def quantisation(name: str, scale: float) -> list[str]:
        return [g.constant(np.array(scale, np.float32)), g.constant(g.numbers(g.values[name].dtype, ()))]

    out = quantisation(a, g.choose([1.0, 4.0, 0.5]))
    g.add("QLinearMatMul", [a, *quantisation(a, 0.25), b, *quantisation(b, 0.5), *out])


def center_crop_pad(g: Graph) -> None:
    x = g.pick(g.types_of("CenterCropPad"), lambda v: v.ndim >= 1)
    g.add("CenterCropPad", [x, g.constant([g.integer(1, 6) for _ in g.values[x].shape])])


def attention(g: Graph) -> None:
    batch, heads, rows, keys, size = g.choose([1, 2]), g.choose([2, 1]), g.choose([3, 1]), g.choose([4, 1]), 4
    group = g.choose([1, heads])
    names = [g.choose(["float32", "float16"])]
    q = g.pick(names, dims=(batch, heads, rows, size))
    k, v = (g.pick(names, dims=(batch, group, keys, size)) for _ in range(2))
    g.add("Attention", [q, k, v], is_causal=g.choose([None, 1]), softcap=g.choose([None, 2.0]))


def rotary(g: Graph) -> None:
    batch, heads, rows, size = g.choose([1, 2]), g.choose([2, 1]), g.choose([3, 1]), 4
    x = g.pick(["float32", "float16"], dims=(batch, heads, rows, size))
    names = [g.values[x].dtype.name]
    caches = [g.pick(names, dims=(batch, rows, size // 2)) for _ in range(2)]
    g.add("RotaryEmbedding", [x, *caches], interleaved=g.choose([None, 1]))


def loss(g: Graph) -> None:
    classes, rows = g.choose([3, 1, 4]), g.choose([2, 1, 5])
    op = g.choose(["SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"])
    x = g.pick(["float32"], dims=(rows, classes))
    labels = g.feed(np.random.default_rng(g.integer(0, 99)).integers(0, classes, rows))
    g.add(op, [x, labels], reduction=g.choose([None, "sum", "none"]))


def fourier(g: Graph) -> None:
    if g.opset < 20:
        raise Rejected
    x = g.pick(["float32"], dims=(g.choose([1, 2]), g.choose([8, 5, 1, 7]), 1))
    g.add("DFT", [x, "", g.constant(np.array(1))], onesided=g.choose([None, 1]))


def swish(g: Graph) -> None:
    g.add("Swish", [g.pick(g.types_of("Swish"))], alpha=g.choose([None, 2.0, -1.0]))


FAMILIES: dict[str, Callable[[Graph], None]] = {
    function.__name__: function
    for function in (
        einsum, cast_like, grid_sample, conv_integer, qlinear_matmul, center_crop_pad, attention, rotary, loss, fourier,
        swish,
    )
}  # fmt: skip
