"""Contractions: matmul, convolution and depthwise convolution, channels last.

The result element type may be wider than that of the operands (f16 x f16 -> f32, i8 x i8 -> i32); without one given it
is the operands'. Products are summed in f32 at least (integers: in the result's type) and rounded once to the result's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, IntegerType, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def
from xdsl.utils.exceptions import VerifyException

from npucc import numpy_kernels
from npucc.dialects.graph_ops.base import (
    Numerics,
    TileableOp,
    broadcast_shape,
    dtype_name,
    int_array,
    integer,
    ints,
    require,
    tensor_type,
)
from npucc.numpy_kernels import Pads, Pair, window_count
from npucc.tiling import Access, Affine, Dim, TilingSpec, identity_access
from npucc.types import AnyTensor, Array, element_type, is_float, tensor

Shape = tuple[int, ...]


def result_element_of(op: str, types: Sequence[AnyTensor], wanted: Attribute | str | None) -> Attribute:
    """The result element type: `wanted`, by default the operands'; floats stay floats, integers integers."""
    first = types[0].element_type
    element = element_type(wanted) if isinstance(wanted, str) else wanted or first
    floats = [is_float(each.element_type) for each in types]
    if any(each != is_float(element) for each in floats) or (floats[0] and types[1].element_type != first):
        found = " x ".join(str(each.element_type) for each in types)
        raise VerifyException(f"{op}: cannot contract {found} to {element}: one float type, or integers to an integer")
    return element


class ContractionOp(TileableOp, ABC):
    """A sum of products of two operands."""

    @abstractmethod
    def contract(self, a: Array, b: Array) -> Array:
        """The sum of products in the type of the arrays, which is wide enough."""

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        element = self.result_type.element_type
        wide = numerics.compute(element)
        if is_float(element):
            wide = np.result_type(wide, *(numerics.compute(t.element_type) for t in self.operand_types))
        wide_args = [arg.astype(wide, copy=False) for arg in args]
        return self.contract(wide_args[0], wide_args[1]).astype(numerics.dtype(element), copy=False)


@irdl_op_definition
class MatmulOp(ContractionOp):
    """a [..., m, k] @ b [..., k, n] -> [..., m, n] with NumPy broadcasting of the leading (batch) axes."""

    name = "graph.matmul"
    a = operand_def(TensorType)
    b = operand_def(TensorType)

    def __init__(
        self, a: SSAValue | Operation, b: SSAValue | Operation, result_element: Attribute | str | None = None
    ):
        result = _matmul_type([tensor_type(a), tensor_type(b)], result_element)
        super().__init__(operands=[a, b], result_types=[result])

    def infer(self) -> AnyTensor:
        return _matmul_type(self.operand_types, self.result_type.element_type)

    def contract(self, a: Array, b: Array) -> Array:
        return np.matmul(a, b)

    def tiling(self) -> TilingSpec:
        a, b = self.operand_types
        result = self.result_type
        *batch, m, n = result.get_shape()
        k = a.get_shape()[-1]
        count = len(batch)
        dims = [Dim(f"b{axis}", size) for axis, size in enumerate(batch)]
        dims += [Dim("m", m), Dim("n", n), Dim("k", k, "reduction")]
        return TilingSpec(
            op=self.name,
            dims=tuple(dims),
            operands=(
                _batched_access(a, batch, (count, count + 2)),
                _batched_access(b, batch, (count + 2, count + 1)),
            ),
            result=identity_access(result.get_shape(), dtype_name(result)),
            macs=prod(batch) * m * n * k,
        )


def _matmul_type(types: Sequence[AnyTensor], element: Attribute | str | None) -> AnyTensor:
    a, b = (list(each.get_shape()) for each in types)
    op = "graph.matmul"
    require(min(len(a), len(b)) >= 2, f"{op}: operands need rank >= 2, found shapes {a} and {b}")
    require(a[-1] == b[-2], f"{op}: k differs, found {a[-1]} in {a} and {b[-2]} in {b}")
    batch = broadcast_shape(op, [tuple(a[:-2]), tuple(b[:-2])])
    return tensor((*batch, a[-2], b[-1]), result_element_of(op, types, element))


def _batched_access(type_: AnyTensor, batch: Sequence[int], last: Pair) -> Access:
    """Access of a matmul operand: broadcast batch axes, then the two dims `last`."""
    shape = type_.get_shape()
    lead = len(batch) - (len(shape) - 2)
    exprs = [
        Affine(((lead + axis, 1),)) if extent == batch[lead + axis] else Affine()
        for axis, extent in enumerate(shape[:-2])
    ]
    exprs += [Affine(((dim, 1),)) for dim in last]
    return Access(shape, dtype_name(type_), tuple(exprs))


class _WindowedOp(ContractionOp, ABC):
    """Properties of two-dimensional convolutions."""

    x = operand_def(TensorType)
    w = operand_def(TensorType)
    strides = prop_def(DenseArrayBase[IntegerType])
    dilations = prop_def(DenseArrayBase[IntegerType])
    pads = prop_def(DenseArrayBase[IntegerType])

    @property
    def stride_pair(self) -> Pair:
        """(vertical, horizontal)."""
        first, second = ints(self.strides)
        return first, second

    @property
    def dilation_pair(self) -> Pair:
        """(vertical, horizontal)."""
        first, second = ints(self.dilations)
        return first, second

    @property
    def pad_widths(self) -> Pads:
        """(top, left, bottom, right)."""
        top, left, bottom, right = ints(self.pads)
        return top, left, bottom, right

    def _input_exprs(self, kernel_dims: Pair) -> tuple[Affine, Affine]:
        """Row and column of x from the dims oh = 1, ow = 2 and the kernel's."""
        (sh, sw), (dh, dw) = self.stride_pair, self.dilation_pair
        top, left, _, _ = self.pad_widths
        return (
            Affine(((1, sh), (kernel_dims[0], dh)), -top),
            Affine(((2, sw), (kernel_dims[1], dw)), -left),
        )


@irdl_op_definition
class ConvOp(_WindowedOp):
    """x [n,h,w,ci] with w [kh,kw,ci/groups,co] -> [n,oh,ow,co]; pads [top, left, bottom, right]."""

    name = "graph.conv"
    groups = prop_def(IntegerAttr[IntegerType])

    def __init__(
        self,
        x: SSAValue | Operation,
        w: SSAValue | Operation,
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        groups: int = 1,
        result_element: Attribute | str | None = None,
    ):
        types = [tensor_type(x), tensor_type(w)]
        result = _conv_type("graph.conv", types, strides, dilations, pads, groups, result_element)
        super().__init__(
            operands=[x, w],
            result_types=[result],
            properties={**_window_properties(strides, dilations, pads), "groups": integer(groups)},
        )

    @property
    def group_count(self) -> int:
        """Groups of channels that are convolved independently."""
        return self.groups.value.data

    def infer(self) -> AnyTensor:
        element, groups = self.result_type.element_type, self.group_count
        windows = ints(self.strides), ints(self.dilations), ints(self.pads)
        return _conv_type(self.name, self.operand_types, *windows, groups, element)

    def contract(self, a: Array, b: Array) -> Array:
        return numpy_kernels.conv(a, b, self.stride_pair, self.dilation_pair, self.pad_widths, self.group_count)

    def tiling(self) -> TilingSpec:
        x, w = self.operand_types
        n, oh, ow, outputs = self.result_type.get_shape()
        kh, kw, per_input, _ = w.get_shape()
        groups = self.group_count
        per_output = outputs // groups
        dims = [Dim("n", n), Dim("oh", oh), Dim("ow", ow)]
        dims += [Dim("g", groups)] if groups > 1 else []
        co = len(dims)
        dims += [
            Dim("co", per_output),
            Dim("kh", kh, "reduction", tileable=False),
            Dim("kw", kw, "reduction", tileable=False),
            Dim("ci", per_input, "reduction"),
        ]
        kernel, ci = (co + 1, co + 2), co + 3
        output = _grouped(co, per_output, groups)
        row, column = self._input_exprs(kernel)
        kernel_exprs = tuple(Affine(((dim, 1),)) for dim in kernel)
        result = (*(Affine(((dim, 1),)) for dim in range(3)), output)
        return TilingSpec(
            op=self.name,
            dims=tuple(dims),
            operands=(
                Access(x.get_shape(), dtype_name(x), (Affine(((0, 1),)), row, column, _grouped(ci, per_input, groups))),
                Access(w.get_shape(), dtype_name(w), (*kernel_exprs, Affine(((ci, 1),)), output)),
            ),
            result=Access(self.result_type.get_shape(), dtype_name(self.result_type), result),
            macs=n * oh * ow * outputs * kh * kw * per_input,
        )


def _grouped(dim: int, per_group: int, groups: int) -> Affine:
    """A channel: `g * per_group + dim`, where g is dim 3 if there are groups."""
    return Affine(((dim, 1),)) if groups == 1 else Affine(((3, per_group), (dim, 1)))


@irdl_op_definition
class DepthwiseConvOp(_WindowedOp):
    """x [n,h,w,c] with w [kh,kw,c] -> [n,oh,ow,c]: each channel with a kernel of its own."""

    name = "graph.depthwise_conv"

    def __init__(
        self,
        x: SSAValue | Operation,
        w: SSAValue | Operation,
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        result_element: Attribute | str | None = None,
    ):
        types = [tensor_type(x), tensor_type(w)]
        result = _conv_type("graph.depthwise_conv", types, strides, dilations, pads, 0, result_element)
        properties = _window_properties(strides, dilations, pads)
        super().__init__(operands=[x, w], result_types=[result], properties=properties)

    def infer(self) -> AnyTensor:
        windows = ints(self.strides), ints(self.dilations), ints(self.pads)
        return _conv_type(self.name, self.operand_types, *windows, 0, self.result_type.element_type)

    def contract(self, a: Array, b: Array) -> Array:
        return numpy_kernels.depthwise_conv(a, b, self.stride_pair, self.dilation_pair, self.pad_widths)

    def tiling(self) -> TilingSpec:
        x, w = self.operand_types
        n, oh, ow, c = self.result_type.get_shape()
        kh, kw, _ = w.get_shape()
        row, column = self._input_exprs((4, 5))
        return TilingSpec(
            op=self.name,
            dims=(
                Dim("n", n),
                Dim("oh", oh),
                Dim("ow", ow),
                Dim("c", c),
                Dim("kh", kh, "reduction", tileable=False),
                Dim("kw", kw, "reduction", tileable=False),
            ),
            operands=(
                Access(x.get_shape(), dtype_name(x), (Affine(((0, 1),)), row, column, Affine(((3, 1),)))),
                identity_access(w.get_shape(), dtype_name(w), (4, 5, 3)),
            ),
            result=identity_access(self.result_type.get_shape(), dtype_name(self.result_type)),
            macs=n * oh * ow * c * kh * kw,
        )


def _window_properties(
    strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int]
) -> dict[str, Attribute]:
    return {"strides": int_array(strides), "dilations": int_array(dilations), "pads": int_array(pads)}


def check_window(op: str, strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int]) -> None:
    """Two positive strides and dilations, four pads >= 0."""
    for what, values in (("strides", strides), ("dilations", dilations)):
        good = len(values) == 2 and min(values) > 0
        require(good, f"{op}: {what} must be two positive integers, found {list(values)}")
    require(len(pads) == 4 and min(pads) >= 0, f"{op}: pads must be four integers >= 0, found {list(pads)}")


def _conv_type(
    op: str,
    types: Sequence[AnyTensor],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    groups: int,
    element: Attribute | str | None,
) -> AnyTensor:
    """Result type of a convolution; `groups` 0 means depthwise."""
    x, w = (each.get_shape() for each in types)
    ranks = (4, 4 if groups else 3)
    require((len(x), len(w)) == ranks, f"{op}: ranks must be {ranks}, found shapes {list(x)} and {list(w)}")
    check_window(op, strides, dilations, pads)
    _check_channels(op, x, w, groups)
    counts = tuple(
        window_count(x[1 + i], w[i], strides[i], dilations[i], pads[i], pads[i + 2]) for i in range(2)
    )
    require(min(counts) > 0, f"{op}: kernel {list(w[:2])} does not fit into the padded input {list(x)}")
    return tensor((x[0], *counts, w[-1]), result_element_of(op, types, element))


def _check_channels(op: str, x: Shape, w: Shape, groups: int) -> None:
    if groups == 0:
        require(w[2] == x[3], f"{op}: x has {x[3]} channels, w has {w[2]}")
        return
    require(groups > 0, f"{op}: groups must be positive, found {groups}")
    per_input = f"{op}: x has {x[3]} channels, w {list(w)} needs {w[2]} per group x {groups} groups"
    require(w[2] * groups == x[3], per_input)
    require(w[3] % groups == 0, f"{op}: {w[3]} output channels do not divide into {groups} groups")
