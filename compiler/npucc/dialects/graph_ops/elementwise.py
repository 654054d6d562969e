"""Element-wise ops: the bases, arithmetic and cast.

Each op says two things side by side: its NumPy semantics and the scalar arith/math code of one element, from which the
bodies of `tile.map` are built. Operands broadcast as in NumPy and share one element type, except that
f16, bf16 and f32 may mix (the op then computes in, and gives, f32).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects.builtin import IntegerType, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def

from npucc.dialects.graph_ops.base import (
    Numerics,
    TileableOp,
    broadcast_shape,
    common_element,
    dtype_name,
    require,
    tensor_type,
)
from npucc.dialects.graph_ops.scalar import ScalarBuilder
from npucc.dialects.graph_ops.unsigned import Unsigned64Builder
from npucc.element_conversion import converted
from npucc.numpy_functions import integer_division, integer_power, power
from npucc.tiling import Dim, TilingSpec, broadcast_access, identity_access
from npucc.types import BOOL, AnyTensor, Array, compute_type, dtype_of, element_type, is_float, tensor

Kinds = Literal["float", "number", "integer", "logic", "any"]


def _is_kind(element: Attribute, kinds: Kinds) -> bool:
    match kinds:
        case "float":
            return is_float(element)
        case "number":
            return element != BOOL
        case "integer":
            return element != BOOL and not is_float(element)
        case "logic":
            return not is_float(element)
        case "any":
            return True


class ElementwiseOp(TileableOp, ABC):
    """One result element from the operands' elements at the same (broadcast) position."""

    ACCEPTS: ClassVar[Kinds] = "number"
    """Element types of the operands: floats; all but bool; integers; integers and bool; all."""
    OVERFLOWS: ClassVar[bool] = False
    """Of integers in the result's range the exact result may lie outside it."""
    MODULAR: ClassVar[bool] = False
    """Operands that differ by multiples of 2 ** bits give results that do: they need not be wrapped before."""

    @property
    def leaves_type(self) -> bool:
        """Whether the emitted scalar may be no value of the result's element type (see `into_type`)."""
        element = self.result_type.element_type
        if not self.OVERFLOWS or is_float(element) or element == BOOL:
            return False
        return dtype_of(element).bits < dtype_of(compute_type(element)).bits

    @abstractmethod
    def numpy_call(self, args: Sequence[Array]) -> Array:
        """NumPy semantics on arrays of the compute type (f16 and bf16 arrive as f32)."""

    @abstractmethod
    def scalar_call(self, scalars: ScalarBuilder, args: Sequence[SSAValue]) -> SSAValue:
        """Emit the op on scalars of the operands' compute types; the result has the result's compute type."""

    @classmethod
    def infer_element(cls, elements: Attribute) -> Attribute:
        """Result element type, from the type that the operands share."""
        return elements

    @classmethod
    def infer_from(cls, types: Sequence[AnyTensor]) -> AnyTensor:
        """The result type."""
        element = common_element(cls.name, types)
        require(_is_kind(element, cls.ACCEPTS), f"{cls.name}: element type must be {cls.ACCEPTS}, found {element}")
        shape = broadcast_shape(cls.name, [each.get_shape() for each in types])
        return tensor(shape, cls.infer_element(element))

    def infer(self) -> AnyTensor:
        return self.infer_from(self.operand_types)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        types = self.operand_types
        computed = [converted(arg, numerics.compute(t.element_type)) for arg, t in zip(args, types)]
        return converted(self.numpy_call(computed), numerics.dtype(self.result_type.element_type))

    def tiling(self) -> TilingSpec:
        result = self.result_type
        shape = result.get_shape()
        return TilingSpec(
            op=self.name,
            dims=tuple(Dim(f"d{axis}", size) for axis, size in enumerate(shape)),
            operands=tuple(broadcast_access(t.get_shape(), dtype_name(t), shape) for t in self.operand_types),
            result=identity_access(shape, dtype_name(result)),
        )


U64 = element_type("u64")


def emit_scalar(op: ElementwiseOp, builder: Builder, args: Sequence[SSAValue]) -> SSAValue:
    """Emit `op` on one element at `builder`'s insertion point; returns the scalar result.

    `args` are values of the operands' element types in their `compute_type`; the result has that of the result's,
    but if `op.leaves_type` its value may not be one of that type: then `into_type` must follow before the result is
    used for anything but a store (which converts as well) or an operand of a `MODULAR` op.
    """
    return op.scalar_call(_scalars(op, builder), args)


def into_type(op: ElementwiseOp, builder: Builder, scalar: SSAValue) -> SSAValue:
    """What storing `scalar`, the result of `op`, and loading it again would give: wrapped, or rounded to 16 bits."""
    scalars, element = ScalarBuilder(builder), op.result_type.element_type
    if is_float(element):
        return scalars.rounded(scalar, element)
    return _wrap(scalars, scalar, cast("IntegerType", element))


def _scalars(op: ElementwiseOp, builder: Builder) -> ScalarBuilder:
    """i64 scalars hold u64 elements as bit patterns, which need operations of their own."""
    unsigned = any(each.element_type == U64 for each in (*op.operand_types, op.result_type))
    return Unsigned64Builder(builder) if unsigned else ScalarBuilder(builder)


class UnaryOp(ElementwiseOp, ABC):
    """One operand."""

    operand = operand_def(TensorType)

    def __init__(self, operand: SSAValue | Operation):
        super().__init__(operands=[operand], result_types=[self.infer_from([tensor_type(operand)])])

    @abstractmethod
    def numpy(self, x: Array) -> Array:
        """NumPy semantics."""

    @abstractmethod
    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        """Scalar code."""

    def numpy_call(self, args: Sequence[Array]) -> Array:
        return self.numpy(args[0])

    def scalar_call(self, scalars: ScalarBuilder, args: Sequence[SSAValue]) -> SSAValue:
        return self.scalar(scalars, args[0])


class BinaryOp(ElementwiseOp, ABC):
    """Two operands."""

    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)

    def __init__(self, lhs: SSAValue | Operation, rhs: SSAValue | Operation):
        types = [tensor_type(lhs), tensor_type(rhs)]
        super().__init__(operands=[lhs, rhs], result_types=[self.infer_from(types)])

    @abstractmethod
    def numpy(self, a: Array, b: Array) -> Array:
        """NumPy semantics."""

    @abstractmethod
    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        """Scalar code."""

    def numpy_call(self, args: Sequence[Array]) -> Array:
        return self.numpy(args[0], args[1])

    def scalar_call(self, scalars: ScalarBuilder, args: Sequence[SSAValue]) -> SSAValue:
        return self.scalar(scalars, args[0], args[1])


UNROUNDED = "unrounded"
"""Discardable attribute of a cast to f16 or bf16 that only says how to store: inside a kernel it need not round."""


@irdl_op_definition
class CastOp(ElementwiseOp):
    """Convert to another element type: to an integer toward zero, integers wrap, to bool 'is not 0'.

    Floats round to the nearest, ties to even. Beyond the range of an 8-bit float lies infinity or, where the type has
    none, NaN (see `npusim.semantics.narrow_types`); to saturate, clip before.
    """

    name = "graph.cast"
    ACCEPTS: ClassVar[Kinds] = "any"
    operand = operand_def(TensorType)

    def __init__(self, operand: SSAValue | Operation, element: Attribute | str):
        """`element`: an MLIR type or a name such as 'f16'."""
        shape = tensor_type(operand).get_shape()
        super().__init__(operands=[operand], result_types=[tensor(shape, element)])

    def infer(self) -> AnyTensor:
        return tensor(self.operand_types[0].get_shape(), self.result_type.element_type)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        return converted(args[0], numerics.dtype(self.result_type.element_type))

    def numpy_call(self, args: Sequence[Array]) -> Array:
        return args[0]

    @property
    def leaves_type(self) -> bool:
        source, target = self.operand_types[0].element_type, self.result_type.element_type
        if is_float(target):
            return UNROUNDED not in self.attributes and dtype_of(target).bits <= 16 and not holds(target, source)
        return isinstance(source, IntegerType) and isinstance(target, IntegerType) and _narrows(source, target)

    def scalar_call(self, scalars: ScalarBuilder, args: Sequence[SSAValue]) -> SSAValue:
        target = self.result_type.element_type
        if args[0].type == element_type("f64") and dtype_of(target).bits <= 16 and is_float(target):
            # By way of f32 the value would be rounded twice.
            return scalars.rounded(args[0], target)
        return scalars.cast(args[0], compute_type(target))


def holds(target: Attribute, source: Attribute) -> bool:
    """Whether each value of `source` is one of the float type `target` (and a NaN stays one)."""
    if source == target:
        return True
    if isinstance(source, IntegerType):
        return source.width.data <= _SIGNIFICANT_BITS.get(dtype_of(target).name, 0)
    narrow, wide = dtype_of(source), dtype_of(target)
    if wide.bits <= 8:
        return False
    if narrow.bits <= 8:
        return narrow.name != "f8e8m0" or wide.name != "f16"
    return wide.bits > narrow.bits


_SIGNIFICANT_BITS = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}
"""Integers of so many bits are exact; those of f16 are below its greatest value."""


def _narrows(source: IntegerType, target: IntegerType) -> bool:
    """Whether the target holds fewer values than source and compute type do (so that a value may wrap)."""
    if target == BOOL or source == BOOL or target.width.data >= 64 or compute_type(target) == target:
        return False
    (least, end), (low, high) = _range(target), _range(source)
    return low < least or high > end


def _range(element: IntegerType) -> tuple[int, int]:
    bits = element.width.data
    return (0, 1 << bits) if element == element_type(f"u{bits}") else (-(1 << bits - 1), 1 << bits - 1)


def _wrap(s: ScalarBuilder, value: SSAValue, target: IntegerType) -> SSAValue:
    """Two's complement: `((value - least) mod 2**bits) + least`, with `mod` as a bitwise and."""
    least, end = _range(target)
    if least == 0:
        return s.and_(value, s.constant(end - 1, value))
    offset = s.constant(-least, value)
    return s.sub(s.and_(s.add(value, offset), s.constant(end - least - 1, value)), offset)


@irdl_op_definition
class AddOp(BinaryOp):
    """a + b."""

    name = "graph.add"
    OVERFLOWS: ClassVar[bool] = True
    MODULAR: ClassVar[bool] = True

    def numpy(self, a: Array, b: Array) -> Array:
        return a + b

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.add(a, b)


@irdl_op_definition
class SubOp(BinaryOp):
    """a - b."""

    name = "graph.sub"
    OVERFLOWS: ClassVar[bool] = True
    MODULAR: ClassVar[bool] = True

    def numpy(self, a: Array, b: Array) -> Array:
        return a - b

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.sub(a, b)


@irdl_op_definition
class MulOp(BinaryOp):
    """a * b."""

    name = "graph.mul"
    OVERFLOWS: ClassVar[bool] = True
    MODULAR: ClassVar[bool] = True

    def numpy(self, a: Array, b: Array) -> Array:
        return a * b

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.mul(a, b)


@irdl_op_definition
class DivOp(BinaryOp):
    """a / b; integers truncate toward zero."""

    name = "graph.div"
    OVERFLOWS: ClassVar[bool] = True

    def numpy(self, a: Array, b: Array) -> Array:
        return a / b if a.dtype.kind == "f" else integer_division(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.div(a, b)


@irdl_op_definition
class RemOp(BinaryOp):
    """Remainder with the sign of a (C's fmod; ONNX Mod with fmod=1)."""

    name = "graph.rem"

    def numpy(self, a: Array, b: Array) -> Array:
        return np.fmod(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.rem(a, b)


@irdl_op_definition
class ModOp(BinaryOp):
    """Remainder with the sign of b (Python's %; ONNX Mod with fmod=0)."""

    name = "graph.mod"

    def numpy(self, a: Array, b: Array) -> Array:
        return np.mod(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.mod(a, b)


@irdl_op_definition
class PowOp(BinaryOp):
    """a ** b; integers wrap, and with a negative exponent truncate toward zero (0 ** -1 is 0)."""

    name = "graph.pow"
    OVERFLOWS: ClassVar[bool] = True

    def numpy(self, a: Array, b: Array) -> Array:
        return power(a, b) if a.dtype.kind == "f" else integer_power(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.pow(a, b)


@irdl_op_definition
class MinOp(BinaryOp):
    """The smaller of a and b; NaN if either is."""

    name = "graph.min"

    def numpy(self, a: Array, b: Array) -> Array:
        return np.minimum(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.minimum(a, b)


@irdl_op_definition
class MaxOp(BinaryOp):
    """The greater of a and b; NaN if either is."""

    name = "graph.max"

    def numpy(self, a: Array, b: Array) -> Array:
        return np.maximum(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.maximum(a, b)


@irdl_op_definition
class NegOp(UnaryOp):
    """-x."""

    name = "graph.neg"
    OVERFLOWS: ClassVar[bool] = True
    MODULAR: ClassVar[bool] = True

    def numpy(self, x: Array) -> Array:
        return -x

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.neg(x)


@irdl_op_definition
class AbsOp(UnaryOp):
    """|x|."""

    name = "graph.abs"
    OVERFLOWS: ClassVar[bool] = True

    def numpy(self, x: Array) -> Array:
        return np.abs(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.abs(x)


@irdl_op_definition
class SignOp(UnaryOp):
    """-1, 0 or 1; NaN stays NaN."""

    name = "graph.sign"

    def numpy(self, x: Array) -> Array:
        return np.sign(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        zero = s.constant(0, x)
        negative = s.select(s.compare("lt", x, zero), s.constant(-1, x), x)
        return s.select(s.compare("gt", x, zero), s.constant(1, x), negative)
