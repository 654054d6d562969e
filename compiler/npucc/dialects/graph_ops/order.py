"""Work on whole lines: argsort and running sums along any axis, compaction along the last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from npuisa.instructions import sort_workspace
from xdsl.dialects.builtin import IntegerAttr, IntegerType, StringAttr, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def

from npucc import numpy_order
from npucc.dialects.graph_ops.base import Numerics, TileableOp, dtype_name, integer, require, tensor_type
from npucc.dialects.graph_ops.window import REDUCTIONS
from npucc.tiling import Access, Affine, Dim, TilingSpec, identity_access
from npucc.types import AnyTensor, Array, dtype_of, element_type, is_float, numpy_dtype, tensor

POSITIONS = tuple(element_type(name) for name in ("i32", "i64"))
Flag = IntegerAttr[IntegerType]


def _check_flag(op: str, name: str, value: Flag) -> None:
    require(value.value.data in (0, 1), f"{op}: {name} must be 0 or 1, found {value.value.data}")


def _line_spec(
    op: str, operands: Sequence[AnyTensor], result: AnyTensor, axis: int = -1, workspace: int = 0
) -> TilingSpec:
    """Loops over the lines along `axis`; a line of the operands and one of the result are whole in a tile."""
    shape = result.get_shape()
    rank, line = len(shape), axis % len(shape)
    dims = [Dim("count" if i == line else f"d{i}", size, tileable=i != line) for i, size in enumerate(shape)]
    dims.append(Dim("line", operands[0].get_shape()[line], "reduction", tileable=False))
    written = tuple(Affine(((i, 1),)) for i in range(rank))
    read = tuple(Affine(((rank if i == line else i, 1),)) for i in range(rank))
    return TilingSpec(
        op=op,
        dims=tuple(dims),
        operands=tuple(Access(each.get_shape(), dtype_name(each), read) for each in operands),
        result=Access(shape, dtype_name(result), written),
        moves=True,
        workspace=workspace,
    )


def _selection(op: str, x: AnyTensor, count: int, element: Attribute, axis: int = -1) -> AnyTensor:
    """The type of x with `count` elements per line."""
    shape = x.get_shape()
    line = _checked_axis(op, x, axis)
    require(0 <= count <= shape[line], f"{op}: count must lie in 0..{shape[line]}, found {count}")
    return tensor((*shape[:line], count, *shape[line + 1 :]), element)


def _checked_axis(op: str, x: AnyTensor, axis: int) -> int:
    """The axis from the front; -1 is the last one."""
    rank = len(x.get_shape())
    require(rank > 0, f"{op}: operand must have an axis, found a scalar")
    require(-1 <= axis < rank, f"{op}: axis must lie in 0..{rank - 1}, found {axis}")
    return axis % rank


def _positions(op: str, x: AnyTensor, count: int, element: Attribute, axis: int = -1) -> AnyTensor:
    require(element in POSITIONS, f"{op}: positions are i32 or i64, found {element}")
    return _selection(op, x, count, element, axis)


@irdl_op_definition
class ArgsortOp(TileableOp):
    """Positions of the first `count` elements of each line along `axis` in ascending (or descending) order.

    Equal elements keep the order of their positions; -0 equals 0; NaN is greater than every number.
    """

    name = "graph.argsort"
    x = operand_def(TensorType)
    axis = prop_def(IntegerAttr[IntegerType])
    count = prop_def(IntegerAttr[IntegerType])
    descending = prop_def(IntegerAttr[IntegerType])

    def __init__(
        self,
        x: SSAValue | Operation,
        count: int,
        descending: bool = False,
        element: Attribute | str = "i64",
        axis: int = -1,
    ):
        kind = element_type(element) if isinstance(element, str) else element
        line = _checked_axis(self.name, tensor_type(x), axis)
        super().__init__(
            operands=[x],
            result_types=[_positions(self.name, tensor_type(x), count, kind, line)],
            properties={
                "axis": integer(line),
                "count": integer(count),
                "descending": integer(int(descending)),
            },
        )

    @property
    def line(self) -> int:
        """The axis that is sorted."""
        return self.axis.value.data

    def infer(self) -> AnyTensor:
        _check_flag(self.name, "descending", self.descending)
        element = self.result_type.element_type
        return _positions(self.name, self.operand_types[0], self.count.value.data, element, self.line)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        lines = np.moveaxis(args[0], self.line, -1)
        places = numpy_order.argsort(lines, self.count.value.data, bool(self.descending.value.data))
        return np.moveaxis(places, -1, self.line).astype(numerics.dtype(self.result_type.element_type))

    def tiling(self) -> TilingSpec:
        x, result, line = self.operand_types[0], self.result_type, self.line
        words = sort_workspace(x.get_shape()[line], result.get_shape()[line], dtype_of(x.element_type).bits)
        return _line_spec(self.name, [x], result, line, words)


@irdl_op_definition
class ScanOp(TileableOp):
    """Running sum, prod, max or min along `axis` (a prefix scan; ONNX's Scan is a loop).

    exclusive = 1: of the elements before, the first gets fn's neutral element; reverse = 1: from the end. Computes in
    the wider of the operand's and the result's compute types.
    """

    name = "graph.scan"
    x = operand_def(TensorType)
    axis = prop_def(IntegerAttr[IntegerType])
    fn = prop_def(StringAttr)
    exclusive = prop_def(IntegerAttr[IntegerType])
    reverse = prop_def(IntegerAttr[IntegerType])

    def __init__(
        self,
        x: SSAValue | Operation,
        fn: str,
        exclusive: bool = False,
        reverse: bool = False,
        element: Attribute | str | None = None,
        axis: int = -1,
    ):
        kind = element_type(element) if isinstance(element, str) else element
        line = _checked_axis(self.name, tensor_type(x), axis)
        super().__init__(
            operands=[x],
            result_types=[_scan_type(tensor_type(x), fn, kind)],
            properties={
                "axis": integer(line),
                "fn": StringAttr(fn),
                "exclusive": integer(int(exclusive)),
                "reverse": integer(int(reverse)),
            },
        )

    @property
    def line(self) -> int:
        """The axis that it runs along."""
        return self.axis.value.data

    def infer(self) -> AnyTensor:
        _checked_axis(self.name, self.operand_types[0], self.line)
        _check_flag(self.name, "exclusive", self.exclusive)
        _check_flag(self.name, "reverse", self.reverse)
        return _scan_type(self.operand_types[0], self.fn.data, self.result_type.element_type)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        element = self.result_type.element_type
        wide = np.result_type(numerics.compute(element), numerics.compute(self.operand_types[0].element_type))
        flags = bool(self.exclusive.value.data), bool(self.reverse.value.data)
        lines = np.moveaxis(args[0].astype(wide, copy=False), self.line, -1)
        total = np.moveaxis(numpy_order.scan(lines, self.fn.data, *flags), -1, self.line)
        return total.astype(numerics.dtype(element), copy=False)

    def tiling(self) -> TilingSpec:
        x, result = self.operand_types[0], self.result_type
        shape = x.get_shape()
        dims = [
            Dim("line" if axis == self.line else f"d{axis}", size, tileable=axis != self.line)
            for axis, size in enumerate(shape)
        ]
        return TilingSpec(
            op=self.name,
            dims=tuple(dims),
            operands=(identity_access(shape, dtype_name(x)),),
            result=identity_access(shape, dtype_name(result)),
        )


def _scan_type(x: AnyTensor, fn: str, element: Attribute | None) -> AnyTensor:
    op, wanted = "graph.scan", x.element_type if element is None else element
    require(fn in REDUCTIONS, f"{op}: fn must be one of {', '.join(REDUCTIONS)}, found {fn}")
    same = is_float(wanted) == is_float(x.element_type)
    require(same, f"{op}: floats run into floats and integers into integers, found {x.element_type} to {wanted}")
    narrow = numpy_dtype(wanted).itemsize < numpy_dtype(x.element_type).itemsize
    require(not narrow, f"{op}: the result must not be narrower than the operand, found {wanted}")
    return tensor(x.get_shape(), wanted)


@irdl_op_definition
class NonzeroOp(TileableOp):
    """The first `count` positions of each line at which mask is not 0, in order; -1 behind the last of them."""

    name = "graph.nonzero"
    mask = operand_def(TensorType)
    count = prop_def(IntegerAttr[IntegerType])

    def __init__(self, mask: SSAValue | Operation, count: int, element: Attribute | str = "i64"):
        kind = element_type(element) if isinstance(element, str) else element
        super().__init__(
            operands=[mask],
            result_types=[_positions(self.name, tensor_type(mask), count, kind)],
            properties={"count": integer(count)},
        )

    def infer(self) -> AnyTensor:
        return _positions(self.name, self.operand_types[0], self.count.value.data, self.result_type.element_type)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        places = numpy_order.nonzero(args[0], self.count.value.data)
        return places.astype(numerics.dtype(self.result_type.element_type))

    def tiling(self) -> TilingSpec:
        return _line_spec(self.name, self.operand_types, self.result_type)


@irdl_op_definition
class CompressOp(TileableOp):
    """The first `count` elements of each line of x at which mask is not 0, in order; 0 behind the last of them."""

    name = "graph.compress"
    x = operand_def(TensorType)
    mask = operand_def(TensorType)
    count = prop_def(IntegerAttr[IntegerType])

    def __init__(self, x: SSAValue | Operation, mask: SSAValue | Operation, count: int):
        super().__init__(
            operands=[x, mask],
            result_types=[_compress_type(tensor_type(x), tensor_type(mask), count)],
            properties={"count": integer(count)},
        )

    def infer(self) -> AnyTensor:
        x, mask = self.operand_types
        return _compress_type(x, mask, self.count.value.data)

    def evaluate(self, args: Sequence[Array], numerics: Numerics) -> Array:
        return numpy_order.compress(args[0], args[1], self.count.value.data)

    def tiling(self) -> TilingSpec:
        return _line_spec(self.name, self.operand_types, self.result_type)


def _compress_type(x: AnyTensor, mask: AnyTensor, count: int) -> AnyTensor:
    same = x.get_shape() == mask.get_shape()
    found = f"{list(x.get_shape())} and {list(mask.get_shape())}"
    require(same, f"graph.compress: x and mask must have one shape, found {found}")
    return _selection("graph.compress", x, count, x.element_type)
