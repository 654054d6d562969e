"""Ops that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, IntegerType, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, var_operand_def

from npucc.dialects.graph_ops.base import (
    GraphOp,
    Numerics,
    TileableOp,
    dtype_name,
    int_array,
    integer,
    ints,
    require,
    require_same_element,
    tensor_type,
)
from npucc.element_conversion import converted, reinterpreted
from npucc.tiling import Access, Affine, Dim, TilingSpec, broadcast_access, identity_access
from npucc.types import AnyTensor, Array, dtype_of, numpy_dtype, tensor

Shape = tuple[int, ...]


def _result_dims(shape: Shape) -> tuple[Dim, ...]:
    return tuple(Dim(f"d{axis}", size) for axis, size in enumerate(shape))


@irdl_op_definition
class TransposeOp(TileableOp):
    """Axis i of the result is axis perm[i] of x."""

    name = "graph.transpose"
    x = operand_def(TensorType)
    perm = prop_def(DenseArrayBase[IntegerType])

    def __init__(self, x: SSAValue | Operation, perm: Sequence[int]):
        result = _transpose_type(tensor_type(x), perm)
        super().__init__(operands=[x], result_types=[result], properties={"perm": int_array(perm)})

    @property
    def permutation(self) -> Shape:
        """`perm` as integers."""
        return ints(self.perm)

    def infer(self) -> AnyTensor:
        return _transpose_type(self.operand_types[0], self.permutation)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        return np.transpose(args[0], self.permutation)

    def tiling(self) -> TilingSpec:
        x, result = self.operand_types[0], self.result_type
        dims_of_axes = tuple(int(axis) for axis in np.argsort(self.permutation))
        return TilingSpec(
            op=self.name,
            dims=_result_dims(result.get_shape()),
            operands=(identity_access(x.get_shape(), dtype_name(x), dims_of_axes),),
            result=identity_access(result.get_shape(), dtype_name(result)),
        )


def _transpose_type(x: AnyTensor, perm: Sequence[int]) -> AnyTensor:
    shape = x.get_shape()
    good = sorted(perm) == list(range(len(shape)))
    require(good, f"graph.transpose: perm must permute the {len(shape)} axes of {list(shape)}, found {list(perm)}")
    return tensor([shape[axis] for axis in perm], x.element_type)


@irdl_op_definition
class ReshapeOp(GraphOp):
    """The same elements in row-major order under another shape; never work on the device."""

    name = "graph.reshape"
    x = operand_def(TensorType)

    def __init__(self, x: SSAValue | Operation, shape: Sequence[int]):
        operand = tensor_type(x)
        _check_reshape(operand.get_shape(), shape)
        super().__init__(operands=[x], result_types=[tensor(shape, operand.element_type)])

    def infer(self) -> AnyTensor:
        x, shape = self.operand_types[0], self.result_type.get_shape()
        _check_reshape(x.get_shape(), shape)
        return tensor(shape, x.element_type)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        return args[0].reshape(self.result_type.get_shape())


def _check_reshape(found: Sequence[int], wanted: Sequence[int]) -> None:
    message = f"graph.reshape: {list(found)} has {prod(found)} elements, {list(wanted)} has {prod(wanted)}"
    require(prod(found) == prod(wanted) and all(size >= 0 for size in wanted), message)


@irdl_op_definition
class BitcastOp(TileableOp):
    """The bits of the elements as elements of another type of the same width."""

    name = "graph.bitcast"
    x = operand_def(TensorType)

    def __init__(self, x: SSAValue | Operation, element: Attribute | str):
        super().__init__(operands=[x], result_types=[tensor(tensor_type(x).get_shape(), element)])

    def infer(self) -> AnyTensor:
        source, result = self.operand_types[0], self.result_type
        same = dtype_of(source.element_type).bits == dtype_of(result.element_type).bits
        found = f"{source.element_type} and {result.element_type}"
        require(same, f"graph.bitcast: both types must have the same width, found {found}")
        return tensor(source.get_shape(), result.element_type)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        source, target = self.operand_types[0].element_type, self.result_type.element_type
        held = converted(args[0], numpy_dtype(source))
        return converted(reinterpreted(held, numpy_dtype(target)), numerics.dtype(target))

    def tiling(self) -> TilingSpec:
        """Elements move unchanged: the operand is read as the type of the result."""
        result = self.result_type
        access = identity_access(result.get_shape(), dtype_name(result))
        return TilingSpec(op=self.name, dims=_result_dims(result.get_shape()), operands=(access,), result=access)


@irdl_op_definition
class SliceOp(TileableOp):
    """Axis i of the result has sizes[i] elements, at starts[i] + j * steps[i] of x; steps may be negative."""

    name = "graph.slice"
    x = operand_def(TensorType)
    starts = prop_def(DenseArrayBase[IntegerType])
    steps = prop_def(DenseArrayBase[IntegerType])
    sizes = prop_def(DenseArrayBase[IntegerType])

    def __init__(
        self, x: SSAValue | Operation, starts: Sequence[int], steps: Sequence[int], sizes: Sequence[int]
    ):
        super().__init__(
            operands=[x],
            result_types=[_slice_type(tensor_type(x), starts, steps, sizes)],
            properties={"starts": int_array(starts), "steps": int_array(steps), "sizes": int_array(sizes)},
        )

    @property
    def ranges(self) -> tuple[tuple[int, int, int], ...]:
        """(start, step, size) per axis."""
        return tuple(zip(ints(self.starts), ints(self.steps), ints(self.sizes)))

    def infer(self) -> AnyTensor:
        return _slice_type(self.operand_types[0], ints(self.starts), ints(self.steps), ints(self.sizes))

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        return args[0][tuple(_python_slice(*each) for each in self.ranges)]

    def tiling(self) -> TilingSpec:
        x, result = self.operand_types[0], self.result_type
        exprs = tuple(Affine(((axis, step),), start) for axis, (start, step, _) in enumerate(self.ranges))
        return TilingSpec(
            op=self.name,
            dims=_result_dims(result.get_shape()),
            operands=(Access(x.get_shape(), dtype_name(x), exprs),),
            result=identity_access(result.get_shape(), dtype_name(result)),
        )


def _python_slice(start: int, step: int, size: int) -> slice:
    end = start + step * size
    return slice(start, None if end < 0 else end, step) if size else slice(0, 0)


def _slice_type(
    x: AnyTensor, starts: Sequence[int], steps: Sequence[int], sizes: Sequence[int]
) -> AnyTensor:
    op, shape = "graph.slice", x.get_shape()
    lengths = {len(starts), len(steps), len(sizes)}
    found = f"starts {list(starts)}, steps {list(steps)}, sizes {list(sizes)}"
    require(lengths == {len(shape)}, f"{op}: needs one entry per axis of {list(shape)}, found {found}")
    for axis, (start, step, size) in enumerate(zip(starts, steps, sizes)):
        last = start + step * (size - 1)
        inside = size == 0 or (size > 0 and 0 <= start < shape[axis] and 0 <= last < shape[axis])
        where = f"{op}: axis {axis} of {list(shape)}"
        require(step != 0, f"{where}: step must not be 0")
        require(inside, f"{where}: elements {start} to {last} by {step} do not all exist")
    return tensor(sizes, x.element_type)


@irdl_op_definition
class ExpandOp(TileableOp):
    """NumPy broadcast of x to a shape."""

    name = "graph.expand"
    x = operand_def(TensorType)

    def __init__(self, x: SSAValue | Operation, shape: Sequence[int]):
        super().__init__(operands=[x], result_types=[_expand_type(tensor_type(x), shape)])

    def infer(self) -> AnyTensor:
        return _expand_type(self.operand_types[0], self.result_type.get_shape())

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        return np.broadcast_to(args[0], self.result_type.get_shape())

    def tiling(self) -> TilingSpec:
        x, result = self.operand_types[0], self.result_type
        shape = result.get_shape()
        return TilingSpec(
            op=self.name,
            dims=_result_dims(shape),
            operands=(broadcast_access(x.get_shape(), dtype_name(x), shape),),
            result=identity_access(shape, dtype_name(result)),
        )


def _expand_type(x: AnyTensor, shape: Sequence[int]) -> AnyTensor:
    found = x.get_shape()
    padded = (1,) * (len(shape) - len(found)) + found
    good = len(padded) == len(shape) and all(a in (1, b) for a, b in zip(padded, shape))
    require(good, f"graph.expand: {list(found)} does not broadcast to {list(shape)}")
    return tensor(shape, x.element_type)


@irdl_op_definition
class ConcatOp(GraphOp):
    """The operands one after the other along `axis`."""

    name = "graph.concat"
    inputs = var_operand_def(TensorType)
    axis = prop_def(IntegerAttr[IntegerType])

    def __init__(self, inputs: Sequence[SSAValue | Operation], axis: int):
        """`axis`: not negative."""
        super().__init__(
            operands=[list(inputs)],
            result_types=[_concat_type([tensor_type(each) for each in inputs], axis)],
            properties={"axis": integer(axis)},
        )

    @classmethod
    def grouped(cls, values: Sequence[SSAValue]) -> list[SSAValue | Sequence[SSAValue]]:
        return [list(values)]

    @property
    def axis_index(self) -> int:
        """`axis` as an integer."""
        return self.axis.value.data

    @property
    def offsets(self) -> Shape:
        """Where along `axis` each operand starts in the result."""
        extents = [each.get_shape()[self.axis_index] for each in self.operand_types]
        return tuple(int(end) - extent for end, extent in zip(np.cumsum(extents), extents))

    def infer(self) -> AnyTensor:
        return _concat_type(self.operand_types, self.axis_index)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        return np.concatenate(args, axis=self.axis_index)


def _concat_type(types: Sequence[AnyTensor], axis: int) -> AnyTensor:
    op = "graph.concat"
    require(len(types) > 0, f"{op}: needs an operand")
    element = require_same_element(op, types)
    shapes = [each.get_shape() for each in types]
    require(0 <= axis < len(shapes[0]), f"{op}: axis must be an axis of {list(shapes[0])}, found {axis}")
    rest = {(len(shape), shape[:axis], shape[axis + 1 :]) for shape in shapes}
    require(len(rest) == 1, f"{op}: shapes {', '.join(map(str, map(list, shapes)))} differ beyond axis {axis}")
    total = sum(shape[axis] for shape in shapes)
    return tensor((*shapes[0][:axis], total, *shapes[0][axis + 1 :]), element)
