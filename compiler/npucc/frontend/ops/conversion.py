"""Conversion between element types: by value (Cast, CastLike) and by bits (BitCast)."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from xdsl.ir import Attribute, SSAValue

from npucc.dialects import graph
from npucc.element_conversion import converted
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.elementary import element_of_onnx
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import Array, dtype_of, element_of, element_type, is_float, numpy_dtype

F32, POWERS = element_type("f32"), element_type("f8e8m0")
SATURATING = frozenset(element_type(name) for name in ("f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz"))
"""Types whose conversion has the option `saturate`; f4 and f6 always saturate, and f8e8m0 has rules of its own."""
ROUND_MODES = ("up", "down", "nearest")


@onnx_op("Cast")
def cast(node: ImportNode) -> SSAValue:
    """Conversion to the element type `to`."""
    return _cast(node, element_of_onnx(node.attribute("to")))


@onnx_op("CastLike")
def cast_like(node: ImportNode) -> SSAValue:
    """Conversion to the element type of the second input."""
    return _cast(node, element_of(node.input(1)))


@onnx_op("BitCast")
def bit_cast(node: ImportNode) -> SSAValue:
    """The bits of the elements as the type `to`, which has the same width."""
    x, element = node.input(0), element_of_onnx(node.attribute("to"))
    found = [dtype_of(each) for each in (element_of(x), element)]
    if found[0].bits != found[1].bits:
        raise Malformed("both types have the same number of bits", f"{found[0]} and {found[1]}")
    return node.build.bitcast(x, element)


def _cast(node: ImportNode, element: Attribute) -> SSAValue:
    saturate, mode = bool(node.integer("saturate", 1)), node.text("round_mode", "up")
    if mode not in ROUND_MODES:
        raise Malformed(f"`round_mode` is one of {', '.join(ROUND_MODES)}", f"`{mode}`")
    return cast_to(node.build, node.input(0), element, saturate, mode)


def cast_to(
    build: GraphBuilder, x: SSAValue, element: Attribute, saturate: bool = True, mode: str = "up"
) -> SSAValue:
    """ONNX's Cast. To an 8-bit float with sign: what is beyond its range becomes its end, if `saturate`; else infinity
    or NaN, as the machine stores it. To f8e8m0: see `_to_power`."""
    if element_of(x) == element or (element not in SATURATING and element != POWERS):
        return build.cast(x, element)
    if element == POWERS:
        return _to_power(build, build.cast(x, F32), saturate, mode)
    if not saturate:
        return build.cast(x, element)
    wide = element_of(x)
    wide = wide if is_float(wide) and dtype_of(wide).bits > 8 else F32
    end = float(ml_dtypes.finfo(numpy_dtype(element)).max)
    return build.cast(_clip(build, build.cast(x, wide), -end, end), element)


def _clip(build: GraphBuilder, x: SSAValue, low: float, high: float) -> SSAValue:
    """x between two bounds; a known array stays known."""
    known = build.known(x)
    if known is None:
        return build.emit(graph.ClipOp(x, low, high))
    clipped = np.clip(known.astype(np.float64), low, high)  # NaN stays
    return build.constant(converted(clipped, known.dtype), f"{build.node}.clipped")


LEAST_POWER, GREATEST_POWER = 2.0**-127, 2.0**127


def _to_power(build: GraphBuilder, x: SSAValue, saturate: bool, mode: str) -> SSAValue:
    """An f32 as f8e8m0, rounded up, down or to the nearest power of two (ties up).

    What is not between the ends of the range (all that is not positive, too) becomes an end or, unless `saturate`, NaN.
    """
    known = build.known(x)
    if known is not None:
        return build.constant(_power_of(known, saturate, mode), f"{build.node}.powers")
    if saturate:
        x = build.emit(graph.ClipOp(x, LEAST_POWER, GREATEST_POWER))
    else:
        above = build.emit(graph.GreaterOrEqualOp(x, build.scalar(LEAST_POWER, x)))
        below = build.emit(graph.LessOrEqualOp(x, build.scalar(GREATEST_POWER, x)))
        inside = build.emit(graph.AndOp(above, below))
        x = build.emit(graph.WhereOp(inside, x, build.scalar(np.nan, x)))
    power = build.cast(build.cast(x, POWERS), F32)  # the machine rounds to the nearest
    if mode == "up":
        power = build.emit(graph.WhereOp(build.emit(graph.LessOp(power, x)), build.add(power, power), power))
    if mode == "down":
        half = build.scaled(power, 0.5)
        power = build.emit(graph.WhereOp(build.emit(graph.GreaterOp(power, x)), half, power))
    return build.cast(power, POWERS)


def _power_of(x: Array, saturate: bool, mode: str) -> Array:
    """The same of an array."""
    wide = x.astype(np.float64)
    inside = (wide >= LEAST_POWER) & (wide <= GREATEST_POWER)
    wide = np.clip(wide, LEAST_POWER, GREATEST_POWER) if saturate else np.where(inside, wide, np.nan)
    powers = numpy_dtype(POWERS)
    power = converted(wide, powers).astype(np.float64)
    if mode == "up":
        power = np.where(power < wide, 2 * power, power)
    if mode == "down":
        power = np.where(power > wide, power / 2, power)
    return converted(power, powers)
