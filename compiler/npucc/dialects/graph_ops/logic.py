"""Comparisons (result bool), logic and selection."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def

from npucc.dialects.graph_ops.base import broadcast_shape, common_element, require, tensor_type
from npucc.dialects.graph_ops.elementwise import BinaryOp, ElementwiseOp, Kinds, UnaryOp
from npucc.dialects.graph_ops.scalar import ScalarBuilder
from npucc.types import BOOL, AnyTensor, Array, tensor


class ComparisonOp(BinaryOp, ABC):
    """A predicate on two operands of one type; false where either is NaN."""

    ACCEPTS: ClassVar[Kinds] = "any"

    @classmethod
    def infer_element(cls, elements: Attribute) -> Attribute:
        return BOOL


@irdl_op_definition
class EqualOp(ComparisonOp):
    """a == b."""

    name = "graph.equal"

    def numpy(self, a: Array, b: Array) -> Array:
        return a == b

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.compare("eq", a, b)


@irdl_op_definition
class LessOp(ComparisonOp):
    """a < b."""

    name = "graph.less"

    def numpy(self, a: Array, b: Array) -> Array:
        return a < b

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.compare("lt", a, b)


@irdl_op_definition
class LessOrEqualOp(ComparisonOp):
    """a <= b."""

    name = "graph.less_or_equal"

    def numpy(self, a: Array, b: Array) -> Array:
        return a <= b

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.compare("le", a, b)


@irdl_op_definition
class GreaterOp(ComparisonOp):
    """a > b."""

    name = "graph.greater"

    def numpy(self, a: Array, b: Array) -> Array:
        return a > b

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.compare("gt", a, b)


@irdl_op_definition
class GreaterOrEqualOp(ComparisonOp):
    """a >= b."""

    name = "graph.greater_or_equal"

    def numpy(self, a: Array, b: Array) -> Array:
        return a >= b

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.compare("ge", a, b)


@irdl_op_definition
class AndOp(BinaryOp):
    """a and b, bitwise; logical for bool."""

    name = "graph.and"
    ACCEPTS: ClassVar[Kinds] = "logic"

    def numpy(self, a: Array, b: Array) -> Array:
        return np.bitwise_and(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.and_(a, b)


@irdl_op_definition
class OrOp(BinaryOp):
    """a or b, bitwise; logical for bool."""

    name = "graph.or"
    ACCEPTS: ClassVar[Kinds] = "logic"

    def numpy(self, a: Array, b: Array) -> Array:
        return np.bitwise_or(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.or_(a, b)


@irdl_op_definition
class XorOp(BinaryOp):
    """a xor b, bitwise; logical for bool."""

    name = "graph.xor"
    ACCEPTS: ClassVar[Kinds] = "logic"

    def numpy(self, a: Array, b: Array) -> Array:
        return np.bitwise_xor(a, b)

    def scalar(self, s: ScalarBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        return s.xor(a, b)


@irdl_op_definition
class NotOp(UnaryOp):
    """Bitwise complement; logical for bool."""

    name = "graph.not"
    OVERFLOWS: ClassVar[bool] = True
    MODULAR: ClassVar[bool] = True
    ACCEPTS: ClassVar[Kinds] = "logic"

    def numpy(self, x: Array) -> Array:
        return np.invert(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.not_(x)


@irdl_op_definition
class WhereOp(ElementwiseOp):
    """a where the bool `condition` holds, else b."""

    name = "graph.where"
    ACCEPTS: ClassVar[Kinds] = "any"
    condition = operand_def(TensorType)
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)

    def __init__(self, condition: SSAValue | Operation, lhs: SSAValue | Operation, rhs: SSAValue | Operation):
        types = [tensor_type(condition), tensor_type(lhs), tensor_type(rhs)]
        super().__init__(operands=[condition, lhs, rhs], result_types=[self.infer_from(types)])

    @classmethod
    def infer_from(cls, types: Sequence[AnyTensor]) -> AnyTensor:
        found = types[0].element_type
        require(found == BOOL, f"{cls.name}: condition must be i1, found {found}")
        element = common_element(cls.name, types[1:])
        return tensor(broadcast_shape(cls.name, [each.get_shape() for each in types]), element)

    def numpy_call(self, args: Sequence[Array]) -> Array:
        return np.where(args[0], args[1], args[2])

    def scalar_call(self, scalars: ScalarBuilder, args: Sequence[SSAValue]) -> SSAValue:
        return scalars.select(args[0], args[1], args[2])
