"""Data movement by indices that are computed: gather and scatter.

Both work on three axes: batches b, the indexed axis s, and r elements behind it. An index array has an entry per
element, or extent 1 on an axis along which all share it: [b, n, 1] are rows, [b, n, r] elements. Every indexed op of
ONNX is one of these after a reshape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import StringAttr, TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def

from npucc import numpy_indexed
from npucc.dialects.graph_ops.base import Numerics, TileableOp, dtype_name, require, tensor_type
from npucc.tiling import Access, Affine, Dim, TilingSpec, identity_access
from npucc.types import AnyTensor, Array, dtype_of, tensor

_B, _N, _R = range(3)


@irdl_op_definition
class GatherOp(TileableOp):
    """y[b, i, r] = x[b, indices[b, i, r], r]: x [b, s, r], indices [b or 1, n, r or 1], y [b, n, r].

    Negative indices count from the end; an index outside [-s, s) gives 0.
    """

    name = "graph.gather"
    x = operand_def(TensorType)
    indices = operand_def(TensorType)

    def __init__(self, x: SSAValue | Operation, indices: SSAValue | Operation):
        super().__init__(operands=[x, indices], result_types=[_gather_type(tensor_type(x), tensor_type(indices))])

    def infer(self) -> AnyTensor:
        return _gather_type(*self.operand_types)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        return numpy_indexed.gather(args[0], args[1])

    def tiling(self) -> TilingSpec:
        (x, indices), result = self.operand_types, self.result_type
        batches, count, width = result.get_shape()
        dims = (Dim("b", batches), Dim("n", count), Dim("r", width), Dim("s", x.get_shape()[1], "reduction", False))
        table = Access(x.get_shape(), dtype_name(x), tuple(Affine(((dim, 1),)) for dim in (_B, 3, _R)))
        return TilingSpec(
            op=self.name,
            dims=dims,
            operands=(table, _shared(indices, (_B, _N, _R))),
            result=identity_access(result.get_shape(), dtype_name(result)),
            moves=True,
        )


def _shared(indices: AnyTensor, dims: tuple[int, int, int]) -> Access:
    """Access to the index array: axes of extent 1 stay where they are."""
    shape = indices.get_shape()
    exprs = tuple(Affine() if extent == 1 else Affine(((dim, 1),)) for extent, dim in zip(shape, dims))
    return Access(shape, dtype_name(indices), exprs)


def _check_indices(op: str, indices: AnyTensor, wanted: tuple[int, int, int]) -> None:
    dtype, shape = dtype_of(indices.element_type), indices.get_shape()
    require(not dtype.is_float and dtype.name != "bool", f"{op}: indices must be integers, found {dtype}")
    fits = len(shape) == 3 and all(extent in (1, size) for extent, size in zip(shape, wanted)) and shape[1] == wanted[1]
    require(fits, f"{op}: indices must broadcast to {list(wanted)}, found {list(shape)}")


def _gather_type(x: AnyTensor, indices: AnyTensor) -> AnyTensor:
    op, shape, places = "graph.gather", x.get_shape(), indices.get_shape()
    require(len(shape) == len(places) == 3, f"{op}: operands have 3 axes, found {list(shape)} and {list(places)}")
    batches, size, width = shape
    _check_indices(op, indices, (batches, places[1], width))
    empty = not batches * places[1] * width
    require(size > 0 or empty, f"{op}: cannot look up in an axis without elements")
    return tensor((batches, places[1], width), x.element_type)


@irdl_op_definition
class ScatterOp(TileableOp):
    """A copy of x in which updates[b, i, r] meet the element x[b, indices[b, i, r], r], in order of i.

    x [b, s, r], indices [b or 1, n, r or 1], updates [b, n, r]. fn: none (replaces), add, mul, min, max, computed in
    the type of x. Negative indices count from the end; an index outside [-s, s) changes nothing.
    """

    name = "graph.scatter"
    EPILOGUE: ClassVar[bool] = False

    x = operand_def(TensorType)
    indices = operand_def(TensorType)
    updates = operand_def(TensorType)
    fn = prop_def(StringAttr)

    def __init__(
        self,
        x: SSAValue | Operation,
        indices: SSAValue | Operation,
        updates: SSAValue | Operation,
        fn: str = "none",
    ):
        types = [tensor_type(value) for value in (x, indices, updates)]
        super().__init__(
            operands=[x, indices, updates],
            result_types=[_scatter_type(types[0], types[1], types[2], fn)],
            properties={"fn": StringAttr(fn)},
        )

    def infer(self) -> AnyTensor:
        x, indices, updates = self.operand_types
        return _scatter_type(x, indices, updates, self.fn.data)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        with np.errstate(all="ignore"):
            return numpy_indexed.scatter(args[0], args[1], args[2], self.fn.data)

    def tiling(self) -> TilingSpec:
        x, indices, updates = self.operand_types
        batches, size, width = x.get_shape()
        dims = (Dim("b", batches), Dim("s", size, tileable=False), Dim("r", width))
        dims += (Dim("n", updates.get_shape()[1], "reduction"),)
        result, order = identity_access(x.get_shape(), dtype_name(x)), (0, 3, 2)
        return TilingSpec(
            op=self.name,
            dims=dims,
            operands=(result, _shared(indices, order), identity_access(updates.get_shape(), dtype_name(x), order)),
            result=result,
            moves=True,
        )


def _scatter_type(x: AnyTensor, indices: AnyTensor, updates: AnyTensor, fn: str) -> AnyTensor:
    op, shape, found = "graph.scatter", x.get_shape(), updates.get_shape()
    functions = numpy_indexed.SCATTER_FUNCTIONS
    require(fn in functions, f"{op}: fn must be one of {', '.join(functions)}, found {fn}")
    require(len(shape) == len(found) == 3, f"{op}: operands have 3 axes, found {list(shape)} and {list(found)}")
    require((found[0], found[2]) == (shape[0], shape[2]), f"{op}: updates must be [b, n, r], found {list(found)}")
    same = updates.element_type == x.element_type
    require(same, f"{op}: updates must have the type {x.element_type}, found {updates.element_type}")
    require(found[1] > 0, f"{op}: there must be an update, found {list(found)}")
    _check_indices(op, indices, (found[0], found[1], found[2]))
    return x
