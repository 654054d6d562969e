"""Reductions: over windows of two axes, over whole axes, and the normalisations of the last axis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, IntegerType, StringAttr, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def

from npucc import numpy_kernels
from npucc.dialects.graph_ops.base import (
    Numerics,
    TileableOp,
    dtype_name,
    int_array,
    ints,
    require,
    tensor_type,
)
from npucc.dialects.graph_ops.contraction import check_window
from npucc.numpy_kernels import Pads, Pair, window_count
from npucc.tiling import Access, Affine, Dim, TilingSpec, identity_access
from npucc.types import AnyTensor, Array, element_type, is_float, tensor

REDUCTIONS = ("sum", "max", "min", "prod")


def _wide_element(op: str, operand: AnyTensor, wanted: Attribute | str | None) -> Attribute:
    """Result element: `wanted`, by default the operand's; floats stay floats, integers integers."""
    element = element_type(wanted) if isinstance(wanted, str) else wanted or operand.element_type
    same = is_float(element) == is_float(operand.element_type)
    require(same, f"{op}: cannot reduce {operand.element_type} to {element}")
    return element


def _check_fn(op: str, fn: str) -> None:
    require(fn in REDUCTIONS, f"{op}: fn must be one of {', '.join(REDUCTIONS)}, found {fn}")


class _ReductionOp(TileableOp, ABC):
    """One operand; computes in the wider of the operand's and the result's compute types."""

    x = operand_def(TensorType)

    @abstractmethod
    def reduce_array(self, x: Array) -> Array:
        """The reduction in the type of `x`."""

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        element = self.result_type.element_type
        wide = np.result_type(numerics.compute(element), numerics.compute(self.operand_types[0].element_type))
        return self.reduce_array(args[0].astype(wide, copy=False)).astype(numerics.dtype(element), copy=False)


@irdl_op_definition
class WindowReduceOp(_ReductionOp):
    """Reduce windows over two axes; padding holds fn's neutral element. pads = [a_lo, b_lo, a_hi, b_hi]."""

    name = "graph.window_reduce"
    fn = prop_def(StringAttr)
    axes = prop_def(DenseArrayBase[IntegerType])
    sizes = prop_def(DenseArrayBase[IntegerType])
    strides = prop_def(DenseArrayBase[IntegerType])
    dilations = prop_def(DenseArrayBase[IntegerType])
    pads = prop_def(DenseArrayBase[IntegerType])

    def __init__(
        self,
        x: SSAValue | Operation,
        fn: str,
        axes: Sequence[int],
        sizes: Sequence[int],
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        result_element: Attribute | str | None = None,
    ):
        windows = (axes, sizes, strides, dilations, pads)
        names = ("axes", "sizes", "strides", "dilations", "pads")
        super().__init__(
            operands=[x],
            result_types=[_window_type(tensor_type(x), fn, *windows, result_element)],
            properties={"fn": StringAttr(fn), **{name: int_array(v) for name, v in zip(names, windows)}},
        )

    def infer(self) -> AnyTensor:
        windows = (self.axes, self.sizes, self.strides, self.dilations, self.pads)
        element = self.result_type.element_type
        axes, sizes, strides, dilations, pads = (ints(each) for each in windows)
        return _window_type(self.operand_types[0], self.fn.data, axes, sizes, strides, dilations, pads, element)

    @property
    def window(self) -> tuple[Pair, Pair, Pair, Pair, Pads]:
        """(axes, sizes, strides, dilations, pads)."""
        pairs = [ints(each) for each in (self.axes, self.sizes, self.strides, self.dilations)]
        axes, sizes, strides, dilations = ((pair[0], pair[1]) for pair in pairs)
        a_low, b_low, a_high, b_high = ints(self.pads)
        return axes, sizes, strides, dilations, (a_low, b_low, a_high, b_high)

    def reduce_array(self, x: Array) -> Array:
        return numpy_kernels.window_reduce(x, self.fn.data, *self.window)

    def tiling(self) -> TilingSpec:
        x, result = self.operand_types[0], self.result_type
        axes, sizes, strides, dilations, pads = self.window
        rank = len(result.get_shape())
        dims = [Dim(f"d{axis}", size) for axis, size in enumerate(result.get_shape())]
        dims += [Dim(name, size, "reduction", tileable=False) for name, size in zip(("wa", "wb"), sizes)]
        exprs = [Affine(((axis, 1),)) for axis in range(rank)]
        for i, axis in enumerate(axes):
            exprs[axis] = Affine(((axis, strides[i]), (rank + i, dilations[i])), -pads[i])
        return TilingSpec(
            op=self.name,
            dims=tuple(dims),
            operands=(Access(x.get_shape(), dtype_name(x), tuple(exprs)),),
            result=identity_access(result.get_shape(), dtype_name(result)),
        )


def _window_type(
    x: AnyTensor,
    fn: str,
    axes: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    element: Attribute | str | None,
) -> AnyTensor:
    op, shape = "graph.window_reduce", list(x.get_shape())
    _check_fn(op, fn)
    check_window(op, strides, dilations, pads)
    good = len(axes) == 2 and 0 <= axes[0] < axes[1] < len(shape)
    require(good, f"{op}: axes must be two increasing axes of {shape}, found {list(axes)}")
    require(len(sizes) == 2 and min(sizes) > 0, f"{op}: sizes must be two positive integers, found {list(sizes)}")
    counts = [
        window_count(shape[axis], sizes[i], strides[i], dilations[i], pads[i], pads[i + 2])
        for i, axis in enumerate(axes)
    ]
    require(min(counts) > 0, f"{op}: window {list(sizes)} does not fit into the padded axes {list(axes)} of {shape}")
    for axis, count in zip(axes, counts):
        shape[axis] = count
    return tensor(shape, _wide_element(op, x, element))


@irdl_op_definition
class ReduceOp(_ReductionOp):
    """Reduce whole axes, which stay with extent 1. fn: sum, max, min or prod."""

    name = "graph.reduce"
    fn = prop_def(StringAttr)
    axes = prop_def(DenseArrayBase[IntegerType])

    def __init__(
        self,
        x: SSAValue | Operation,
        fn: str,
        axes: Sequence[int],
        result_element: Attribute | str | None = None,
    ):
        """`axes`: increasing, not negative."""
        super().__init__(
            operands=[x],
            result_types=[_reduce_type(tensor_type(x), fn, axes, result_element)],
            properties={"fn": StringAttr(fn), "axes": int_array(axes)},
        )

    def infer(self) -> AnyTensor:
        axes, element = ints(self.axes), self.result_type.element_type
        return _reduce_type(self.operand_types[0], self.fn.data, axes, element)

    def reduce_array(self, x: Array) -> Array:
        return numpy_kernels.reduce(x, self.fn.data, ints(self.axes))

    def tiling(self) -> TilingSpec:
        x, result = self.operand_types[0], self.result_type
        axes, shape = ints(self.axes), x.get_shape()
        dims = [Dim(f"d{axis}", size) for axis, size in enumerate(result.get_shape())]
        exprs = [Affine(((axis, 1),)) for axis in range(len(shape))]
        for axis in axes:
            exprs[axis] = Affine(((len(dims), 1),))
            dims.append(Dim(f"r{axis}", shape[axis], "reduction"))
        return TilingSpec(
            op=self.name,
            dims=tuple(dims),
            operands=(Access(shape, dtype_name(x), tuple(exprs)),),
            result=identity_access(result.get_shape(), dtype_name(result)),
        )


def _reduce_type(x: AnyTensor, fn: str, axes: Sequence[int], element: Attribute | str | None) -> AnyTensor:
    op, shape = "graph.reduce", list(x.get_shape())
    _check_fn(op, fn)
    good = list(axes) == sorted(set(axes)) and all(0 <= axis < len(shape) for axis in axes) and len(axes) > 0
    require(good, f"{op}: axes must be increasing axes of {shape}, found {list(axes)}")
    for axis in axes:
        shape[axis] = 1
    return tensor(shape, _wide_element(op, x, element))


class _LastAxisOp(_ReductionOp, ABC):
    """A normalisation along the last axis, which is kept whole."""

    def __init__(self, x: SSAValue | Operation, result_element: Attribute | str | None = None):
        super().__init__(operands=[x], result_types=[self._infer_from(tensor_type(x), result_element)])

    @classmethod
    def _infer_from(cls, x: AnyTensor, element: Attribute | str | None) -> AnyTensor:
        shape = x.get_shape()
        require(len(shape) > 0, f"{cls.name}: operand must have an axis, found a scalar")
        require(is_float(x.element_type), f"{cls.name}: operand must be of floats, found {x.element_type}")
        return tensor(shape, _wide_element(cls.name, x, element))

    def infer(self) -> AnyTensor:
        return self._infer_from(self.operand_types[0], self.result_type.element_type)

    def tiling(self) -> TilingSpec:
        x, result = self.operand_types[0], self.result_type
        shape = x.get_shape()
        dims = [Dim(f"d{axis}", size) for axis, size in enumerate(shape[:-1])]
        dims.append(Dim(f"d{len(dims)}", shape[-1], tileable=False))
        return TilingSpec(
            op=self.name,
            dims=tuple(dims),
            operands=(identity_access(shape, dtype_name(x)),),
            result=identity_access(shape, dtype_name(result)),
        )


@irdl_op_definition
class SoftmaxOp(_LastAxisOp):
    """exp(x - max) / sum(exp(x - max)) along the last axis."""

    name = "graph.softmax"

    def reduce_array(self, x: Array) -> Array:
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)


@irdl_op_definition
class LogSoftmaxOp(_LastAxisOp):
    """x - max - log(sum(exp(x - max))) along the last axis."""

    name = "graph.log_softmax"

    def reduce_array(self, x: Array) -> Array:
        shifted = x - x.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
