"""Activation functions: element-wise ops of several scalar operations, some with parameters."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import Float64Type, FloatAttr, f64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, opt_prop_def, prop_def

from npucc.dialects.graph_ops.base import require, tensor_type
from npucc.dialects.graph_ops.elementwise import ElementwiseOp, Kinds, UnaryOp
from npucc.dialects.graph_ops.scalar import ScalarBuilder
from npucc.types import AnyTensor, Array, integer_limits, is_float


@irdl_op_definition
class ReciprocalOp(UnaryOp):
    """1 / x."""

    name = "graph.reciprocal"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return 1 / x

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.div(s.constant(1, x), x)


@irdl_op_definition
class SigmoidOp(UnaryOp):
    """1 / (1 + exp(-x))."""

    name = "graph.sigmoid"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        one = s.constant(1, x)
        return s.div(one, s.add(one, s.exp(s.neg(x))))


@irdl_op_definition
class SoftplusOp(UnaryOp):
    """log(1 + exp(x)), as max(x, 0) + log1p(exp(-|x|)): exp cannot overflow, and small results keep their digits."""

    name = "graph.softplus"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        decay = s.exp(s.neg(s.abs(x)))
        return s.add(s.maximum(x, s.constant(0, x)), s.log1p(decay))


@irdl_op_definition
class ReluOp(UnaryOp):
    """max(x, 0)."""

    name = "graph.relu"

    def numpy(self, x: Array) -> Array:
        return np.maximum(x, 0)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.maximum(x, s.constant(0, x))


class _AlphaOp(UnaryOp, ABC):
    """A float function with a slope `alpha`."""

    ACCEPTS: ClassVar[Kinds] = "float"
    alpha = prop_def(FloatAttr[Float64Type])

    def __init__(self, operand: SSAValue | Operation, alpha: float):
        ElementwiseOp.__init__(
            self,
            operands=[operand],
            result_types=[self.infer_from([tensor_type(operand)])],
            properties={"alpha": FloatAttr(alpha, f64)},
        )

    @property
    def slope(self) -> float:
        """The value of `alpha`."""
        return self.alpha.value.data


@irdl_op_definition
class LeakyReluOp(_AlphaOp):
    """x, or alpha * x where x < 0."""

    name = "graph.leaky_relu"

    def numpy(self, x: Array) -> Array:
        return np.where(x < 0, x * x.dtype.type(self.slope), x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        negative = s.compare("lt", x, s.constant(0, x))
        return s.select(negative, s.mul(x, s.constant(self.slope, x)), x)


@irdl_op_definition
class EluOp(_AlphaOp):
    """x, or alpha * (exp(x) - 1) where x < 0."""

    name = "graph.elu"

    def numpy(self, x: Array) -> Array:
        return np.where(x < 0, x.dtype.type(self.slope) * np.expm1(x), x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        negative = s.compare("lt", x, s.constant(0, x))
        return s.select(negative, s.mul(s.constant(self.slope, x), s.expm1(x)), x)


@irdl_op_definition
class HardSigmoidOp(UnaryOp):
    """alpha * x + beta, clipped to [0, 1]."""

    name = "graph.hard_sigmoid"
    ACCEPTS: ClassVar[Kinds] = "float"
    alpha = prop_def(FloatAttr[Float64Type])
    beta = prop_def(FloatAttr[Float64Type])

    def __init__(self, operand: SSAValue | Operation, alpha: float = 0.2, beta: float = 0.5):
        ElementwiseOp.__init__(
            self,
            operands=[operand],
            result_types=[self.infer_from([tensor_type(operand)])],
            properties={"alpha": FloatAttr(alpha, f64), "beta": FloatAttr(beta, f64)},
        )

    def numpy(self, x: Array) -> Array:
        scale, shift = x.dtype.type(self.alpha.value.data), x.dtype.type(self.beta.value.data)
        return np.minimum(np.maximum(x * scale + shift, 0), 1)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        scaled = s.mul(x, s.constant(self.alpha.value.data, x))
        line = s.add(scaled, s.constant(self.beta.value.data, x))
        return s.minimum(s.maximum(line, s.constant(0, x)), s.constant(1, x))


@irdl_op_definition
class ClipOp(UnaryOp):
    """min(max(x, min), max); an absent bound does not bind."""

    name = "graph.clip"
    min = opt_prop_def(FloatAttr[Float64Type])
    max = opt_prop_def(FloatAttr[Float64Type])

    def __init__(self, operand: SSAValue | Operation, min: float | None = None, max: float | None = None):
        ElementwiseOp.__init__(
            self,
            operands=[operand],
            result_types=[self.infer_from([tensor_type(operand)])],
            properties={
                "min": None if min is None else FloatAttr(float(min), f64),
                "max": None if max is None else FloatAttr(float(max), f64),
            },
        )

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """(min, max)."""
        low, high = self.min, self.max
        return low.value.data if low else None, high.value.data if high else None

    def infer(self) -> AnyTensor:
        require(self.min is not None or self.max is not None, f"{self.name}: needs min, max or both")
        return super().infer()

    def numpy(self, x: Array) -> Array:
        (low, high), element = self.bounds, self.operand_types[0].element_type
        if low is not None:
            x = np.maximum(x, _in_range(low, element))
        return x if high is None else np.minimum(x, _in_range(high, element))

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        low, high = self.bounds
        element = self.operand_types[0].element_type
        if low is not None:
            x = s.maximum(x, s.constant(_in_range(low, element), x))
        return x if high is None else s.minimum(x, s.constant(_in_range(high, element), x))


def _in_range(bound: float, element: Attribute) -> float | int:
    """A bound for elements of a type; beyond an integer type's range it is the range's end."""
    if is_float(element):
        return bound
    low, high = integer_limits(element)
    return int(min(max(bound, low), high))
