"""Element-wise arithmetic of two or more operands."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import dtype_of, element_of, element_type, is_float, shape_of

F32, F64 = element_type("f32"), element_type("f64")

BinaryClass = Callable[[SSAValue, SSAValue], graph.GraphOp]

BINARY: dict[str, BinaryClass] = {
    "Add": graph.AddOp,
    "Sub": graph.SubOp,
    "Mul": graph.MulOp,
    "Div": graph.DivOp,
}


def legacy_operands(node: ImportNode) -> tuple[SSAValue, SSAValue]:
    """Both operands of a binary op before opset 7: `b` lines up with `a` from axis `axis` on, if `broadcast` is set."""
    a, b = node.input(0), node.input(1)
    left, right = shape_of(a), shape_of(b)
    if not node.integer("broadcast"):
        if left != right:
            raise Malformed("without `broadcast` both shapes are equal", f"{list(left)} and {list(right)}")
        return a, b
    axis = node.axis("axis", len(left) or 1) if node.has_attribute("axis") else len(left) - len(right)
    trailing = len(left) - axis - len(right)
    if trailing < 0:
        raise Malformed("the second operand lies within the axes of the first", f"axis {axis}, {list(right)}")
    return a, node.build.reshape(b, (*right, *[1] * trailing))


def binary_operands(node: ImportNode) -> tuple[SSAValue, SSAValue]:
    """Both operands; `broadcast` and `axis` attributes of opset 6 are applied."""
    return legacy_operands(node) if node.opset < 7 else (node.input(0), node.input(1))


def _register_binary(name: str, make: BinaryClass) -> None:
    @onnx_op(name)
    def _import(node: ImportNode) -> SSAValue:
        return node.build.emit(make(*binary_operands(node)))


for _name, _make in BINARY.items():
    _register_binary(_name, _make)


def _register_variadic(name: str, make: BinaryClass) -> None:
    @onnx_op(name)
    def _import(node: ImportNode) -> SSAValue:
        return reduce(lambda a, b: node.build.emit(make(a, b)), node.all_inputs())


for _name, _make in {"Sum": graph.AddOp, "Max": graph.MaxOp, "Min": graph.MinOp}.items():
    _register_variadic(_name, _make)


@onnx_op("Mean")
def mean(node: ImportNode) -> SSAValue:
    """Element-wise mean of any number of operands."""
    values = node.all_inputs()
    total = reduce(node.build.add, values)
    return node.build.divided(total, len(values))


@onnx_op("Pow")
def power(node: ImportNode) -> SSAValue:
    """a ** b in the type of a. Constant exponents 1, 2 and 3 become products; the others are left to the passes.

    Integers compute in the wider of both types. With an exponent of floats they compute in f64 and truncate, as C's
    `pow` does.
    """
    build = node.build
    base, exponent = binary_operands(node)
    known = build.known(exponent)
    if known is not None and known.size == 1 and len(known.shape) <= len(shape_of(base)):
        value = float(known.reshape(-1)[0])
        if value == 1:
            return base
        if value in (2, 3):
            square = build.mul(base, base)
            return square if value == 2 else build.mul(square, base)
    element, other = element_of(base), element_of(exponent)
    if element == other:
        return build.emit(graph.PowOp(base, exponent))
    if not is_float(element) and not is_float(other):
        wide = element_type("u64" if "u64" in (str(dtype_of(element)), str(dtype_of(other))) else "i64")
    else:
        wide = F64 if F64 in (element, other) or not is_float(element) else F32
    return build.cast(build.emit(graph.PowOp(build.cast(base, wide), build.cast(exponent, wide))), element)


@onnx_op("BitShift")
def bit_shift(node: ImportNode) -> SSAValue:
    """x moved by n bits; a right shift keeps the sign."""
    direction = node.text("direction")
    if direction not in ("LEFT", "RIGHT"):
        raise Malformed("`direction` is LEFT or RIGHT", f"`{direction}`")
    shift = graph.ShiftLeftOp if direction == "LEFT" else graph.ShiftRightOp
    return node.build.emit(shift(node.input(0), node.input(1)))


@onnx_op("Mod")
def modulo(node: ImportNode) -> SSAValue:
    """Remainder, exact: sign of the divisor, or of the dividend with `fmod`."""
    return node.build.emit((graph.RemOp if node.integer("fmod") else graph.ModOp)(node.input(0), node.input(1)))
