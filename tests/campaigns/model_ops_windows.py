"""Convolutions, pooling, resizing and quantisation: one function per family."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from model_graph import Graph, Rejected


def _window(g: Graph, axes: int) -> dict[str, list[int]]:
    """Kernel, strides, dilations and pads of so many axes."""
    kernel = [g.choose([2, 1, 3]) for _ in range(axes)]
    dilations = [g.choose([1, 1, 2]) for _ in range(axes)]
    reach = [d * (k - 1) for k, d in zip(kernel, dilations)]
    return {
        "kernel_shape": kernel,
        "strides": [g.choose([1, 2, 3]) for _ in range(axes)],
        "dilations": dilations,
        "pads": [g.integer(0, min(reach[axis % axes], kernel[axis % axes] - 1)) for axis in range(2 * axes)],
    }


def _image(g: Graph, op: str, channels: int) -> str:
    axes = g.choose([2, 1, 2, 3])
    dims = (g.choose([1, 2, 0]), channels, *(g.choose([5, 4, 7, 3, 1]) for _ in range(axes)))
    return g.pick([n for n in g.types_of(op) if n in ("float32", "float16", "float64", "int8", "uint8")], dims=dims)


def conv(g: Graph) -> None:
    groups, each, out = g.choose([1, 2, 3]), g.choose([1, 2]), g.choose([1, 2, 4])
    x = _image(g, "Conv", groups * each)
    value = g.values[x]
    window = _window(g, value.ndim - 2)
    names = [value.dtype.name]
    operands = [x, g.pick(names, dims=(groups * out, each, *window["kernel_shape"]))]
    if g.coin():
        operands.append(g.pick(names, dims=(groups * out,)))
    padding = (
        {"pads": window["pads"]} if g.integer(0, 3) else {"auto_pad": g.choose(["SAME_UPPER", "VALID", "SAME_LOWER"])}
    )
    if "auto_pad" in padding and max(window["dilations"]) > 1:
        raise Rejected  # the reference evaluator pads these otherwise than the standard says
    g.add("Conv", operands, group=groups, strides=window["strides"], dilations=window["dilations"], **padding)


def conv_transpose(g: Graph) -> None:
    groups, each, out = g.choose([1, 2]), g.choose([1, 2]), g.choose([1, 2, 3])
    x = _image(g, "ConvTranspose", groups * each)
    value = g.values[x]
    window = _window(g, value.ndim - 2)
    names = [value.dtype.name]
    operands = [x, g.pick(names, dims=(groups * each, out, *window["kernel_shape"]))]
    if g.coin():
        operands.append(g.pick(names, dims=(groups * out,)))
    extra = [g.integer(0, max(s, d) - 1) for s, d in zip(window["strides"], window["dilations"])]
    g.add("ConvTranspose", operands, group=groups, output_padding=g.choose([None, extra]), **window)


def pool(g: Graph) -> None:
    op = g.choose(["MaxPool", "AveragePool", "LpPool"])
    x = _image(g, op, g.choose([1, 3]))
    window = _window(g, g.values[x].ndim - 2)
    known = set(g.schema(op).attributes)
    if "dilations" not in known:
        del window["dilations"]
    extra = {
        "ceil_mode": g.choose([None, 0, 1]) if "ceil_mode" in known else None,
        "count_include_pad": g.choose([None, 0, 1]) if "count_include_pad" in known else None,
        "p": g.choose([None, 1, 2, 3]) if op == "LpPool" else None,
    }
    g.add(op, [x], **window, **extra)


def global_pool(g: Graph) -> None:
    op = g.choose(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
    g.add(op, [_image(g, op, g.choose([1, 3]))])


def lrn(g: Graph) -> None:
    x = _image(g, "LRN", g.choose([3, 1, 5]))
    if g.values[x].dtype != np.float32:
        raise Rejected  # onnxruntime has it in f32 only, and the evaluator does not have it right
    g.add("LRN", [x], size=g.choose([3, 1, 5]), alpha=g.choose([None, 0.5]), beta=g.choose([None, 0.5]))


def resize(g: Graph) -> None:
    if g.opset < 13:
        raise Rejected
    x = _image(g, "Resize", g.choose([1, 2]))
    value = g.values[x]
    mode = g.choose(["nearest", "linear", "cubic"])
    if mode == "cubic" and value.ndim != 4:
        raise Rejected
    if mode != "nearest" and value.dtype == np.float64:
        raise Rejected  # positions are f32, as in onnxruntime; the evaluator has them in f64
    if mode != "nearest" and value.dtype.kind in "iu":
        raise Rejected  # whole numbers come out as such or just below, and the fraction is dropped
    how = g.choose(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
    sizes = [*value.shape[:2], *(g.integer(1, 9) for _ in value.shape[2:])]
    rounding = g.choose([None, "floor", "ceil", "round_prefer_ceil"]) if mode == "nearest" else None
    operands = [x, "", "", g.constant(sizes)]
    g.add("Resize", operands, mode=mode, coordinate_transformation_mode=how, nearest_mode=rounding)


def quantize(g: Graph) -> None:
    if g.opset < 10:
        raise Rejected
    x = g.pick([name for name in g.types_of("QuantizeLinear") if name in ("float32", "float16")])
    dtype = np.dtype(g.choose(["uint8", "int8", *(["int16", "uint16"] if g.opset >= 21 else [])]))
    scale = g.constant(np.array(g.choose([0.25, 0.5, 0.125]), g.values[x].dtype))
    (q,) = g.add("QuantizeLinear", [x, scale, g.constant(g.numbers(dtype, ()))])
    g.add("DequantizeLinear", [q, scale])


def integer_product(g: Graph) -> None:
    a = g.pick(["uint8", "int8"], lambda v: v.ndim >= 1)
    value = g.values[a]
    b = g.pick(["uint8", "int8"], dims=(value.shape[-1], g.choose([3, 1, 2])))
    operands = [a, b]
    if g.coin():
        operands += [g.constant(g.numbers(g.values[name].dtype, ())) for name in (a, b)]
    g.add("MatMulInteger", operands)


def dynamic_quantize(g: Graph) -> None:
    g.add("DynamicQuantizeLinear", [g.pick(["float32"], lambda v: v.size > 0)], 3)


FAMILIES: dict[str, Callable[[Graph], None]] = {
    function.__name__: function
    for function in (
        conv, pool, conv_transpose, global_pool, lrn, resize, quantize, integer_product, dynamic_quantize,
    )
}  # fmt: skip
