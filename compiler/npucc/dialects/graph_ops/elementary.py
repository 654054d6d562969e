"""Elementary functions of floats, each one scalar operation of the machine."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition

from npucc.dialects.graph_ops.elementwise import Kinds, UnaryOp
from npucc.dialects.graph_ops.scalar import ScalarBuilder
from npucc.numpy_functions import erf
from npucc.types import Array


@irdl_op_definition
class ExpOp(UnaryOp):
    """e ** x."""

    name = "graph.exp"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.exp(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.exp(x)


@irdl_op_definition
class Expm1Op(UnaryOp):
    """e ** x - 1, precise near 0."""

    name = "graph.expm1"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.expm1(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.expm1(x)


@irdl_op_definition
class LogOp(UnaryOp):
    """Natural logarithm."""

    name = "graph.log"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.log(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.log(x)


@irdl_op_definition
class Log1pOp(UnaryOp):
    """Natural logarithm of 1 + x, precise near 0."""

    name = "graph.log1p"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.log1p(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.log1p(x)


@irdl_op_definition
class SqrtOp(UnaryOp):
    """Square root."""

    name = "graph.sqrt"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.sqrt(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.sqrt(x)


@irdl_op_definition
class FloorOp(UnaryOp):
    """Largest integer <= x."""

    name = "graph.floor"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.floor(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.floor(x)


@irdl_op_definition
class CeilOp(UnaryOp):
    """Smallest integer >= x."""

    name = "graph.ceil"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.ceil(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.ceil(x)


@irdl_op_definition
class RoundOp(UnaryOp):
    """Nearest integer, halves to even."""

    name = "graph.round"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.rint(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.round(x)


@irdl_op_definition
class TanhOp(UnaryOp):
    """Hyperbolic tangent."""

    name = "graph.tanh"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.tanh(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.tanh(x)


@irdl_op_definition
class ErfOp(UnaryOp):
    """Error function."""

    name = "graph.erf"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return erf(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.erf(x)


@irdl_op_definition
class SinOp(UnaryOp):
    """Sine of radians."""

    name = "graph.sin"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.sin(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.sin(x)


@irdl_op_definition
class CosOp(UnaryOp):
    """Cosine of radians."""

    name = "graph.cos"
    ACCEPTS: ClassVar[Kinds] = "float"

    def numpy(self, x: Array) -> Array:
        return np.cos(x)

    def scalar(self, s: ScalarBuilder, x: SSAValue) -> SSAValue:
        return s.cos(x)
